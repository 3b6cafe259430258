"""Answers to website_events.funnel and .retention: the same as an oracle's in plain Python, and what is easily got wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, strategies as st

from falcon_events.query import reading
from falcon_events.query.question import decode_question, encode_question
from falcon_events.store.queries.answers import answer
from tests.examples import at_random
from tests.unit import test_answers as shared
from tests.unit.comings_oracle import FunnelOracle, RetentionOracle
from tests.unit.query_oracle import Event
from tests.unit.test_answers import (
    NOW,
    SPRING,
    VISITORS,
    Connections,
    combine,
    fill,
    filters,
    leaf,
    make_events,
    person_leaf,
    stores,
)

pytestmark = pytest.mark.database

NOW_US = int(NOW.timestamp()) * 1_000_000
HOUR, DAY = 3_600_000_000, 86_400_000_000
connections, either_connection = shared.connections, shared.either_connection
A, B, C = {"Event": "a"}, {"Event": "b"}, {"Event": "c"}
MARCH = {"DateRange": ["2026-03-01", "2026-03-31"]}


def ask(connection: duckdb.DuckDBPyConnection, read: Callable[..., Any], now_us: int = NOW_US, **params: Any) -> dict[str, Any]:
    """The answer to a question about list 1, which travels as it does to the store's owner."""
    question = read(params, 1, "UTC", now_us)
    assert not isinstance(question, list), question
    answered = answer(connection, decode_question(encode_question(question)), timeout_s=60, session_gap_s=1800)
    assert answered.failures == []
    decoded: dict[str, Any] = json.loads(answered.body)
    return decoded


def assert_resolved(read: Callable[..., Any], request: dict[str, Any], answered: dict[str, Any]) -> None:
    """The question that an answer repeats is the same question."""
    again = {name: value for name, value in answered["Query"].items() if name != "ListID"}
    assert read(again, 1, "UTC", NOW_US) == read(request, 1, "UTC", NOW_US)


def funnel(connection: duckdb.DuckDBPyConnection, now_us: int = NOW_US, **params: Any) -> dict[str, Any]:
    """The answer to website_events.funnel."""
    return ask(connection, reading.read_funnel, now_us, **params)


def retention(connection: duckdb.DuckDBPyConnection, now_us: int = NOW_US, **params: Any) -> dict[str, Any]:
    """The answer to website_events.retention."""
    return ask(connection, reading.read_retention, now_us, **params)


def steps_of(answered: dict[str, Any]) -> list[tuple[int, float | None]]:
    """How many reached each step, and the median seconds."""
    return [(step["People"], step["MedianSeconds"]) for step in answered["Steps"]]


def people_of(answered: dict[str, Any]) -> list[int]:
    """How many reached each step."""
    return [step["People"] for step in answered["Steps"]]


def cohorts_of(answered: dict[str, Any]) -> list[tuple[str, int, list[int | None]]]:
    """The label, the size and the returns of each cohort."""
    return [(one["Cohort"], one["Size"], one["Returned"]) for one in answered["Cohorts"]]


kind = st.fixed_dictionaries(
    {},
    optional={
        "Event": st.sampled_from(["pageView", "pageView", "signup", "conversion", "identify"]),
        "Filters": st.lists(leaf, max_size=1),
    },
)
simple_kind = st.sampled_from([{"Event": "pageView"}, {"Event": "signup"}, {"Event": "conversion"}, {}])
common = {
    "DateRange": st.sampled_from([["2026-02-20", "2026-04-02"], ["2026-03-01", "2026-03-30"], ["2026-03-29", "2026-03-29"]]),
    "TimeZone": st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    "WeekStart": st.sampled_from(["monday", "sunday"]),
    "Filters": st.one_of(st.just([]), filters),
    "People": st.one_of(st.just([]), st.lists(combine(person_leaf), max_size=1)),
}
funnels = st.fixed_dictionaries(
    {
        **common,
        "Steps": st.lists(st.one_of(simple_kind, simple_kind, kind), min_size=2, max_size=4),
        "Window": st.sampled_from(["1m", "30m", "1h", "5h", "1d", "7d"]),
        "Order": st.sampled_from(["sequential", "sequential", "strict"]),
        "By": st.sampled_from(["people", "visitors", "sessions"]),
        "Breakdown": st.sampled_from(["event", "path", "property:n", "campaign", "entry_path", "person"]),
    }
)
retentions = st.fixed_dictionaries(
    {
        **common,
        "Start": st.one_of(simple_kind, kind),
        "Return": st.one_of(simple_kind, kind),
        "Unit": st.sampled_from(["day", "week", "month"]),
        "Periods": st.integers(1, 6),
        "First": st.sampled_from(["ever", "in_range"]),
        "Mode": st.sampled_from(["calendar", "rolling"]),
        "By": st.sampled_from(["people", "visitors"]),
    }
)


@at_random(30)
@given(source=shared.sources, folds=shared.folds, events=stores(), request=funnels)
def test_funnels_are_those_of_the_oracle(
    connections: Connections, source: str, folds: list[int], events: list[Event], request: dict[str, Any]
) -> None:
    """Counts, medians, the breakdown and its order, and whose window is open; the resolved question gives the same answer."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
    answered = funnel(connection, **request)
    oracle = FunnelOracle(events, request, NOW)
    assert steps_of(answered) == oracle.steps()
    assert [(group["Value"], steps_of(group)) for group in answered["Breakdown"]] == oracle.breakdown()
    assert answered["Meta"]["Partial"] == oracle.partial
    assert answered["Meta"]["AsOf"] == len(events)
    assert_resolved(reading.read_funnel, request, answered)


@at_random(30)
@given(source=shared.sources, folds=shared.folds, events=stores(), request=retentions)
def test_retentions_are_those_of_the_oracle(
    connections: Connections, source: str, folds: list[int], events: list[Event], request: dict[str, Any]
) -> None:
    """Cohorts, sizes and returns; the resolved question gives the same answer."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
    answered = retention(connection, **request)
    assert cohorts_of(answered) == RetentionOracle(events, request, NOW).cohorts()
    assert_resolved(reading.read_retention, request, answered)


def test_two_equal_steps_need_two_events(either_connection: duckdb.DuckDBPyConnection) -> None:
    """One event serves one step, also where steps overlap."""
    fill(either_connection, make_events({"event": "a"}))
    assert people_of(funnel(either_connection, Steps=[A, A], **MARCH)) == [1, 0]
    assert people_of(funnel(either_connection, Steps=[{}, A], **MARCH)) == [1, 0]
    fill(either_connection, make_events({"event": "a"}, {"event": "a"}))
    assert people_of(funnel(either_connection, Steps=[A, A], **MARCH)) == [1, 1]
    assert people_of(funnel(either_connection, Steps=[A, A, A], **MARCH)) == [1, 1, 0]


def test_events_at_one_time_are_in_the_order_of_storage(either_connection: duckdb.DuckDBPyConnection) -> None:
    """The step that was stored second is second."""
    fill(either_connection, make_events({"event": "a"}, {"event": "b"}))
    assert steps_of(funnel(either_connection, Steps=[A, B], **MARCH)) == [(1, None), (1, 0.0)]
    assert people_of(funnel(either_connection, Steps=[B, A], **MARCH)) == [1, 0]


def test_a_window_may_end_after_the_range(either_connection: duckdb.DuckDBPyConnection) -> None:
    """The first step lies in the range; the later ones within the window, whose end is included."""
    last = int(datetime(2026, 3, 31, 23, 59, tzinfo=UTC).timestamp()) * 1_000_000
    fill(either_connection, make_events({"event": "a", "at": last}, {"event": "b", "at": last + DAY}))
    assert people_of(funnel(either_connection, Steps=[A, B], Window="1d", **MARCH)) == [1, 1]
    assert people_of(funnel(either_connection, Steps=[A, B], Window="1439m", **MARCH)) == [1, 0]
    assert people_of(funnel(either_connection, Steps=[B, A], **MARCH)) == [0, 0]


def test_the_window_counts_from_the_first_step(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Not from the step before. A later attempt may come further than the first one."""
    tries = [("a", 0), ("b", HOUR), ("a", 2 * HOUR), ("b", 3 * HOUR), ("c", 3 * HOUR + 1)]
    fill(either_connection, make_events(*({"event": event, "at": SPRING + at} for event, at in tries)))
    assert steps_of(funnel(either_connection, Steps=[A, B, C], Window="2h", **MARCH)) == [(1, None), (1, 3600.0), (1, 1e-06)]
    assert people_of(funnel(either_connection, Steps=[A, B, C], Window="1h", **MARCH)) == [1, 1, 0]


def test_of_equal_attempts_the_earliest_counts(either_connection: duckdb.DuckDBPyConnection) -> None:
    """For the time that the steps took, and for the breakdown."""
    tries = [("a", 0, "first"), ("a", HOUR, "second"), ("b", 2 * HOUR, "-")]
    fill(either_connection, make_events(*({"event": e, "at": SPRING + at, "properties": {"n": n}} for e, at, n in tries)))
    answered = funnel(either_connection, Steps=[A, B], Breakdown="property:n", **MARCH)
    assert steps_of(answered) == [(1, None), (1, 7200.0)]
    assert [group["Value"] for group in answered["Breakdown"]] == ["first"]


def test_strict_order_lets_nothing_between(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Nothing of the same person; what Filters leave out is not there."""
    one, other = VISITORS[:2]
    fill(
        either_connection,
        make_events(
            {"event": "a", "visitor": one},
            {"event": "x", "visitor": other},
            {"event": "b", "visitor": one},
            {"event": "a", "visitor": other},
            {"event": "x", "visitor": other},
            {"event": "b", "visitor": other},
        ),
    )
    assert people_of(funnel(either_connection, Steps=[A, B], Order="strict", **MARCH)) == [2, 1]
    filtered = funnel(either_connection, Steps=[A, B], Order="strict", Filters=[["is_not", "event", ["x"]]], **MARCH)
    assert people_of(filtered) == [2, 2]


def test_people_visitors_and_sessions(either_connection: duckdb.DuckDBPyConnection) -> None:
    """A person may go on as another visitor and in another session; a visitor and a session may not."""
    one, other = VISITORS[:2]
    fill(
        either_connection,
        make_events(
            {"event": "a", "visitor": one, "email": "ada@x.com"},
            {"event": "b", "visitor": one, "at": SPRING + HOUR},
            {"event": "c", "visitor": other, "email": "Ada@x.com", "at": SPRING + HOUR + 1},
        ),
    )
    found = {
        by: people_of(funnel(either_connection, Steps=[A, B, C], By=by, **MARCH)) for by in ("people", "visitors", "sessions")
    }
    assert found == {"people": [1, 1, 1], "visitors": [1, 1, 0], "sessions": [1, 0, 0]}


def test_shares_comparison_and_open_windows(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Shares of nothing are null. Partial are those who may still go further."""
    one, other, third = VISITORS
    fill(
        either_connection,
        make_events(
            {"event": "a", "visitor": one, "at": NOW_US - DAY},
            {"event": "a", "visitor": other, "at": NOW_US - DAY},
            {"event": "b", "visitor": other, "at": NOW_US - HOUR},
            {"event": "a", "visitor": third, "at": NOW_US - 8 * DAY},
        ),
    )
    answered = funnel(either_connection, Steps=[A, B], DateRange="2d", Compare=["2026-03-01", "2026-03-31"])
    assert [(step["OfFirst"], step["OfPrevious"]) for step in answered["Steps"]] == [(1.0, None), (0.5, 0.5)]
    assert [step["Compared"]["People"] for step in answered["Steps"]] == [1, 0]
    assert (answered["Meta"]["Partial"], answered["Meta"]["ComparedPartial"]) == (1, 0)
    empty = funnel(either_connection, Steps=[A, B], DateRange=["2020-01-01", "2020-01-01"], Breakdown="path")
    assert [(step["OfFirst"], step["OfPrevious"]) for step in empty["Steps"]] == [(None, None), (None, None)]
    assert empty["Breakdown"] == []


def test_a_breakdown_is_compared_by_value(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Null is a value of its own; what the other range does not have is 0 there."""
    one, other, third = VISITORS
    fill(
        either_connection,
        make_events(
            {"event": "a", "visitor": one, "at": NOW_US, "properties": {"n": "x"}},
            {"event": "a", "visitor": other, "at": NOW_US},
            {"event": "a", "visitor": third, "at": NOW_US - DAY},
            {"event": "b", "visitor": third, "at": NOW_US - DAY + 1},
            {"event": "a", "visitor": one, "at": NOW_US - DAY, "properties": {"n": "y"}},
        ),
    )
    answered = funnel(either_connection, Steps=[A, B], DateRange="today", Compare="previous", Breakdown="property:n")
    found = [
        (group["Value"], [(step["People"], step["Compared"]["People"]) for step in group["Steps"]])
        for group in answered["Breakdown"]
    ]
    assert found == [("x", [(1, 0), (0, 0)]), (None, [(1, 1), (0, 1)])]


def test_a_breakdown_has_as_many_values_as_an_answer_has_rows(either_connection: duckdb.DuckDBPyConnection) -> None:
    """10,000; more are refused."""
    fill(either_connection, [])
    insert = (
        "insert into events select range + 1, uuid(), 'a', 1, 'a', uuid(), 'x', null, make_timestamp($at), make_timestamp($at),"
        " '{}', null, null, null from range($since, $until)"
    )
    question = reading.read_funnel({"Steps": [A, B], "Breakdown": "visitor", **MARCH}, 1, "UTC", NOW_US)
    assert not isinstance(question, list)
    for since, until, failures in ((0, 10_000, []), (10_000, 10_001, [13])):
        either_connection.execute(insert, {"at": SPRING, "since": since, "until": until})
        answered = answer(either_connection, question, timeout_s=60, session_gap_s=1800)
        assert [code for code, _ in answered.failures] == failures
    assert answered.failures[0][1].startswith("Breakdown: visitor has more than 10000 values")
    fill(either_connection, [])


def test_a_step_may_ask_for_bots(either_connection: duckdb.DuckDBPyConnection) -> None:
    """They are left out of the other steps; a value that is no number is counted in a warning."""
    bot = {"$bot": "crawler", "n": "x"}
    fill(either_connection, make_events({"event": "a"}, {"event": "a", "properties": bot}, {"event": "b", "properties": bot}))
    asked = {"Event": "b", "Filters": [["is_set", "property:$bot"], ["<", "property:n", [1]]]}
    answered = funnel(either_connection, Steps=[A, asked], **MARCH)
    assert people_of(answered) == [1, 0]
    assert answered["Meta"]["Warnings"] == [{"Code": "not_a_number", "Name": "property:n", "Events": 1}]
    assert people_of(funnel(either_connection, Steps=[A, B], **MARCH)) == [1, 0]
    assert people_of(funnel(either_connection, Steps=[A, {"Event": "b", "Filters": [["is_set", "property:$bot"]]}], **MARCH)) == [
        1,
        1,
    ]


def test_the_first_start_decides(either_connection: duckdb.DuckDBPyConnection) -> None:
    """The first one ever, also before the range, or the first one in the range."""
    fill(either_connection, make_events({"at": SPRING - 40 * DAY}, {"at": SPRING}))
    asked = {"DateRange": ["2026-03-23", "2026-03-29"], "Periods": 1}
    assert cohorts_of(retention(either_connection, **asked)) == [("2026-03-23", 0, [0])]
    assert cohorts_of(retention(either_connection, **asked, First="in_range")) == [("2026-03-23", 1, [1])]


def test_a_return_is_not_before_its_start(either_connection: duckdb.DuckDBPyConnection) -> None:
    """At one time, the order of storage decides; a start that is a return, too, counts as one."""
    asked = {"Start": A, "Return": B, "DateRange": ["2026-03-23", "2026-03-29"], "Periods": 1}
    fill(either_connection, make_events({"event": "b"}, {"event": "a"}))
    assert cohorts_of(retention(either_connection, **asked)) == [("2026-03-23", 1, [0])]
    fill(either_connection, make_events({"event": "a"}, {"event": "b"}))
    assert cohorts_of(retention(either_connection, **asked)) == [("2026-03-23", 1, [1])]
    assert cohorts_of(retention(either_connection, **{**asked, "Return": A})) == [("2026-03-23", 1, [1])]


def test_calendar_periods_end_with_local_days(either_connection: duckdb.DuckDBPyConnection) -> None:
    """The week of the change to summer time has 167 hours, a rolling one 168; returns after the range count."""
    monday = int(datetime(2026, 3, 29, 22, tzinfo=UTC).timestamp()) * 1_000_000
    fill(either_connection, make_events({"at": monday - 7 * DAY + HOUR}, {"at": monday}))
    asked = {"DateRange": ["2026-03-23", "2026-03-23"], "TimeZone": "Europe/Berlin", "Periods": 2}
    at = monday + 7 * DAY
    assert cohorts_of(retention(either_connection, at, **asked)) == [("2026-03-23", 1, [1, 1])]
    assert cohorts_of(retention(either_connection, at - 1, **asked)) == [("2026-03-23", 1, [1, None])]
    assert cohorts_of(retention(either_connection, at + 7 * DAY, **asked, Mode="rolling")) == [("2026-03-23", 1, [1, 0])]


def test_a_rolling_period_begins_with_each_start(either_connection: duckdb.DuckDBPyConnection) -> None:
    """It is null until it is over for everybody who may be in the cohort."""
    start = SPRING
    fill(either_connection, make_events({"at": start}, {"at": start + DAY - 1}, {"at": start + 2 * DAY}))
    asked = {"DateRange": ["2026-03-28", "2026-03-28"], "Unit": "day", "Periods": 3, "Mode": "rolling"}
    ended = int(datetime(2026, 3, 31, tzinfo=UTC).timestamp()) * 1_000_000
    assert cohorts_of(retention(either_connection, ended + DAY, **asked)) == [("2026-03-28", 1, [1, 0, 1])]
    assert cohorts_of(retention(either_connection, ended + DAY - 1, **asked)) == [("2026-03-28", 1, [1, 0, None])]
    assert cohorts_of(retention(either_connection, ended - DAY - 1, **asked)) == [("2026-03-28", 1, [None, None, None])]


def test_months_and_weeks_have_their_labels(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Months of 28 to 31 days; weeks from Sunday; cohorts without anybody are there."""
    fill(either_connection, make_events({"at": SPRING - 57 * DAY}, {"at": SPRING - 56 * DAY}, {"at": SPRING}))
    months = retention(either_connection, DateRange=["2026-01-15", "2026-03-31"], Unit="month", Periods=4)
    assert cohorts_of(months) == [
        ("2026-01", 1, [1, 0, 1, None]),
        ("2026-02", 0, [0, 0, None, None]),
        ("2026-03", 0, [0, None, None, None]),
    ]
    weeks = retention(either_connection, DateRange=["2026-01-29", "2026-02-01"], WeekStart="sunday", Periods=2, First="in_range")
    assert cohorts_of(weeks) == [("2026-01-25", 1, [1, 0]), ("2026-02-01", 0, [0, 0])]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({}, 11, "Steps: at least 2"),
        ({"Steps": {}}, 11, "Steps: {} must be an array"),
        ({"Steps": [A]}, 11, "Steps: 1 given"),
        ({"Steps": [A] * 11}, 11, "Steps: 11 given"),
        ({"Steps": [A, "b"]}, 11, "Steps[1]: "),
        ({"Steps": [A, {"Events": "b"}]}, 11, 'Steps[1]: "events"'),
        ({"Steps": [A, {"Event": 1}]}, 11, "Steps[1].Event: "),
        ({"Steps": [A, {"Filters": [["is", "colour", ["a"]]]}]}, 11, "Steps[1].Filters[0]: "),
        ({"Steps": [A, B], "Window": "7 days"}, 11, "Window: "),
        ({"Steps": [A, B], "Window": "0d"}, 11, "Window: "),
        ({"Steps": [A, B], "Window": "36501d"}, 11, "Window: "),
        ({"Steps": [A, B], "Order": "any"}, 11, "Order: "),
        ({"Steps": [A, B], "By": "events"}, 11, "By: "),
        ({"Steps": [A, B], "Breakdown": "time:day"}, 7, "Breakdown: "),
        ({"Steps": [A, B], "Compare": "last"}, 4, "Compare: "),
        ({"Steps": [{"Filters": [["is", "event", ["a"]]] * 26}] * 2}, 13, "Filters, People, Steps: 52 conditions"),
    ],
)
def test_a_refused_funnel_names_the_place(params: dict[str, Any], code: int, message: str) -> None:
    """With the documented code, and what would be right."""
    failures = reading.read_funnel(params, 1, "UTC", 0)
    assert isinstance(failures, list)
    assert [(failure.code, failure.message[: len(message)]) for failure in failures] == [(code, message)]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"Start": "a"}, 11, "Start: "),
        ({"Return": {"Filters": [["is", "x", []]]}}, 11, "Return.Filters[0]: "),
        ({"Unit": "year"}, 11, "Unit: "),
        ({"Periods": 0}, 11, "Periods: "),
        ({"Periods": 53}, 11, "Periods: "),
        ({"First": "last"}, 11, "First: "),
        ({"Mode": "fixed"}, 11, "Mode: "),
        ({"By": "sessions"}, 11, "By: "),
        ({"DateRange": "0d"}, 4, "DateRange: "),
    ],
)
def test_a_refused_retention_names_the_place(params: dict[str, Any], code: int, message: str) -> None:
    """With the documented code, and what would be right."""
    failures = reading.read_retention(params, 1, "UTC", 0)
    assert isinstance(failures, list)
    assert [(failure.code, failure.message[: len(message)]) for failure in failures] == [(code, message)]


def test_the_store_refuses_what_only_it_can_judge(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Regular expressions of steps, and cohorts beyond the limit."""
    fill(either_connection, [])
    wrong = {"Event": "a", "Filters": [["matches", "path", ["(("]]]}
    for question, expected in (
        (reading.read_funnel({"Steps": [A, wrong]}, 1, "UTC", NOW_US), (11, "Steps[1].Filters[0]: '(('")),
        (reading.read_retention({"Return": wrong}, 1, "UTC", NOW_US), (11, "Return.Filters[0]: '(('")),
        (reading.read_retention({"DateRange": "2001d", "Unit": "day"}, 1, "UTC", NOW_US), (13, "DateRange: more than 2000 days")),
    ):
        assert not isinstance(question, list)
        ((code, text),) = answer(either_connection, question, timeout_s=60, session_gap_s=1800).failures
        assert (code, text[: len(expected[1])]) == expected
