"""What is public is documented, and what the documentation says is so."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import falcon_events
import falcon_events.http
from falcon_events import EventTracking
from falcon_events.access.directory import Directory
from falcon_events.administration import Administration
from falcon_events.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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
        expected = [PREFIX + field.name.upper(), field.metadata["unit"], default, field.metadata["reason"]]
        assert documented[field.name] == expected
    assert documented.keys() - {field.name for field in dataclasses.fields(Settings)} == {"setting", "---"}


@pytest.mark.parametrize("module", [falcon_events, falcon_events.http], ids=lambda module: module.__name__)
def test_every_public_name_is_documented(module: object) -> None:
    """docs/python.md names everything in __all__."""
    text = page("python.md")
    for name in module.__all__:  # type: ignore[attr-defined]
        assert re.search(rf"`[^`]*\b{name}\b|^class.*\b{name}\b|import .*\b{name}\b", text, re.MULTILINE), name


def test_every_metric_is_documented(tracking: EventTracking) -> None:
    """docs/metrics.md has a row for each metric, with its type."""
    actual = set(re.findall(r"^# TYPE (\w+) (\w+)$", tracking.metrics().decode(), re.MULTILINE))
    documented = {(row[0], row[1]) for row in table_rows(page("metrics.md")) if row[0].startswith("falcon_events_")}
    assert documented == actual


@pytest.mark.parametrize("part", [EventTracking, Administration, Directory], ids=lambda part: part.__name__)
def test_every_public_method_is_documented(part: type) -> None:
    """docs/python.md names each method of the tracker and of its directory that is meant for callers."""
    inner = {"identify", "owns_list", "owner_of", "forked", "rules_of", "allows_origin"}  # what other parts of the package call
    for name in vars(part).keys() - inner:
        if not name.startswith("_") and callable(getattr(part, name)):
            assert f"`{name}(" in page("python.md"), name


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
def test_the_documentations_python_runs(path: Path, tmp_path: Path) -> None:
    """Each Python block of the README and the docs runs as it stands, in a folder of its own."""
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)):
        script = tmp_path / f"block{number}.py"
        script.write_text(block)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_documentations_links_lead_somewhere(path: Path) -> None:
    """Every relative link of a page names a file that is there."""
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_documented_sql_runs(tracking: EventTracking) -> None:
    """The examples of docs/database.md are valid against the schema."""
    for block in re.findall(r"^```sql\n(.*?)^```", page("database.md"), re.MULTILINE | re.DOTALL):
        tracking.sql(block)
