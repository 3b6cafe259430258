"""sql, backup, compact, doctor, owner, and every other command, on a store that a server has open."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon_events import EventTracking
from tests.harness import Credentials, is_held, owner_of, plain, serving
from tests.shortcuts import command, make_store


@pytest.fixture
def filled(db: Path) -> Credentials:
    """A store with three events."""
    credentials = make_store(db)
    with EventTracking(db) as tracking:
        for number in range(3):
            tracking.track(94, "test", email=f"{number}@example.com", properties={"n": number})
    return credentials


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """An open store with three events, for commands that change nothing."""
    db = tmp_path_factory.mktemp("kept") / "events.duckdb"
    make_store(db)
    with EventTracking(db) as tracking:
        for number in range(3):
            tracking.track(94, "test", email=f"{number}@example.com", properties={"n": number})
        yield tracking


def done(*arguments: str, code: int = 0) -> str:
    """What a command prints; it must end with this exit code."""
    ended = command(*arguments)
    assert ended.returncode == code, ended.stderr.decode()
    return ended.stdout.decode()


def error(*arguments: str) -> str:
    """The one line on standard error of a command that fails."""
    ended = command(*arguments)
    assert (ended.returncode, ended.stdout) == (2, b"")
    line = ended.stderr.decode()
    assert line.count("\n") == 1
    assert line.startswith("falcon-events: ")
    return line


@pytest.mark.database
def test_sql_prints_a_table_csv_or_json(kept: EventTracking) -> None:
    """The same rows in three forms; nested values and nulls are what each form has for them."""
    db = kept.store.path
    columns = "event, count(*) as events, list_sort(list(email)) as emails, null as nothing"
    query = f"select {columns} from events group by all order by all"
    emails = [f"{number}@example.com" for number in range(3)]
    rows = json.loads(done("sql", query, "--format", "json", "--db", str(db)))
    assert rows == [{"event": name, "events": 3, "emails": emails, "nothing": None} for name in ("identify", "test")]
    cells = list(csv.reader(io.StringIO(done("sql", query, "--format", "csv", "--db", str(db)))))
    assert cells == [
        ["event", "events", "emails", "nothing"],
        *(([name, "3", json.dumps(emails, separators=(",", ":")), ""]) for name in ("identify", "test")),
    ]
    lines = done("sql", query, "--db", str(db)).splitlines()
    assert lines[0].split() == ["event", "events", "emails", "nothing"]
    assert lines[2].split()[:2] == ["test", "3"]


def test_sql_only_looks(kept: EventTracking) -> None:
    """Whatever would change something, or is no SQL, is one line on standard error, and changes nothing."""
    for query in (
        "delete from events",
        "select 1; drop table events",
        "insert into lists values (1, 'x', 'x', now())",
        "copy events to 'stolen.csv'",
        "attach 'other.duckdb'",
        "set memory_limit = '1TB'",
        "create table mine as select 1",
        "update events set event = 'x'",
        "",
        "selec 1",
        "select no_such_column from events",
        "select nextval('x')",
    ):
        error("sql", query, "--db", str(kept.store.path))
    assert kept.sql("select event, count(*), (select count(*) from lists) from events group by all order by all").rows == [
        ["identify", 3, 3],
        ["test", 3, 3],
    ]
    assert not kept.sql("select 1 from duckdb_tables() where table_name = 'mine'").rows
    assert not Path("stolen.csv").exists()


@pytest.mark.database
def test_a_backup_appears_whole_and_restoring_is_copying_it_back(db: Path, filled: Credentials, tmp_path: Path) -> None:
    """An existing file is kept unless --replace is given; the restored store has what it had then."""
    copy = tmp_path / "copy.duckdb"
    told = json.loads(done("backup", str(copy), "--db", str(db), "--json"))
    assert told == {"file": str(copy), "bytes": copy.stat().st_size}
    assert "exists already" in error("backup", str(copy), "--db", str(db))
    assert "to restore" in done("backup", str(copy), "--replace", "--db", str(db))
    assert "no folder" in error("backup", str(tmp_path / "nowhere" / "copy"), "--db", str(db))
    assert "the store itself" in error("backup", str(db), "--replace", "--db", str(db))
    with EventTracking(db) as tracking:
        tracking.track(94, "later", email="a@example.com")
    shutil.copy(copy, db)
    with EventTracking(db) as tracking:
        assert set(tracking.properties(94)) == {"identify", "test"}
        assert not tracking.track(94, "test", email="0@example.com").identify_event_sent


def test_doctor_says_what_is_wrong_and_what_to_do(db: Path, filled: Credentials) -> None:
    """All is well with a store as it is made; a file that others may read and a changed catalogue are found."""
    assert "WRONG" not in done("doctor", "--db", str(db))
    db.chmod(0o644)
    text = done("doctor", "--db", str(db), code=1)
    assert f"chmod 600 {db}" in text
    db.chmod(0o600)
    with plain(db) as connection:
        connection.execute("update event_properties set name = 'other' where event = 'test'")
        connection.execute("delete from bindings where email = '1@example.com'")
    checks = {check["name"]: check for check in json.loads(done("doctor", "--db", str(db), "--json", code=1))}
    assert [name for name, check in checks.items() if not check["ok"]] == ["bindings", "catalogue"]
    assert "94" in checks["catalogue"]["found"]


def test_doctor_finds_a_missing_socket(db: Path, filled: Credentials) -> None:
    """Somebody has deleted it: who is connected goes on, and nobody else gets in; doctor's own connection is the proof."""
    with EventTracking(db) as tracking:
        assert tracking.track(94, "test", email="a@example.com").event_id
        Path(tracking.owner().socket).chmod(0o666)
        assert "chmod 600" in done("doctor", "--db", str(db), code=1)


def test_owner_names_the_process_or_says_that_there_is_none(db: Path, filled: Credentials) -> None:
    """Exit code 1 where nobody holds the file; it is not opened for the question."""
    assert done("owner", "--db", str(db), code=1) == f"no process holds {db}\n"
    assert done("owner", "--json", "--db", str(db), code=1) == "null\n"
    assert not is_held(db)
    with EventTracking(db) as tracking:
        state = json.loads(done("owner", "--json", "--db", str(db)))
        assert state["pid"] == owner_of(db) == tracking.owner().pid
        assert os.getpid() in state["clients"]
        assert f"process  {state['pid']}" in done("owner", "--db", str(db))


@pytest.mark.database
def test_every_command_works_while_a_server_runs(db: Path, filled: Credentials, tmp_path: Path) -> None:
    """What they make counts in the server at once; what they show is what it holds."""
    at = ("--db", str(db))
    with serving(db) as served:
        done("accounts", "create", "carol", *at)
        done("lists", "create", "--account", "carol", "--name", "News", "--id", "7", *at)
        key = json.loads(done("keys", "create", "--account", "carol", "--json", *at))
        body = {"APIKey": key["key"], "ListID": 7, "event": "live", "email": "a@example.com"}
        assert served.client.track(**body).status_code == 200
        session = json.loads(done("sessions", "create", "--account", "carol", "--ttl-s", "60", "--json", *at))
        assert served.client.track(**{**body, "APIKey": "", "SessionID": session["session_id"]}).status_code == 200
        assert "live" in done("properties", "--list", "7", *at)
        assert json.loads(done("stats", "--json", *at))["events"] == 9
        assert json.loads(done("sql", "select count(*) as n from events", "--format", "json", *at)) == [{"n": 9}]
        lines = done("export", "--format", "ndjson", "--list", "7", *at)
        assert lines.count("\n") == 3
        (tmp_path / "more.ndjson").write_text('{"ListID": 7, "Event": "imported", "Email": "b@example.com"}\n')
        assert "1 stored" in done("import", str(tmp_path / "more.ndjson"), *at)
        assert "imported" in served.client.properties(APIKey=key["key"], ListID=7).json()["Properties"]
        done("backup", str(tmp_path / "copy.duckdb"), *at)
        assert set(json.loads(done("compact", "--json", *at))) == {"before", "after"}
        assert "WRONG" not in done("doctor", *at)
        done("lists", "rename", "7", "Other", *at)
        done("sessions", "revoke", session["session_id"], *at)
        assert served.client.track(**{**body, "APIKey": "", "SessionID": session["session_id"]}).status_code == 401
        done("keys", "revoke", key["key_id"], *at)
        assert served.client.track(**body).status_code == 401
        done("lists", "delete", "7", "--yes", *at)
        assert served.client.track(**filled.event(ListID=7)).json()["Errors"][0]["Code"] == 4
        assert served.stop() == 0
    with plain(db) as connection:
        assert connection.execute("select count(*) from events where list_id = 7").fetchone() == (0,)
