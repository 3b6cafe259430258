"""Events that are deleted because of their age: what is kept of them answers as they did, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, strategies as st

from falcon_events.errors import NotFound
from falcon_events.model.persons import Visitor
from falcon_events.query.ranges import start_of_day
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, columns, pruning
from falcon_events.store.database.connect import open_memory
from falcon_events.store.database.pruning import Cut
from falcon_events.store.engine.pruner import list_days
from falcon_events.store.queries import answer_source, persons
from tests.examples import at_random
from tests.unit import test_answers as shared, test_funnels_and_retention as comings
from tests.unit.comings_oracle import RetentionOracle
from tests.unit.query_oracle import Event, Oracle
from tests.unit.test_answers import NOW, SPRING, assert_close, make_events

pytestmark = pytest.mark.database

DAY = 86_400_000_000
NOW_US = int(NOW.timestamp()) * 1_000_000
few = at_random(12)
"""Each example deletes events in portions."""


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A store in memory whose events are folded."""
    with open_memory(Settings(threads=1)) as connection:
        connection.execute("set variable folds = true")
        yield connection


def ask(connection: duckdb.DuckDBPyConnection, read: Callable[..., Any] = shared.ask, **asked: Any) -> Any:
    """The answer from typed columns, which is the one from the events' JSON."""
    answered = read(connection, **asked)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(answer_source, "MOST_OF_TAIL", -1)
        assert read(connection, **asked) == answered
    return answered


def fill(connection: duckdb.DuckDBPyConnection, events: list[Event], folds: list[int] | None = None) -> None:
    """Stores events instead of those before, and folds them."""
    for table in (*pruning.TABLES, "event_types", "event_properties"):
        connection.execute(f"delete from {table}")
    connection.execute("update meta set folded_seq = 0")
    shared.fill(connection, events, folds=folds)
    fold(connection, len(events))


def add(connection: duckdb.DuckDBPyConnection, events: list[Event]) -> None:
    """Stores more events, and folds them."""
    shared.insert(connection, events)
    if events:
        fold(connection, events[-1].seq)


def fold(connection: duckdb.DuckDBPyConnection, seq: int) -> None:
    """Folds all events."""
    catalogue.fold(connection, seq)
    columns.fold(connection, seq)


def prune(
    connection: duckdb.DuckDBPyConnection, day: date, zone: str, *, most: int = 3, portions: int = 1_000, units_stay: bool = True
) -> int:
    """Deletes the events before a day, at most so many portions, and returns how many those were."""
    cut = Cut(1, zone, start_of_day(day, ZoneInfo(zone)), day)
    count = 0
    for _ in range(portions):
        oldest, limit = pruning.find_oldest(connection, cut, 2**62)
        if oldest is None:
            break
        count += pruning.prune(connection, cut, list_days(oldest, cut), limit, most, NOW_US)
    if not units_stay:
        pruning.forget_units(connection, NOW_US + 1)
    return count


def local_day(at: int, zone: str) -> date:
    """The local day of a moment."""
    return datetime.fromtimestamp(at / 1_000_000, ZoneInfo(zone)).date()


def warnings_of(answered: dict[str, Any]) -> list[str]:
    """The codes of the warnings about deleted events."""
    codes = [warning["Code"] for warning in answered["Meta"]["Warnings"]]
    return [code for code in codes if code in ("daily_totals", "events_deleted")]


zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"])
cuts = st.integers(-2, 6)
"""The first day that is left, counted from that of the middle event."""
portions_of = st.sampled_from([1, 3, 3, 14])
"""How many events are deleted at once."""
ranges = st.sampled_from([["2026-02-01", "2026-04-02"], ["2026-03-29", "2026-03-29"], ["2026-02-20", "2026-03-30"]])
daily = st.one_of(
    st.fixed_dictionaries(
        {
            "Dimensions": st.sampled_from([["time:day"], ["time:day", "event"]]),
            "Metrics": st.permutations(["events", "people", "visitors", "views", "conversions", "revenue"]),
            "Filters": st.sampled_from([[], [["is", "event", ["pageView"]]], [["is", "event", ["conversion"]]]]),
        }
    ),
    st.fixed_dictionaries(
        {
            "Dimensions": st.sampled_from([[], ["time:week"], ["time:month", "event"], ["event"]]),
            "Metrics": st.permutations(["events", "views", "conversions", "revenue"]),
            "Filters": st.sampled_from(
                [
                    [],
                    [["is_not", "event", ["pageView"]]],
                    [["not", ["contains", "event", ["e"]]]],
                    [["is", "event", ["x", "signup"]]],
                ]
            ),
        }
    ),
)


def find_cut(events: list[Event], offset: int, zone: str) -> date:
    """A day among those of events, or beside them."""
    middle = sorted(event.at for event in events)[len(events) // 2] if events else SPRING
    return local_day(middle, zone) + timedelta(days=offset)


@few
@given(
    events=shared.stores(),
    asked=daily,
    zone=zones,
    offset=cuts,
    date_range=ranges,
    most=portions_of,
    portions=st.sampled_from([1, 2, 1_000]),
    units_stay=st.booleans(),
)
def test_trends_by_day_stay_as_they_were(
    connection: duckdb.DuckDBPyConnection,
    events: list[Event],
    asked: dict[str, Any],
    zone: str,
    offset: int,
    date_range: list[str],
    most: int,
    portions: int,
    units_stay: bool,
) -> None:
    """Also where a day is half deleted: the totals of the oracle over all events, by day, week, month and event type."""
    fill(connection, events)
    day = find_cut(events, offset, zone)
    pruned = prune(connection, day, zone, most=most, portions=portions, units_stay=units_stay or portions < 1_000)
    request = {"DateRange": date_range, "TimeZone": zone, "WeekStart": "monday", "People": [], "Include": ["totals"], **asked}
    answered = ask(connection, **request)
    oracle = Oracle(events, request, NOW)
    expected = oracle.rows()
    assert [row[0] for row in shared.rows(answered)] == [row[0] for row in expected]
    for (_, actual), (_, wanted) in zip(shared.rows(answered), expected, strict=True):
        assert_close(actual, wanted)
    totals = oracle.metrics(oracle.matched(request["Filters"]))
    for metric, actual, wanted in zip(request["Metrics"], answered["Meta"]["Totals"], totals, strict=True):
        if actual is not None or metric not in ("people", "visitors"):
            assert_close([actual], [wanted])
    reaches = pruned > 0 and date.fromisoformat(date_range[0]) < day
    assert warnings_of(answered) == ["daily_totals"] * reaches
    assert not columns.differs(connection)
    assert not catalogue.differs(connection, 1)
    assert connection.execute(pruning.COUNT_WRONG).fetchall()[0][1] == 0


@few
@given(events=shared.stores(), request=shared.requests, zone=zones, offset=cuts, most=portions_of, folds=shared.folds)
def test_answers_about_what_is_left_stay_as_they_were(
    connection: duckdb.DuckDBPyConnection,
    events: list[Event],
    request: dict[str, Any],
    zone: str,
    offset: int,
    most: int,
    folds: list[int],
) -> None:
    """Any question that does not say otherwise by a warning, whoever the people and whatever the orders were before."""
    fill(connection, events, folds)
    day = find_cut(events, offset, zone)
    prune(connection, day, zone, most=most)
    since = max(day, date.fromisoformat(request["DateRange"][0]))
    request = {**request, "TimeZone": zone, "DateRange": [str(since), str(max(since, date(2026, 4, 2)))], "People": []}
    answered = ask(connection, **request)
    if not warnings_of(answered):
        oracle = Oracle(events, request, NOW)
        expected = oracle.rows()
        assert [row[0] for row in shared.rows(answered)] == [row[0] for row in expected]
        for (_, actual), (_, wanted) in zip(shared.rows(answered), expected, strict=True):
            assert_close(actual, wanted)


@few
@given(events=shared.stores(), request=comings.retentions, offset=cuts, most=portions_of, plain=st.booleans())
def test_nobody_starts_later_than_before(
    connection: duckdb.DuckDBPyConnection, events: list[Event], request: dict[str, Any], offset: int, most: int, plain: bool
) -> None:
    """Cohorts by the first start ever have the same sizes; periods that are left, the same returns."""
    if plain:
        request = {**request, "Filters": [], "People": [], "Start": {k: v for k, v in request["Start"].items() if k == "Event"}}
    fill(connection, events)
    zone = request["TimeZone"]
    day = find_cut(events, offset, zone)
    pruned = prune(connection, day, zone, most=most)
    answered = ask(connection, comings.retention, **request)
    expected = RetentionOracle(events, request, NOW).cohorts()
    begins = date.fromisoformat(request["DateRange"][0])
    if plain and request["First"] == "ever":
        assert warnings_of(answered) == ["events_deleted"] * (pruned > 0 and begins < day)
    elif warnings_of(answered):
        return
    for (label, size, returned), (wanted_label, wanted_size, wanted) in zip(comings.cohorts_of(answered), expected, strict=True):
        assert (label, size) == (wanted_label, wanted_size)
        assert [one for one in returned if one is not None] == [
            other for one, other in zip(returned, wanted, strict=True) if one is not None
        ]
        if not pruned:
            assert returned == wanted


@few
@given(
    events=shared.stores(),
    offset=cuts,
    most=portions_of,
    email=st.sampled_from(["ada@x.com", "bob@x.com"]),
    late=shared.stores(),
)
def test_an_erased_person_leaves_nothing_but_counts(
    connection: duckdb.DuckDBPyConnection, events: list[Event], offset: int, most: int, email: str, late: list[Event]
) -> None:
    """Neither an address nor a first event. What is left is what a fold makes of it, also with events that come later."""
    fill(connection, events)
    prune(connection, find_cut(events, offset, "UTC"), "UTC", most=most)
    try:
        persons.erase(connection, Visitor(1, email=email))
    except NotFound:
        assert email not in {event.email and event.email.lower() for event in events}
    assert not columns.differs(connection)
    assert connection.execute("select count(*) from address_keys where address = ?", [email]).fetchone() == (0,)
    left = {event.visitor for event in events if event.email is None or event.email.lower() != email}
    kept = "select distinct visitor::varchar from first_events join visitor_keys using (list_id, visitor_key)"
    assert {visitor for (visitor,) in connection.execute(kept).fetchall()} <= left
    for number, event in enumerate(late):
        event.seq = len(events) + number + 1
    add(connection, late)
    prune(connection, find_cut(events, offset, "UTC"), "UTC", most=most)
    assert not columns.differs(connection)
    assert connection.execute(pruning.COUNT_WRONG).fetchall()[0][1] == 0


operations = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.integers(1, 5)),
        st.tuples(st.just("prune"), st.integers(-1, 5), st.integers(1, 3)),
        st.tuples(st.just("forget")),
    ),
    min_size=2,
    max_size=8,
)


@few
@given(events=shared.stores(), done=operations, zone=zones, most=portions_of)
def test_what_arrives_late_counts_once(
    connection: duckdb.DuckDBPyConnection, events: list[Event], done: list[tuple[Any, ...]], zone: str, most: int
) -> None:
    """Events are stored, some long after they happened, while others are deleted, in any order: each is in one place."""
    fill(connection, [])
    events = sorted(events, key=lambda event: event.seq % 3)  # so that later ones happened earlier
    for number, event in enumerate(events, 1):
        event.seq = number
    at, border = 0, None
    for operation in [*done, ("store", len(events))]:
        if operation[0] == "store":
            add(connection, events[at : at + operation[1]])
            at += operation[1]
        elif operation[0] == "forget":
            pruning.forget_units(connection, NOW_US + 1)
        else:
            day = max(find_cut(events, operation[1], zone), border or date.min)
            if prune(connection, day, zone, most=most, portions=operation[2]):
                border = day
    assert not columns.differs(connection)
    assert not catalogue.differs(connection, 1)
    assert connection.execute(pruning.COUNT_WRONG).fetchall()[0][1] == 0
    request: dict[str, Any] = {"DateRange": ["2026-02-01", "2026-04-10"], "TimeZone": zone, "WeekStart": "monday", "People": []}
    request |= {"Filters": [], "Dimensions": ["time:day", "event"], "Metrics": ["events", "views"]}
    assert shared.rows(ask(connection, **request)) == Oracle(events, request, NOW).rows()
    request |= {"Dimensions": [], "Metrics": ["conversions"]}
    assert shared.rows(ask(connection, **request)) == Oracle(events, request, NOW).rows()
    if border is not None:
        request |= {"DateRange": [str(border), "2026-04-10"], "Dimensions": ["person"], "Metrics": ["events", "visitors"]}
        answered = ask(connection, **request)
        assert (sorted(shared.rows(answered)), warnings_of(answered)) == (sorted(Oracle(events, request, NOW).rows()), [])


def ask_days(connection: duckdb.DuckDBPyConnection, first: str, last: str, zone: str, **more: Any) -> dict[str, Any]:
    """What happened in a range of days."""
    asked = {"Dimensions": ["time:day"], "Metrics": ["events", "people"], **more}
    return ask(connection, DateRange=[first, last], TimeZone=zone, **asked)


def test_days_are_those_of_the_time_zone(connection: duckdb.DuckDBPyConnection) -> None:
    """A day of 23 hours ends where the clock says; another time zone's days are not the ones that were counted."""
    noon = int(datetime(2026, 3, 29, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * 1_000_000
    midnight = int(datetime(2026, 3, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * 1_000_000
    assert midnight - start_of_day(date(2026, 3, 29), ZoneInfo("Europe/Berlin")) == 23 * DAY // 24
    moments = [midnight - 23 * DAY // 24 - 1, midnight - 23 * DAY // 24, noon, midnight - 1, midnight]
    fill(connection, make_events(*({"at": at} for at in moments)))
    assert prune(connection, date(2026, 3, 30), "Europe/Berlin") == 4
    days = ("2026-03-28", "2026-03-30")
    answered = ask_days(connection, *days, "Europe/Berlin")
    assert shared.rows(answered) == [(["2026-03-28"], [1, 1]), (["2026-03-29"], [3, 1]), (["2026-03-30"], [1, 1])]
    assert answered["Meta"]["Warnings"] == [{"Code": "daily_totals", "EventsFrom": "2026-03-30"}]
    answered = ask_days(connection, *days, "UTC")
    assert [row[1][0] for row in shared.rows(answered)] == [0, 1, 0]
    assert answered["Meta"]["Warnings"] == [{"Code": "events_deleted", "EventsFrom": "2026-03-30"}]
    assert warnings_of(ask_days(connection, "2026-03-31", "2026-03-31", "UTC")) == []


@pytest.fixture(scope="module")
def pruned() -> Iterator[duckdb.DuckDBPyConnection]:
    """A store of its own, in which the events before 29 March are deleted, and one is left."""
    with open_memory(Settings(threads=1)) as connection:
        connection.execute("set variable folds = true")
        fill(connection, make_events({"at": SPRING - DAY}, {"at": SPRING}, {"at": SPRING + 2 * DAY}))
        assert prune(connection, date(2026, 3, 29), "UTC") == 2
        yield connection


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"Metrics": ["events", "people"], "Dimensions": ["time:day"]}, "daily_totals"),
        ({"Metrics": ["events"], "Dimensions": ["time:week", "event"]}, "daily_totals"),
        ({"Metrics": ["events"], "Filters": [["is", "event", ["e", "f"]]]}, "daily_totals"),
        ({"Metrics": ["events"], "DateRange": ["2026-03-27T00:00:00Z", "2026-03-29T12:00:00Z"]}, "daily_totals"),
        ({"Metrics": ["people"], "DateRange": ["2026-03-28", "2026-03-28"]}, "daily_totals"),
        ({"Metrics": ["people"]}, "events_deleted"),
        ({"Metrics": ["people"], "Dimensions": ["time:week"]}, "events_deleted"),
        ({"Metrics": ["people"], "Dimensions": ["time:day"], "Filters": [["is", "event", ["e", "f"]]]}, "events_deleted"),
        ({"Metrics": ["people"], "Dimensions": ["time:day"], "Filters": [["is_not", "event", ["f"]]]}, "events_deleted"),
        ({"Metrics": ["events"], "Dimensions": ["time:hour"], "DateRange": ["2026-03-28", "2026-03-29"]}, "events_deleted"),
        ({"Metrics": ["sessions"], "Dimensions": ["time:day"]}, "events_deleted"),
        ({"Metrics": [["sum", "property:n"]]}, "events_deleted"),
        ({"Metrics": ["events"], "Dimensions": ["path"]}, "events_deleted"),
        ({"Metrics": ["events"], "Filters": [["is", "path", ["/"]]]}, "events_deleted"),
        ({"Metrics": ["events"], "Filters": [["is", "event", ["identify"]]]}, "events_deleted"),
        ({"Metrics": ["events"], "Filters": [["is_not_set", "property:$bot"]]}, "events_deleted"),
        ({"Metrics": ["events"], "People": [["has_done", {"Event": "e"}]]}, "events_deleted"),
        ({"Metrics": ["events"], "DateRange": ["2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"]}, "events_deleted"),
        ({"Metrics": ["sessions"], "DateRange": ["2026-03-29", "2026-03-31"]}, "events_deleted"),
        ({"Metrics": ["events"], "Dimensions": ["campaign"], "DateRange": ["2026-04-02", "2026-04-02"]}, "events_deleted"),
        ({"Metrics": ["events"], "DateRange": ["2026-03-30", "2026-04-01"], "Compare": "previous"}, "daily_totals"),
        ({"Metrics": ["people"], "DateRange": ["2026-03-30", "2026-04-01"], "Compare": "previous"}, "events_deleted"),
        ({"Metrics": ["people", "revenue"], "DateRange": ["2026-03-29", "2026-04-01"]}, None),
        ({"Metrics": ["sessions"], "DateRange": ["2026-03-30", "2026-04-01"]}, None),
    ],
)
def test_an_answer_says_what_it_is_made_of(pruned: duckdb.DuckDBPyConnection, asked: dict[str, Any], code: str | None) -> None:
    """Totals where they are exact, else the events that are left; nothing where none that matters is deleted."""
    answered = ask(pruned, **{"DateRange": ["2026-03-01", "2026-04-02"], "TimeZone": "UTC", **asked})
    assert warnings_of(answered) == ([] if code is None else [code])
