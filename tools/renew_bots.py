"""Makes falcon_events/ingest/bots.json of the list that the package crawler-user-agents has: `python tools/renew_bots.py`.

With --check nothing is written; the exit code says whether the file is what would be written.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]

LIST = Path(__file__).parents[1] / "falcon_events" / "ingest" / "bots.json"
PACKAGE = "crawler-user-agents"
LIBRARY = "http-library"
"""The tag of programs' HTTP clients."""


def renewed() -> str:
    """The patterns by which bots are known, the licence under which they are passed on, and where they come from."""
    installed = importlib.metadata.distribution(PACKAGE)
    (licence,) = (path for path in installed.files or () if path.name == "LICENSE")
    patterns: dict[str, list[str]] = {"bots": [], "http-libraries": []}
    for bot in CRAWLER_USER_AGENTS_DATA:
        patterns["http-libraries" if LIBRARY in bot.get("tags", ()) else "bots"].append(bot["pattern"])
    source = {"source": f"{PACKAGE} {installed.version}", "licence": Path(str(licence.locate())).read_text()}
    return json.dumps(source | patterns, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if LIST.read_text() == renewed() else f"{LIST} is not made of {PACKAGE}'s list; run {sys.argv[0]}")
    LIST.write_text(renewed())
