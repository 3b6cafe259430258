"""The five-minute starts: what each page says, done from its first line to its last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import ROOT, Walk, visit

FOLDER = ROOT / "docs" / "start"
STARTS = ("django.md", "falcon.md", "fastapi.md", "flask.md", "standalone.md", "starlette.md")


def test_every_start_is_followed() -> None:
    """A new page needs a line here."""
    assert {page.name for page in FOLDER.iterdir()} == set(STARTS)


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", STARTS)
def test_a_start_leads_to_stored_events(name: str, tmp_path: Path) -> None:
    """Its files and commands work as they stand, and its answers are those shown; a visit of its page is tracked."""
    page = FOLDER / name
    walker = Walk(page, tmp_path)
    walker.write_files()
    walker.prepare()
    (server,) = walker.servers()
    with walker.serving(server) as served:
        assert walker.ask() == 2
        if page.stem != "standalone":
            visit(served)
        *first, last = walker.rest()
        for script in first:
            assert 'src="http' in walker.run(script)  # only the standalone server's page prints a snippet
        seen = walker.run(last)
        assert seen.count("signup") == 2
        assert seen.count("pageView") == (0 if page.stem == "standalone" else 2)


@pytest.mark.parametrize("name", STARTS)
def test_a_starts_links_lead_somewhere(name: str) -> None:
    """Every relative link names a file that is there."""
    page = FOLDER / name
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in target]
    assert targets
    for target in targets:
        assert (page.parent / target).exists(), target
