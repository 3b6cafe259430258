"""What is public is documented, and what the documentation says is so."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import falcon_events
import falcon_events.http
from falcon_events import EventTracking
from falcon_events.access.boards import Boards
from falcon_events.access.directory import Directory
from falcon_events.admin.store import StoreAdmin
from falcon_events.admin.webhooks import Webhooks
from falcon_events.settings import PREFIX, Settings
from tests.blocks import PAGES
from tools import docs

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    """A page's text."""
    return (ROOT / "docs" / name).read_text()


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row, without backticks."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_every_setting_is_documented_with_unit_default_and_reason() -> None:
    """docs/settings.md has a row for each setting, as the code has it."""
    documented = {row[0]: row[1:] for row in table_rows(page("settings.md"))}
    for field in dataclasses.fields(Settings):
        default = (
            {True: "yes", False: "no"}.get(field.default, str(field.default))
            if isinstance(field.default, bool)
            else str(field.default)
        )
        expected = [PREFIX + field.name.upper(), field.metadata["unit"], default or "nothing", field.metadata["reason"]]
        assert documented[field.name] == expected
    assert documented.keys() - {field.name for field in dataclasses.fields(Settings)} == {"setting", "---"}


def test_what_is_made_of_the_code_is_up_to_date() -> None:
    """`python -m tools.docs` would change no page."""
    done = subprocess.run([sys.executable, "-m", "tools.docs", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_that_is_out_of_date_is_named_and_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed cell, a missing and a surplus command; what is written around the parts stays."""
    for name in ("cli.md", "settings.md"):
        shutil.copy(ROOT / "docs" / name, tmp_path)
    cli, settings = tmp_path / "cli.md", tmp_path / "settings.md"
    settings.write_text(settings.read_text().replace("| 1048576 |", "| 7 |").replace("`1048576`", "`7`"))
    part = f"<!-- made by tools.docs: sql -->\n{docs.render_command('sql', dict(docs.list_commands())['sql'])}<!-- end -->\n"
    surplus = "<!-- made by tools.docs: gone -->\nx\n<!-- end -->\n"
    assert cli.read_text().count(part) == 1
    cli.write_text(cli.read_text().replace(part, surplus + "By hand.\n"))
    assert docs.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out == "cli.md: out of date\nsettings.md: out of date\n"
    assert docs.main([], tmp_path) == 0
    assert settings.read_text() == page("settings.md")
    assert cli.read_text() == page("cli.md").replace(part, "By hand.\n") + f"\n### `falcon-events sql`\n\n{part}"


@pytest.mark.parametrize("module", [falcon_events, falcon_events.http], ids=lambda module: module.__name__)
def test_every_public_name_is_documented(module: object) -> None:
    """docs/python.md names everything in __all__."""
    text = page("python.md")
    for name in module.__all__:  # type: ignore[attr-defined]
        assert re.search(rf"`[^`]*\b{name}\b|^class.*\b{name}\b|import .*\b{name}\b", text, re.MULTILINE), name


@pytest.mark.database
def test_every_metric_is_documented(tracking: EventTracking) -> None:
    """docs/metrics.md has a row for each metric, with its type."""
    actual = set(re.findall(r"^# TYPE (\w+) (\w+)$", tracking.metrics().decode(), re.MULTILINE))
    documented = {(row[0], row[1]) for row in table_rows(page("metrics.md")) if row[0].startswith("falcon_events_")}
    assert documented == actual


@pytest.mark.parametrize("part", [EventTracking, StoreAdmin, Webhooks, Directory, Boards], ids=lambda part: part.__name__)
def test_every_public_method_is_documented(part: type) -> None:
    """docs/python.md names each method of the tracker and of its parts that is meant for callers."""
    inner = {
        "identify",
        "owns_list",
        "owner_of",
        "reset_after_fork",
        "rules_of",
        "allows_origin",
    }  # what other parts of the package call
    for name in vars(part).keys() - inner:
        if not name.startswith("_") and callable(getattr(part, name)):
            assert f"`{name}(" in page("python.md"), name


@pytest.mark.database
def test_every_table_and_column_of_the_database_is_documented(tracking: EventTracking) -> None:
    """docs/database.md has each column with its type, and none that is not there."""
    sql = "select table_name, column_name, lower(data_type) from duckdb_columns() where not internal"
    actual = {(t, c, d) for t, c, d in tracking.sql(sql).rows}
    documented = set()
    for section in re.split(r"^## ", page("database.md"), flags=re.MULTILINE)[1:]:
        names = section.splitlines()[0].split(", ")
        table = names[0]
        for row in table_rows(section):
            if row[0] in ("table", "column", "---"):
                continue
            if len(row) == 4:
                table = row[0] or table
                documented.add((table, row[1], row[2]))
            else:
                only = re.search(r"\(`(\w+)` only\)", row[-1])
                documented.update((name, row[0], row[1]) for name in ([only[1]] if only else names))
    assert documented == actual


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_documentations_links_lead_somewhere(path: Path) -> None:
    """Every relative link of a page names a file that exists, or one that the site's build makes (artefacts/test_site.py)."""
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target and target != "reference/index.html":
            assert (path.parent / target).exists(), target
