"""Typed columns of events and the addresses of visitors: they are what the events have, whatever happens to these."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, strategies as st

from falcon_events import EventTracking
from falcon_events.errors import NotFound
from falcon_events.model.persons import Visitor
from falcon_events.query.reading import read_question
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, columns
from falcon_events.store.database.connect import open_database, open_memory
from falcon_events.store.engine import upkeep
from falcon_events.store.queries import access_rows, answer_source, persons
from falcon_events.store.queries.answers import answer
from falcon_events.store.store import Store
from tests.examples import at_random
from tests.harness import wait_until
from tests.unit import test_answers as shared
from tests.unit.query_oracle import Event
from tests.unit.test_answers import SPRING, VISITORS, make_events

pytestmark = pytest.mark.database

QUESTIONS: list[dict[str, Any]] = [
    {"DateRange": "all", "Dimensions": ["person", "event"], "Metrics": ["events", "visitors", "people", "sessions"]},
    {"DateRange": "all", "Dimensions": ["campaign", "visitor"], "Metrics": ["events", "conversions", "revenue"]},
]


@pytest.fixture(scope="module")
def opened() -> Iterator[duckdb.DuckDBPyConnection]:
    """A store in memory whose events are folded."""
    with open_memory(Settings(threads=1)) as connection:
        connection.execute("set variable folds = true")
        yield connection


@pytest.fixture
def connection(opened: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """It, without lists and with an empty catalogue."""
    for table in ("lists", "event_types", "event_properties"):
        opened.execute(f"delete from {table}")
    opened.execute("update meta set folded_seq = 0")
    return opened


def ask_all(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    """The answers to some questions."""
    return [shared.ask(connection, **question)["Results"] for question in QUESTIONS]


def count_rows(connection: duckdb.DuckDBPyConnection, list_id: int) -> dict[str, int]:
    """The number of rows of a list, by table."""
    counts = {}
    for table in shared.TYPED:
        ((counts[table],),) = connection.execute(f"select count(*) from {table} where list_id = ?", [list_id]).fetchall()
    return counts


@at_random(10)
@given(events=shared.stores(), folds=shared.folds, email=st.sampled_from(["ada@x.com", "bob@x.com"]))
def test_an_erased_person_leaves_columns_keys_and_addresses(
    connection: duckdb.DuckDBPyConnection, events: list[Event], folds: list[int], email: str
) -> None:
    """What is left is what a fold of the events that are left would make; answers are those from their JSON."""
    shared.fill(connection, events, folds=folds)
    try:
        persons.erase(connection, Visitor(1, email=email))
    except NotFound:
        assert email not in {event.email and event.email.lower() for event in events}
    assert not columns.differs(connection)
    assert connection.execute("select count(*) from address_keys where address = ?", [email]).fetchone() == (0,)
    unused = "select count(*) from visitor_keys where visitor_key not in (select visitor_key from event_columns)"
    assert connection.execute(unused).fetchone() == (0,)
    answered = ask_all(connection)
    for table in shared.TYPED:
        connection.execute(f"delete from {table}")
    connection.execute("update meta set columns_seq = 0")
    assert ask_all(connection) == answered


def test_all_events_begin_with_the_first_that_an_erasure_has_left(connection: duckdb.DuckDBPyConnection) -> None:
    """The range "all" does not tell when an erased person was there."""
    day = 86_400_000_000
    ada, other = {"email": "ada@x.com"}, {"visitor": VISITORS[1]}
    shared.fill(connection, make_events(ada, {**other, "at": SPRING + day}, {**ada, "at": SPRING + 2 * day}))
    catalogue.fold(connection, 3)
    asked = {"DateRange": "all", "Metrics": ["events"], "Dimensions": ["time:day"]}
    assert shared.ask(connection, **asked)["Query"]["DateRange"] == ["2026-03-28", "2026-04-03"]
    persons.erase(connection, Visitor(1, email="ada@x.com"))
    answered = shared.ask(connection, **asked)
    assert (answered["Query"]["DateRange"], answered["Meta"]["AsOf"]) == (["2026-03-29", "2026-04-03"], 2)


@at_random(12)
@given(events=shared.stores(), folds=st.lists(st.integers(0, 14), max_size=4))
def test_several_folds_make_what_one_would(connection: duckdb.DuckDBPyConnection, events: list[Event], folds: list[int]) -> None:
    """Whatever the order in which events happened, and where the folds end."""
    shared.fill(connection, events, folds=[*folds, len(events)])
    assert not columns.differs(connection)


def test_a_deleted_list_leaves_no_columns(connection: duckdb.DuckDBPyConnection) -> None:
    """Nor keys, nor addresses."""
    connection.execute("insert into lists values (1, 'a', 'x', now()::timestamp)")
    shared.fill(connection, make_events({"email": "ada@x.com"}, {"email": "bob@x.com"}, {}))
    assert count_rows(connection, 1) == dict(zip(shared.TYPED, (3, 1, 2, 2, 2), strict=True))
    access_rows.delete_list(connection, 1)
    assert count_rows(connection, 1) == dict.fromkeys(shared.TYPED, 0)


def test_a_visitor_of_two_lists_is_two(connection: duckdb.DuckDBPyConnection) -> None:
    """With keys and addresses of each."""
    shared.fill(connection, make_events({"email": "ada@x.com"}), list_id=2)
    shared.insert(connection, [Event(2, "e", VISITORS[0], None, SPRING, {})])
    whole = {"DateRange": "all", "Dimensions": ["person"], "Metrics": ["events"]}
    for _ in range(2):
        assert shared.rows(shared.ask(connection, **whole)) == [([VISITORS[0]], [1])]
        columns.fold(connection, 2)
    assert not columns.differs(connection)


def test_an_address_of_the_tail_changes_the_persons_of_folded_events(connection: duckdb.DuckDBPyConnection) -> None:
    """An anonymous visitor becomes a person; a late event gives a visitor of one address a second one."""
    first, second, _ = VISITORS
    shared.fill(
        connection,
        make_events(
            {"visitor": first},
            {"visitor": second, "at": SPRING + 1, "email": "bob@x.com"},
            {"visitor": second, "at": SPRING + 3},
            {"visitor": first, "at": SPRING + 9, "email": "ada@x.com"},
            {"visitor": second, "at": SPRING + 2, "email": "eve@x.com"},
        ),
        folds=[3],
    )
    asked = {"DateRange": "all", "Dimensions": ["person"], "Metrics": ["events"]}
    expected = [(["ada@x.com"], [2]), (["eve@x.com"], [2]), (["bob@x.com"], [1])]
    assert shared.rows(shared.ask(connection, **asked)) == expected
    columns.fold(connection, 5)
    assert shared.rows(shared.ask(connection, **asked)) == expected


def test_an_identify_event_is_automatic_beside_an_event_of_the_next_fold(connection: duckdb.DuckDBPyConnection) -> None:
    """Of an earlier release, which did not say so: the fold looks at the event before its first and after its last one."""
    later, identify = {"at": SPRING + 1}, {"event": "identify"}
    events = make_events({}, identify, {**identify, **later}, later, {"at": SPRING + 2})
    for folds in ([2], [1, 3], [1, 2, 3, 4, 5]):
        shared.fill(connection, events, folds=folds)
        assert shared.rows(shared.ask(connection, DateRange="all", Metrics=["events"])) == [([], [3])]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"url": "https://x.com/a?b=1#c"}, {"url": "https://x.com/a", "host": "x.com", "path": "/a"}),
        ({"url": "https://x.com#a?utm_source=b"}, {"url": "https://x.com", "path": "/", "utm_source": None}),
        ({"url": "/a?utm_source=b"}, {"url": "/a", "host": None, "path": None, "utm_source": "b"}),
        ({"$current_url": "app://h/p"}, {"url": "app://h/p", "host": "h", "path": "/p"}),
        ({"url": "https://x.com", "$host": "y", "$pathname": "/z"}, {"host": "y", "path": "/z"}),
        ({"url": "https://x.com?utm_source=a+b%20c&utm_source=d"}, {"utm_source": "a b c"}),
        ({"url": "https://x.com?a=1?b&utm_medium=%FF&xutm_source=1"}, {"utm_medium": "%FF", "utm_source": None}),
        ({"url": "https://x.com?utm_term=100%25&utm_content="}, {"utm_term": "100%", "utm_content": None}),
        ({"$screen_width": 5, "$screen_height": "6"}, {"screen": "5x6"}),
        ({"$screen_width": 5}, {"screen": None, "url": None}),
        ({"$browser": "B", "$browser_version": 1.5, "$os": True}, {"browser": "B", "browser_version": "1.5", "os": "true"}),
    ],
)
def test_columns_are_read_from_properties(
    connection: duckdb.DuckDBPyConnection, properties: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Addresses end at the fragment, and a query begins at the first question mark."""
    shared.fill(connection, make_events({"properties": properties}))
    names = ", ".join(expected)
    assert connection.execute(f"select {names} from event_columns").fetchone() == tuple(expected.values())
    read = columns.express_columns("seq > 0", "seq", list(expected), None)
    assert connection.execute(f"select {names} from ({read})").fetchone() == tuple(expected.values())


def test_doctor_compares_columns_with_the_events(tracking: EventTracking, db: Path) -> None:
    """A column and an address that are not what the events have are found; later events are counted."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "a", email="ada@x.com", properties={"url": "https://x.com/a"})
    assert {check.name: check.found for check in tracking.check()}["columns"].endswith("2 later events have none yet")
    for change in ("update event_columns set path = 'x'", "update visitor_addresses set seq = 9", "delete from event_columns"):
        tracking.close()
        with duckdb.connect(str(db)) as connection:
            connection.execute("update meta set columns_seq = 0")
            for table in shared.TYPED:
                connection.execute(f"delete from {table}")
            columns.fold(connection, 2)
            assert not columns.differs(connection)
            connection.execute(change)
        tracking = EventTracking(db)
        check = {check.name: check for check in tracking.check()}["columns"]
        assert (check.ok, "differ" in check.found) == (False, True), change
    tracking.close()


def test_a_question_gives_the_events_that_it_read_their_columns(tracking: EventTracking) -> None:
    """Soon after its answer, even if they are few, so that the next question is faster."""
    tracking.directory.ensure_list(1, "news")
    for number in range(1, 4):
        tracking.track(1, "order", uuid=VISITORS[0])
        (row,) = tracking.query(1, date_range="all", metrics=["events"]).rows
        assert row.metrics == [number]
        counted = "select count(*) from event_columns"
        wait_until(lambda: tracking.sql(counted).rows == [[number]], "no columns")  # noqa: B023


def test_copies_have_the_columns_and_nothing_of_an_erased_person(tracking: EventTracking, db: Path, tmp_path: Path) -> None:
    """Neither a backup nor the compacted file, whose answers are those of before."""
    tracking.directory.ensure_list(1, "news")
    for email in ("alice@example.com", "bob@example.com"):
        tracking.track(1, "order", email=email, properties={"url": f"https://x.com/{email}"})
    tracking.close()  # which folds
    with EventTracking(db) as tracking:
        assert tracking.sql("select count(*) from event_columns").rows == [[4]]
        assert tracking.erase(1, email="alice@example.com").left_in == []
        asked: dict[str, Any] = {"date_range": "all", "dimensions": ["person", "path"], "metrics": ["events"]}
        answered = tracking.query(1, **asked).rows
        assert [row.dimensions for row in answered] == [["bob@example.com", "/bob@example.com"]]
        tracking.backup(tmp_path / "copy.duckdb")
        tracking.compact()
        assert tracking.query(1, **asked).rows == answered
        assert [check for check in tracking.check() if check.name == "columns" and not check.ok] == []
    for path in (db, tmp_path / "copy.duckdb"):
        content = path.read_bytes()
        assert (b"alice@" in content, b"bob@" in content) == (False, True)
        with EventTracking(path) as tracking:
            assert tracking.query(1, **asked).rows == answered


def test_a_store_of_an_earlier_release_gets_its_columns_in_the_background(
    db: Path, monkeypatch: pytest.MonkeyPatch, tracking: EventTracking
) -> None:
    """Portion by portion, while answers are right, and with its progress in the report of a check."""
    tracking.directory.ensure_list(1, "news")
    tracking.close()
    with open_database(db, Settings()) as connection:
        connection.execute(
            "insert into events select range, uuid(), 'a', 1, 'e', $visitor, 'x', null, now()::timestamp, now()::timestamp,"
            " '{}', null, null, null from range(1, 1001)",
            {"visitor": str(uuid.uuid4())},
        )
    monkeypatch.setattr(upkeep, "COLUMNS_AT_ONCE", 100)
    monkeypatch.setattr(answer_source, "MOST_OF_TAIL", 500)
    store = Store(db, Settings(fold_events=10))
    question = read_question({"DateRange": "all", "Metrics": ["events"]}, 1, "UTC", 0)
    seen: set[int] = set()

    def is_filled() -> bool:
        def look(connection: duckdb.DuckDBPyConnection) -> int:
            answered = answer(connection, question, timeout_s=60, session_gap_s=1800)  # type: ignore[arg-type]
            assert b'"Metrics":[1000]' in answered.body
            return columns.read_columns_seq(connection)

        seen.add(store.run(look).result(60))
        return 1000 in seen

    wait_until(is_filled, "the columns are not filled", seconds=30)
    assert {seq % 100 for seq in seen} == {0}
    assert {check.name: check for check in store.check().result(60)}["columns"].ok
    store.close()
