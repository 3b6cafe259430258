"""Write the OpenAPI document into docs/ (`python -m tools.write_openapi`), or the whole reference into a site's folder.

`python -m tools.write_openapi site/reference` writes index.html, openapi.json, the renderer and its license there. These files
need no server of this package and load nothing from other hosts.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from falcon_events.assets import openapi_page
from falcon_events.contract.openapi import openapi_document

FILE = Path(__file__).parents[1] / "docs" / "openapi.json"
SERVER = "http://127.0.0.1:8080"
"""The address at which `falcon-events serve` listens by default."""


def render_document() -> str:
    """Render the document as it is in docs/."""
    return json.dumps(openapi_document(servers=(SERVER,)), indent=2, ensure_ascii=False) + "\n"


def write_site(folder: Path) -> None:
    """Write the reference as static files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openapi.json").write_text(render_document())
    (folder / "index.html").write_bytes(openapi_page.render_page("openapi.json", openapi_page.RENDERER, with_server=False).body)
    for name in (openapi_page.RENDERER, "rapidoc.LICENSE.txt"):
        shutil.copy(Path(openapi_page.__file__).parent / name, folder / name)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write_site(Path(sys.argv[1]))
    else:
        FILE.write_text(render_document())
