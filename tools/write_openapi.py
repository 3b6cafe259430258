"""Writes the OpenAPI document: `python -m tools.write_openapi` into docs/, or the whole reference into a site's folder.

`python -m tools.write_openapi site/reference` writes index.html, openapi.json, the renderer and its licence there: files that
need no server of this package, and load nothing from another host.
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
"""Where `falcon-events serve` listens unless it is told otherwise."""


def text() -> str:
    """The document as it stands in docs/."""
    return json.dumps(openapi_document(servers=(SERVER,)), indent=2, ensure_ascii=False) + "\n"


def write_site(folder: Path) -> None:
    """Writes the reference as static files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openapi.json").write_text(text())
    (folder / "index.html").write_bytes(openapi_page.page("openapi.json", openapi_page.RENDERER, with_server=False).body)
    for name in (openapi_page.RENDERER, "rapidoc.LICENSE.txt"):
        shutil.copy(Path(openapi_page.__file__).parent / name, folder / name)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write_site(Path(sys.argv[1]))
    else:
        FILE.write_text(text())
