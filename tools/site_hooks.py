"""MkDocs hooks for the site: the pages of a folder in `nav`, the pages from examples/, and the API's reference."""

from __future__ import annotations

import posixpath
import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from write_openapi import write_site  # beside this file: MkDocs puts its folder on the path

TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
HEADING = re.compile(r"<th(?: [^>]*)?>(.*?)</th>", re.DOTALL)
ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
CELL = re.compile(r"<td(?: [^>]*)?>")
LINK = re.compile(r"\[([^\]\n]+)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace `FOLDER/*.md` in `nav` with the pages of the folder. A section without pages is left out."""
    docs = Path(config.docs_dir)
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} | _find_examples(docs.parent).keys()
    config.nav = _expand(config.nav or [], sorted(pages))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the examples and the API's reference, which loads nothing from other hosts."""
    for name, path in _find_examples(Path(config.docs_dir).parent).items():
        files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        write_site(Path(folder))
        for path in sorted(Path(folder).iterdir()):
            files.append(File.generated(config, f"reference/{path.name}", content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change links to files of the checkout into links to their pages. A file without a page is shown as its path instead."""
    root = Path(config.docs_dir).parent
    sources = {path.relative_to(root).as_posix(): name for name, path in _find_examples(root).items()}
    own = {name: source for source, name in sources.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def rewrite(link: re.Match[str]) -> str:
        text, target = link.groups()
        path, mark, anchor = target.partition("#")
        if not path or ":" in path:
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(own), path))
        name = sources.get(file, file.removeprefix("docs/"))
        if name != file or not (root / file).exists():  # a missing file stays a link, so that MkDocs reports it
            return f"[{text}]({posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or '.')}{mark}{anchor})"
        return text if text.strip("`") == file else f"{text} (`{file}`)"

    return LINK.sub(rewrite, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give the cells of wide tables their column's heading, which docs/narrow.css shows on narrow screens."""
    return TABLE.sub(lambda table: _label_cells(table[0]), html)


def _label_cells(table: str) -> str:
    headings = HEADING.findall(table)
    if len(headings) < 4:
        return table

    def label(row: re.Match[str]) -> str:
        columns = iter(headings)
        return CELL.sub(lambda cell: f'{cell[0]}<span class="head-label">{next(columns)}</span>', row[0])

    return f'<div class="stacked">{ROW.sub(label, table)}</div>'


def _find_examples(root: Path) -> dict[str, Path]:
    """Return the pages of examples/, by their names in the site."""
    found = {f"examples/{path.parent.name}.md": path for path in sorted(root.glob("examples/*/README.md"))}
    overview = root / "examples" / "README.md"
    return {"examples/index.md": overview, **found} if overview.exists() else found


def _expand(nav: list[Any], pages: list[str]) -> list[Any]:
    made: list[Any] = []
    for item in nav:
        if isinstance(item, str) and item.endswith("/*.md"):
            folder = item.removesuffix("*.md")
            some = [name for name in pages if name.startswith(folder) and name.count("/") == folder.count("/")]
            made += sorted(some, key=lambda name: (not name.endswith("/index.md"), name))
        elif isinstance(item, dict):
            entries = {title: _expand(value, pages) if isinstance(value, list) else value for title, value in item.items()}
            made += [{title: value} for title, value in entries.items() if value]
        else:
            made.append(item)
    return made
