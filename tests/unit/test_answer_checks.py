"""What `doctor` finds wrong in what questions read, and how `doctor --repair` mends it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from falcon_events import EventTracking
from falcon_events.errors import EventsError
from falcon_events.model.events import Receipt
from falcon_events.model.persons import Visitor
from falcon_events.model.reports import Check
from falcon_events.query.person_reading import read_people_question
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
from tests.unit.test_store import new_event

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


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A closed store with an event of a visitor with an address, and one of another visitor."""
    db = tmp_path_factory.mktemp("original") / "events.duckdb"
    with EventTracking(db) as tracking:
        tracking.directory.ensure_list(1, "news")
        tracking.track(1, "a", email="ada@x.com", properties={"url": "https://x.com/a"})
        tracking.track(1, "a", uuid=VISITORS[1])
    return db.read_bytes()


@pytest.fixture
def db(tmp_path: Path, original: bytes) -> Path:
    """The path of a copy of it."""
    path = tmp_path / "events.duckdb"
    shortcuts.write_store(path, original)
    return path


def change(db: Path, statement: str, *values: Any) -> None:
    """Changes a closed store."""
    with duckdb.connect(str(db)) as connection:
        connection.execute(statement, list(values))


def doctor(db: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Runs the command; its exit code, and what it found."""
    done = shortcuts.command("doctor", *words, "--json", "--db", str(db))
    assert done.stderr == b""
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)}


@contextlib.contextmanager
def opened(db: Path) -> Iterator[Store]:
    """A store in this process, without an owner process."""
    umask = os.umask(0o077)  # as the owner process has it
    store = Store(db, Settings())
    store.open()
    try:
        yield store
    finally:
        store.close()
        os.umask(umask)


def ask(store: Store) -> Any:
    """The answers to some questions."""
    asked = {"DateRange": "all", "Dimensions": ["person", "path"], "Metrics": ["events", "visitors"]}
    questions = [read_question(asked, 1, "UTC", 0), read_people_question({}, 1, "UTC", 0)]

    def read(connection: duckdb.DuckDBPyConnection) -> Any:
        answered = [answer(connection, question, timeout_s=60, session_gap_s=1800) for question in questions]  # type: ignore[arg-type]
        return [json.loads(one.body)[name] for one, name in zip(answered, ("Results", "People"), strict=True)]

    return store.run(read).result(60)


def check(store: Store) -> dict[str, Check]:
    """What the store's own check finds, by name."""
    return {found.name: found for found in store.check().result(60)}


def test_the_command_finds_a_fault_and_repairs_it(db: Path) -> None:
    """It says what is wrong and what to do, and exits with 1. The repair makes it right."""
    assert doctor(db)[0] == 0
    statement, (name, words) = next(iter(FAULTS.items()))
    change(db, statement)
    with EventTracking(db):
        code, found = doctor(db)
        assert (code, found[name]["ok"]) == (1, False)
        assert words in found[name]["found"]
        assert REPAIR in found[name]["found"]
        code, found = doctor(db, "--repair")
        assert (code, [one for one in found.values() if not one["ok"]]) == (0, [])


@pytest.mark.database
@pytest.mark.parametrize("statement", FAULTS)
def test_each_fault_is_found_and_repaired(statement: str, db: Path) -> None:
    """The repair makes the answers right, and later events are folded as before."""
    with opened(db) as store:
        answers = ask(store)
        assert [found for found in check(store).values() if not found.ok] == []
    change(db, statement)
    name, words = FAULTS[statement]
    with opened(db) as store:
        found = check(store)[name]
        assert not found.ok
        assert words in found.found
        assert REPAIR in found.found
        store.questions.rebuild_columns().result(60)
        assert [found for found in check(store).values() if not found.ok] == []
        assert ask(store) == answers
        assert isinstance(store.submit([new_event(visitor=VISITORS[2])]).result(60)[0], Receipt)
        store._open_writer().wait_until_applied()
        store.run(lambda _: store._open_writer().upkeep.fold_columns(1)).result(60)
        assert ask(store) != answers
        assert check(store)["columns"].ok


def test_a_store_without_faults_is_not_rebuilt(db: Path) -> None:
    """`--repair` writes nothing anew if the columns are right."""
    with EventTracking(db) as tracking:
        tracking.sql("select 1")
        before = tracking.sql("select columns_seq from meta").rows
        assert doctor(db, "--repair")[0] == 0
        assert tracking.sql("select columns_seq from meta").rows == before


def test_doctor_finds_what_is_saved_and_cannot_be_read(db: Path) -> None:
    """It names the list, the name and the reason, and how to get rid of it, which works."""
    with EventTracking(db) as tracking:
        tracking.save(1, "sleepers", people=[["has_not_done", {"Within": "30d"}]])
        tracking.save(1, "pages", query={"Dimensions": ["path"], "DateRange": "year"})
        assert doctor(db)[1]["saved queries"] == {"name": "saved queries", "ok": True, "found": "2 can be read"}
    save_unreadable(db, "{")
    with EventTracking(db):
        code, found = doctor(db, "--repair")
        assert (code, found["saved queries"]["ok"]) == (1, False)
        assert "'broken' of list 1 cannot be read" in found["saved queries"]["found"]
        assert "falcon-events forget NAME --list N" in found["saved queries"]["found"]
        assert shortcuts.command("forget", "broken", "--list", "1", "--db", str(db)).returncode == 0
        assert doctor(db)[0] == 0


def save_unreadable(db: Path, definition: str) -> None:
    """Saves what nobody could have saved, in a closed store."""
    kind = "query" if "Query" in definition else "segment"
    change(db, "insert into saved_queries values (1, 'broken', ?, ?, now()::timestamp)", kind, definition)


@pytest.mark.parametrize("definition", UNREADABLE)
def test_the_reason_is_given_why_what_is_saved_cannot_be_read(definition: str, db: Path) -> None:
    """As it would be given to the one who saves it."""
    save_unreadable(db, definition)
    with opened(db) as store:
        found = check(store)["saved queries"]
    assert not found.ok
    assert UNREADABLE[definition] in found.found


def test_doctor_finds_a_name_that_is_saved_twice_and_a_wrong_kind(db: Path) -> None:
    """A name is unique within a list, and a segment has conditions."""
    for kind in ("segment", "query"):
        change(db, """insert into saved_queries values (1, 'x', ?, '{"People": []}', now()::timestamp)""", kind)
    with opened(db) as store:
        found = check(store)["saved queries"].found
    assert "'x' of list 1 is there 2 times" in found
    assert "it is saved as 'query', and has the content of a segment" in found


@pytest.mark.database
def test_what_is_left_of_a_list_is_no_fault(db: Path) -> None:
    """The newest events go with their list or person, and the watermark is not ahead of those that are left."""
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


@pytest.mark.database
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


@pytest.mark.database
def test_questions_are_right_while_the_columns_are_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Portion by portion, beside events that are stored; whatever of them is folded when a question is asked."""
    db = tmp_path / "new.duckdb"
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
    assert check(store)["columns"].found == "those of 1000 events agree with a recount"
    store.close()


def test_a_rebuild_without_memory_says_so(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered from the events meanwhile, and a later rebuild succeeds."""

    def fail(*_: Any) -> int:
        raise duckdb.OutOfMemoryException("no memory")

    with opened(db) as store:
        answers = ask(store)
        with monkeypatch.context() as patched:
            patched.setattr(columns, "fold", fail)
            with pytest.raises(EventsError, match="memory_limit_mb"):
                store.questions.rebuild_columns().result(60)
            assert ask(store) == answers
        store.questions.rebuild_columns().result(60)
        assert ask(store) == answers


def test_the_command_and_the_check_know_the_same_names() -> None:
    """Which checks report what a rebuild mends."""
    from falcon_events.cli.maintenance import REBUILT

    assert REBUILT == (answer_check.COLUMNS, answer_check.KEYS)
