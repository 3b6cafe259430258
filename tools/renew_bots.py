"""Generate falcon_events/ingest/bots.json from the list in the package crawler-user-agents: `python tools/renew_bots.py`.

With --check nothing is written; the exit code says whether the file is up to date.
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
"""The tag of HTTP client libraries."""
MENDED: dict[str, str | None] = {
    r"AP3A\.240617\.008": None,  # a build of Android 15
    "Fluid": None,  # a browser
    r"008\/": r"(?<![\w.-])008/",
    "Butterfly": r"\bButterfly/",
    "Expanse": "^Expanse,",
    "Fever": "^Fever/",
    "Sogou": r"Sogou[\w ]*[Ss]pider",  # Sogou has a browser, too
    "Sonic": r"RankSonic|\bSonic/",
    "Viber": "^Viber",  # at the end of an agent it is the browser within the app
    "WhatsApp": "^WhatsApp",
}
"""Patterns of the package that also match browsers, phones or their systems, with the patterns to use instead; None: none."""


def render_list() -> str:
    """Render the patterns that identify bots, with their source and license."""
    installed = importlib.metadata.distribution(PACKAGE)
    (licence,) = (path for path in installed.files or () if path.name == "LICENSE")
    patterns: dict[str, list[str]] = {"bots": [], "http-libraries": []}
    for bot in CRAWLER_USER_AGENTS_DATA:
        if (pattern := MENDED.get(bot["pattern"], bot["pattern"])) is not None:
            patterns["http-libraries" if LIBRARY in bot.get("tags", ()) else "bots"].append(pattern)
    if gone := MENDED.keys() - {bot["pattern"] for bot in CRAWLER_USER_AGENTS_DATA}:
        raise SystemExit(f"{PACKAGE} has these patterns no more: {sorted(gone)}. Remove them from MENDED.")
    source = {"source": f"{PACKAGE} {installed.version}", "licence": Path(str(licence.locate())).read_text()}
    return json.dumps(source | patterns, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if LIST.read_text() == render_list() else f"{LIST} does not match {PACKAGE}'s list. Run {sys.argv[0]}.")
    LIST.write_text(render_list())
