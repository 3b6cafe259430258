"""The command sql: where it reads the query from, how it prints the answer, and the views."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from falcon_events import EventTracking
from tests.shortcuts import command

VISITOR = "11111111-2222-4333-8444-555555555555"
QUERY = "select list_id, name, value, occurred_at from conversions"


def sql(*words: str, folder: Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs the command to its end, in a folder."""
    with contextlib.chdir(folder):
        return command("sql", *words, stdin=given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a store: somebody views a page, signs up and buys, and somebody else views a page. It is open meanwhile."""
    path = tmp_path_factory.mktemp("sql")
    with EventTracking(path / "events.duckdb") as tracking:
        tracking.directory.ensure_list(1, "Customers")
        page = {"url": "https://a.example/x", "$pathname": "/x", "$pageTitle": "X", "$browser": "Firefox"}
        tracking.track(1, "pageView", uuid=VISITOR, properties=page)
        tracking.track(1, "signup", uuid=VISITOR, email="Ada@example.com")
        bought = {"conversion-id": "1", "conversion-name": "order", "conversion-value": 12.5}
        tracking.track(1, "conversion", email="ada@example.com", properties=bought)
        tracking.track(
            1, "pageView", uuid="aaaaaaaa-2222-4333-8444-555555555555", properties={"$current_url": "https://b.example"}
        )
        yield path


def test_a_query_comes_from_a_file_or_standard_input(folder: Path) -> None:
    """With -f, with - in either place, with a byte order mark; neither or both, or no such file, is an error."""
    (folder / "q.sql").write_bytes(b"\xef\xbb\xbf-- how many\nselect 40 + 2 as n;\n")
    for words in (["-f", "q.sql"], ["--file", "-"], ["-"], ["-f-"]):
        done = sql(*words, "--csv", folder=folder, given=b"select 42 as n")
        assert (done.returncode, done.stdout) == (0, b"n\n42\n"), done.stderr
    for words, reason in (([], b"QUERY or --file"), (["select 1", "-f", "q.sql"], b"not both"), (["-f", "no.sql"], b"no.sql")):
        done = sql(*words, folder=folder)
        assert (done.returncode, reason in done.stderr, done.stderr.count(b"\n")) == (2, True, 1)


@pytest.mark.database
def test_an_answer_is_printed_or_written_in_each_form(folder: Path) -> None:
    """CSV, JSON and Parquet, by option or by the file's name; an existing file is not touched."""
    assert sql(QUERY, "--csv", folder=folder).stdout.startswith(b"list_id,name,value,occurred_at\n1,order,12.5,")
    (row,) = json.loads(sql(QUERY, "--json", folder=folder).stdout)
    assert (row["list_id"], row["name"], row["value"]) == (1, "order", 12.5)
    for name in ("a.csv", "a.json", "a.parquet"):
        assert sql(QUERY, "-o", name, folder=folder).returncode == 0
        refused = sql(QUERY, "-o", name, folder=folder)
        assert (refused.returncode, b"exists already" in refused.stderr) == (2, True)
    assert json.loads((folder / "a.json").read_text()) == [row]
    (folder / "b.parquet").write_bytes(sql(QUERY, "--parquet", folder=folder).stdout)
    for name in ("a.parquet", "b.parquet"):
        found = duckdb.sql(f"select list_id, name, value, typeof(occurred_at) from '{folder / name}'").fetchall()
        assert found == [(1, "order", 12.5, "TIMESTAMP")]
    (folder / "c.parquet").write_bytes(sql(QUERY + " where false", "--parquet", folder=folder).stdout)
    assert duckdb.sql(f"select * from '{folder / 'c.parquet'}'").columns == ["list_id", "name", "value", "occurred_at"]
    assert sql("select 1 as a, 2 as a", "--parquet", folder=folder).returncode == 2


@pytest.mark.database
def test_views_have_columns_that_need_no_json(folder: Path, tmp_path: Path) -> None:
    """Of the store, and of its backup, which has another name."""
    with EventTracking(folder / "events.duckdb") as tracking:
        tracking.backup(tmp_path / "another name.duckdb")
    for path in (folder / "events.duckdb", tmp_path / "another name.duckdb"):
        with EventTracking(path) as tracking:
            views = "select url, path, title, browser from page_views order by seq"
            assert tracking.sql(views).rows == [
                ["https://a.example/x", "/x", "X", "Firefox"],
                ["https://b.example", None, None, None],
            ]
            people = (
                "select person, email, visitors, events, page_views, conversions, conversion_value from people order by events"
            )
            assert tracking.sql(people).rows == [
                ["aaaaaaaa-2222-4333-8444-555555555555", None, 1, 1, 1, 0, 0.0],
                ["ada@example.com", "ada@example.com", 2, 5, 1, 1, 12.5],
            ]
            tracking.compact()
            assert len(tracking.sql("select * from people").rows) == 2
