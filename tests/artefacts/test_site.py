"""The documentation as a site: built strictly; every link and anchor leads somewhere; no page loads anything from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import falcon_events
import falcon_events.client
import falcon_events.http

ROOT = Path(__file__).parents[2]
LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("iframe", "src"),
    ("link", "href"),
    ("source", "src"),
    ("use", "href"),
}
"""What a browser fetches when it shows a page, by element and attribute."""


def build(folder: Path, names: str = "") -> subprocess.CompletedProcess[str]:
    """Build a site with `mkdocs build --strict` in a folder that has what it is made of.

    Args:
        folder: made by copy().
        names: the page of every public name, python-names.md: building it as it is takes most of the time.
    """
    (folder / "docs" / "python-names.md").write_text(f"# Every name\n\n{names}")
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def copy(folder: Path) -> None:
    """Copies what the site is made of, and no more."""
    for name in ("docs", "examples", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)


class Page(HTMLParser):
    """A page's ids, what it links to and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what an element is called and what it refers to."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif (tag, name) in LOADED:
                self.loaded.append(value or "")
            elif (tag, name) == ("a", "href"):
                self.links.append(value or "")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page of the site, read."""
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_the_site_has_every_page(site: Path, pages: dict[Path, Page]) -> None:
    """Each page of docs/ and each example, and each is linked to from the first one's navigation."""
    sources = sorted((ROOT / "docs").rglob("*.md"))
    built = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in sources}
    built |= {f"examples/{path.parent.name}.html" for path in (ROOT / "examples").glob("*/README.md")}
    assert len(built) > 20
    assert built <= {path.relative_to(site).as_posix() for path in pages}
    assert built - {"index.html"} <= set(pages[site / "index.html"].links)


def test_cells_of_wide_tables_have_their_headings_for_narrow_screens(site: Path) -> None:
    """Each cell of a table of four or more columns; a table of fewer fits."""
    tables = re.findall(r"<table>.*?</table>", (site / "settings.html").read_text(), re.DOTALL)
    wide = [table for table in tables if table.count("<th") - 1 >= 4]
    assert wide
    for table in wide:
        assert table.count("<td") == table.count('<span class="head-label">')
    assert '<span class="head-label">' not in (site / "index.html").read_text()
    assert "narrow.css" in (site / "settings.html").read_text()


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    """Within the site; 404.html is served below any path, so it has links from the root."""
    followed = 0
    for path, page in pages.items():
        for target in page.links + page.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = path
            if parts.path:
                base = site if parts.path.startswith("/") else path.parent
                file = (base / unquote(parts.path).lstrip("/")).resolve()
            if file.is_dir():
                file /= "index.html"
            assert file.is_relative_to(site.resolve()), (path.name, target)
            assert file.is_file(), (path.name, target)
            if parts.fragment and file.suffix == ".html":
                assert unquote(parts.fragment) in pages[file].ids | {"__top"}, (path.name, target)
                followed += 1
    assert followed > 100


def test_links_to_the_checkout_lead_to_pages(site: Path, pages: dict[Path, Page]) -> None:
    """To an example's page and from it; a file that is no page is named by its path."""
    assert "../examples/django.html" in pages[site / "start" / "django.html"].links
    assert "../hooks.html" in pages[site / "examples" / "journeys.html"].links
    assert "examples/journeys/app.py" in (site / "examples" / "journeys.html").read_text()
    assert "app.py" not in pages[site / "examples" / "journeys.html"].links


def test_no_page_loads_anything_from_another_host(site: Path, pages: dict[Path, Page]) -> None:
    """No script, style, font, image or frame; neither does a style sheet."""
    for path, page in pages.items():
        assert page.loaded, path
        assert [target for target in page.loaded if urlsplit(target).scheme not in ("", "data") or urlsplit(target).netloc] == []
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import", sheet.read_text()), sheet


def test_every_public_name_is_in_the_reference_by_name(site: Path, pages: dict[Path, Page]) -> None:
    """python-names.html describes all that falcon_events and falcon_events.http have in __all__, and the client."""
    ids = pages[site / "python-names.html"].ids
    for module in (falcon_events, falcon_events.http):
        assert {f"{module.__name__}.{name}" for name in module.__all__} <= ids
    own = set(falcon_events.client.__all__) - set(falcon_events.__all__)
    assert {f"falcon_events.client.{name}" for name in own} <= ids


def test_the_site_has_the_reference_of_the_api(site: Path, pages: dict[Path, Page]) -> None:
    """Its page with the document and the renderer beside it, linked to from the first page."""
    assert "reference/index.html" in pages[site / "index.html"].links
    assert (site / "reference" / "openapi.json").read_text() == (ROOT / "docs" / "openapi.json").read_text()
    assert "rapidoc-min.js" in pages[site / "reference" / "index.html"].loaded


DAMAGES = {
    "a link to a page that is not there": ("concepts.md", "\n[x](no-such-page.md)\n", "no-such-page.md"),
    "a link to an anchor that is not there": ("concepts.md", "\n[x](durability.md#no-such-anchor)\n", "no-such-anchor"),
    "a link to an example that is not there": ("concepts.md", "\n[x](../examples/none/README.md)\n", "none/README.md"),
    "a page that is not in nav": ("unlisted.md", "# Unlisted\n", "unlisted.md"),
}


def test_the_build_names_every_broken_reference_and_fails(tmp_path: Path) -> None:
    """One of each in a copy: as many warnings, which strict mode takes for errors."""
    copy(tmp_path)
    for name, text, _ in DAMAGES.values():
        with (tmp_path / "docs" / name).open("a") as page:
            page.write(text)
    done = build(tmp_path)
    assert done.returncode == 1
    assert [damage for damage, (_, _, said) in DAMAGES.items() if said not in done.stderr] == []
    assert f"Aborted with {len(DAMAGES)} warnings" in done.stdout + done.stderr


def test_the_build_fails_on_a_python_name_that_is_not_there(tmp_path: Path) -> None:
    """It ends at once, whatever else is wrong."""
    copy(tmp_path)
    done = build(tmp_path, "::: falcon_events.NoSuchName\n")
    assert done.returncode == 1
    assert "falcon_events.NoSuchName could not be found" in done.stderr


def test_pages_for_the_start_need_no_line_in_nav(pages: dict[Path, Page], site: Path) -> None:
    """Each file in docs/start/ is a page of its section, though mkdocs.yml names none of them."""
    assert not re.search(r"start/\w+\.md", (ROOT / "mkdocs.yml").read_text())
    starts = {f"start/{path.stem}.html" for path in (ROOT / "docs" / "start").glob("*.md")}
    assert len(starts) > 3
    assert starts <= set(pages[site / "index.html"].links)
