"""What `doctor` finds wrong in what questions read, and how `doctor --repair` mends it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from falcon_events import EventTracking
from falcon_events.errors import EventsError
from falcon_events.model.persons import Visitor
from falcon_events.query.reading import read_question
from falcon_events.settings import Settings
from falcon_events.store.database import columns
from falcon_events.store.database.connect import open_database, open_memory
from falcon_events.store.engine import upkeep
from falcon_events.store.queries import answer_check, answer_source, persons
from falcon_events.store.queries.answers import answer
from falcon_events.store.store import Store
from tests import shortcuts
from tests.unit import test_answers as shared
from tests.unit.test_answers import SPRING, VISITORS, make_events

pytestmark = pytest.mark.database

REPAIR = "run 'falcon-events doctor --repair'"
FAULTS = {
    "update event_columns set automatic = not automatic where event = 'identify'": ("columns", "differ from a recount"),
    "update event_columns set path = 'x'": ("columns", "differ from a recount"),
    "delete from event_columns": ("columns", "differ from a recount"),
    "update meta set columns_seq = 900": ("columns", "reach to seq 900 (meta.columns_seq), but the newest event is 3"),
    "insert into visitor_keys values (9, 1, uuid())": ("keys", "1 of visitors belong to no event"),
    "insert into visitor_keys from visitor_keys": ("keys", "of visitors repeat the number of another"),
    "insert into visitor_keys select 9, list_id, visitor from visitor_keys limit 1": ("keys", "1 of visitors are further keys"),
    "insert into address_keys values (9, 1, 'x@x.com')": ("keys", "1 of addresses belong to no event"),
    "insert into address_keys from address_keys": ("keys", "of addresses repeat the number of another"),
    "insert into address_keys select 9, list_id, address from address_keys limit 1": ("keys", "1 of addresses are further keys"),
}
"""What goes wrong, which check finds it, and the words with which it does."""
UNREADABLE = {
    "{": "no JSON",
    "[]": "no JSON object",
    "{}": "give one of Query, People, RulesJson",
    '{"People": [["has_done", {"Evnt": "a"}]]}': '"evnt" must be Event',
    '{"Query": {"Metrics": ["sums"]}}': "Query.Metrics",
    '{"RulesJson": [[{"type": "x"}]]}': "RulesJson",
    '{"Query": {}, "People": []}': "give one of",
}
"""Definitions that cannot be read, and a part of the reason."""


def fill(db: Path) -> None:
    """A closed store with an event of a visitor with an address, and one of another visitor."""
    with EventTracking(db) as tracking:
        tracking.directory.ensure_list(1, "news")
        tracking.track(1, "a", email="ada@x.com", properties={"url": "https://x.com/a"})
        tracking.track(1, "a", uuid=VISITORS[1])


def change(db: Path, statement: str, *values: Any) -> None:
    """Changes a closed store."""
    with duckdb.connect(str(db)) as connection:
        connection.execute(statement, list(values))


def doctor(db: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Runs the command; its exit code, and what it found."""
    done = shortcuts.command("doctor", *words, "--json", "--db", str(db))
    assert done.stderr == b""
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)}


def ask(db: Path) -> Any:
    """The answers to some questions."""
    with EventTracking(db) as tracking:
        asked: dict[str, Any] = {"date_range": "all", "dimensions": ["person", "path"], "metrics": ["events", "visitors"]}
        return [tracking.query(1, **asked).rows, tracking.people(1).rows]


@pytest.mark.parametrize("statement", FAULTS)
def test_doctor_finds_each_fault_and_repairs_it(statement: str, db: Path) -> None:
    """It says what is wrong and what to do, and exits with 1. The repair makes the answers right, and is then done."""
    fill(db)
    answers = ask(db)
    assert doctor(db)[0] == 0
    change(db, statement)
    name, words = FAULTS[statement]
    code, found = doctor(db)
    assert (code, found[name]["ok"]) == (1, False)
    assert words in found[name]["found"]
    assert REPAIR in found[name]["found"]
    code, found = doctor(db, "--repair")
    assert (code, [check for check in found.values() if not check["ok"]]) == (0, [])
    assert ask(db) == answers
    with EventTracking(db) as tracking:
        tracking.track(1, "a", uuid=VISITORS[2])
        tracking.query(1, metrics=["events"])
        assert {check.name: check.ok for check in tracking.check()}["columns"]


def test_a_store_without_faults_is_not_rebuilt(db: Path) -> None:
    """`--repair` writes nothing anew if the columns are right."""
    fill(db)
    with EventTracking(db) as tracking:
        tracking.sql("select 1")
        before = tracking.sql("select columns_seq from meta").rows
        assert doctor(db, "--repair")[0] == 0
        assert tracking.sql("select columns_seq from meta").rows == before


@pytest.mark.parametrize("definition", UNREADABLE)
def test_doctor_finds_what_is_saved_and_cannot_be_read(definition: str, db: Path) -> None:
    """It names the list, the name and the reason, and how to get rid of it, which works."""
    fill(db)
    with EventTracking(db) as tracking:
        tracking.save(1, "sleepers", people=[["has_not_done", {"Within": "30d"}]])
        tracking.save(1, "pages", query={"Dimensions": ["path"], "DateRange": "year"})
    assert doctor(db)[1]["saved queries"] == {"name": "saved queries", "ok": True, "found": "2 can be read"}
    kind = "query" if "Query" in definition else "segment"
    change(db, "insert into saved_queries values (1, 'broken', ?, ?, now()::timestamp)", kind, definition)
    code, found = doctor(db, "--repair")
    assert (code, found["saved queries"]["ok"]) == (1, False)
    assert "'broken' of list 1 cannot be read" in found["saved queries"]["found"]
    assert UNREADABLE[definition] in found["saved queries"]["found"]
    assert "falcon-events forget NAME --list N" in found["saved queries"]["found"]
    assert shortcuts.command("forget", "broken", "--list", "1", "--db", str(db)).returncode == 0
    assert doctor(db)[0] == 0


def test_doctor_finds_a_name_that_is_saved_twice_and_a_wrong_kind(db: Path) -> None:
    """A name is unique within a list, and a segment has conditions."""
    fill(db)
    for kind in ("segment", "query"):
        change(db, """insert into saved_queries values (1, 'x', ?, '{"People": []}', now()::timestamp)""", kind)
    found = doctor(db)[1]["saved queries"]["found"]
    assert "'x' of list 1 is there 2 times" in found
    assert "it is saved as 'query', and has the content of a segment" in found


def test_what_is_left_of_a_list_is_no_fault(db: Path) -> None:
    """The newest events go with their list or person, and the watermark is not ahead of those that are left."""
    fill(db)
    with EventTracking(db) as tracking:
        tracking.directory.ensure_list(2, "other")
        for email in ("bob@x.com", "eve@x.com"):
            tracking.track(2, "a", email=email)
        tracking.query(2, metrics=["events"])
        tracking.erase(2, email="eve@x.com")
        assert all(check.ok for check in tracking.check())
        tracking.directory.delete_list(2)
        assert all(check.ok for check in tracking.check())
        tracking.track(1, "b", uuid=VISITORS[0])
        assert [row.metrics for row in tracking.query(1, date_range="all", metrics=["events"]).rows] == [[3]]
        assert all(check.ok for check in tracking.check())


def test_an_event_that_was_automatic_beside_an_erased_one_counts() -> None:
    """Of an earlier release: what is left is what the columns of the events that are left would be."""
    ada, bob = {"email": "ada@x.com"}, {"email": "bob@x.com"}
    with open_memory(Settings(threads=1)) as connection:
        connection.execute("set variable folds = true")
        shared.fill(connection, make_events(ada, {**bob, "event": "identify"}, {**bob, "at": SPRING + 1}))
        assert connection.execute("select automatic from event_columns where seq = 2").fetchone() == (True,)
        persons.erase(connection, Visitor(1, email="ada@x.com"))
        assert connection.execute("select automatic from event_columns where seq = 2").fetchone() == (False,)
        assert not columns.differs(connection)


def test_questions_are_right_while_the_columns_are_rebuilt(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Portion by portion, beside events that are stored; whatever of them is folded when a question is asked."""
    with open_database(db, Settings()) as connection:
        connection.execute(
            "insert into events select range, uuid(), 'a', 1, 'e', md5((range % 9)::varchar)::uuid, 'x', null, now()::timestamp,"
            ' now()::timestamp, \'{"url": "https://x.com/a"}\', null, null, null from range(1, 1001)'
        )
    monkeypatch.setattr(upkeep, "COLUMNS_AT_ONCE", 100)
    monkeypatch.setattr(answer_source, "MOST_OF_TAIL", 500)
    store = Store(db, Settings())
    store.questions.rebuild_columns().result(60)
    question = read_question({"DateRange": "all", "Metrics": ["events", "visitors"], "Dimensions": ["path"]}, 1, "UTC", 0)
    change, seen = threading.Event(), set()
    rebuilt = store.questions.rebuild_columns()
    rebuilt.add_done_callback(lambda _: change.set())

    def look(connection: duckdb.DuckDBPyConnection) -> int:
        answered = answer(connection, question, timeout_s=60, session_gap_s=1800)  # type: ignore[arg-type]
        assert b'"Metrics":[1000,9]' in answered.body
        return columns.read_columns_seq(connection)

    while not change.is_set():
        seen.add(store.run(look).result(60))
    rebuilt.result(60)
    assert len(seen) > 2
    assert {check.name: check.found for check in store.check().result(60)}["columns"] == (
        "those of 1000 events agree with a recount"
    )
    store.close()


def test_a_rebuild_without_memory_says_so(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered from the events meanwhile, and a later rebuild succeeds."""
    fill(db)
    answers = ask(db)

    def fail(*_: Any) -> int:
        raise duckdb.OutOfMemoryException("no memory")

    store = Store(db, Settings())
    store.open()
    with monkeypatch.context() as patched:
        patched.setattr(columns, "fold", fail)
        with pytest.raises(EventsError, match="memory_limit_mb"):
            store.questions.rebuild_columns().result(60)
        question = read_question({"DateRange": "all", "Metrics": ["events"]}, 1, "UTC", 0)
        answered = store.run(lambda c: answer(c, question, timeout_s=60, session_gap_s=1800)).result(60)  # type: ignore[arg-type]
        assert b'"Metrics":[2]' in answered.body
    store.questions.rebuild_columns().result(60)
    store.close()
    assert ask(db) == answers


def test_the_command_and_the_check_know_the_same_names() -> None:
    """Which checks report what a rebuild mends."""
    from falcon_events.cli.maintenance import REBUILT

    assert REBUILT == (answer_check.COLUMNS, answer_check.KEYS)
