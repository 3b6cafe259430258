"""Answers to website_events.query: the same as an oracle's in plain Python, and what is easily got wrong, each by name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from falcon_events.query.question import Question
from falcon_events.query.reading import read_question
from falcon_events.settings import Settings
from falcon_events.store.database.connect import open_memory
from falcon_events.store.queries.answers import answer
from tests.unit.query_oracle import Event, Oracle

pytestmark = pytest.mark.database

NOW = datetime(2026, 4, 3, 12, tzinfo=UTC)
SPRING = int(datetime(2026, 3, 28, 22, 30, tzinfo=UTC).timestamp()) * 1_000_000
"""Half an hour before the local day that has 23 hours in Berlin."""
VISITORS = [str(uuid.UUID(int=number)) for number in range(1, 4)]
INSERT = """insert into events values ($seq, uuid(), 'a', $list_id, $event, $visitor, 'x', $email, make_timestamp($at),
    make_timestamp($at), $properties, null, null, $automatic)"""


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A store in memory."""
    with open_memory(Settings(threads=1)) as connection:
        yield connection


def fill(connection: duckdb.DuckDBPyConnection, events: list[Event], list_id: int = 1) -> None:
    """Stores events instead of those before."""
    connection.execute("delete from events")
    connection.execute("delete from bindings")
    for event in events:
        values = {name: getattr(event, name) for name in ("seq", "event", "visitor", "email", "at", "automatic")}
        connection.execute(INSERT, {**values, "list_id": list_id, "properties": json.dumps(event.properties)})


def ask(connection: duckdb.DuckDBPyConnection, **params: Any) -> dict[str, Any]:
    """The answer to a question about list 1."""
    question = read_question(params, 1, "UTC", int(NOW.timestamp()) * 1_000_000)
    assert isinstance(question, Question), question
    answered = answer(connection, question, timeout_s=60, session_gap_s=1800)
    assert answered.failures == []
    decoded: dict[str, Any] = json.loads(answered.body)
    return decoded


def rows(answered: dict[str, Any]) -> list[tuple[list[Any], list[Any]]]:
    """The rows of an answer."""
    return [(row["Dimensions"], row["Metrics"]) for row in answered["Results"]]


def assert_close(actual: list[Any], expected: list[Any]) -> None:
    """Numbers are equal but for the last digit of a double; null is null."""
    assert [value is None for value in actual] == [value is None for value in expected], (actual, expected)
    for one, other in zip(actual, expected, strict=True):
        assert one == other or one == pytest.approx(other, rel=1e-12), (actual, expected)


numbers = st.sampled_from(
    [1, 1.5, -2, "1", "1.5", " 12 ", "NaN", "1e400", None, True, "", "abc", [1, "x"], [2, None, [3]], {"a": 1}]
)
urls = st.sampled_from(
    [
        "https://x.com",
        "https://x.com/a?utm_campaign=spring+sale&utm_source=n",
        "https://x.com/a#utm_campaign=no",
        "https://x.com/b?x=1&utm_campaign=",
        "https://x.com/b?utm_campaign=fall%20%C3%A4#f",
    ]
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "url": urls,
        "n": numbers,
        "$bot": st.sampled_from(["crawler", None]),
        "conversion-id": st.sampled_from(["o1", "o2", 7]),
        "conversion-value": st.sampled_from([10, 2.5, "4.25", "x"]),
    },
)
steps = st.sampled_from([0, 0, 1, 60_000_000, 1_799_999_999, 1_800_000_000, 3_600_000_000, 14_400_000_000, 86_400_000_000])


@st.composite
def stores(draw: st.DrawFn) -> list[Event]:
    """Events with ties, shared browsers, changing addresses, late arrivals and bots."""
    at = SPRING - draw(st.sampled_from([0, 31 * 86_400_000_000]))
    events = []
    for seq in range(1, draw(st.integers(0, 14)) + 1):
        at += draw(steps)
        name = draw(st.sampled_from(["pageView", "pageView", "conversion", "signup", "identify"]))
        automatic = draw(st.sampled_from([None, None, True, False])) if name == "identify" else None
        email = draw(st.sampled_from([None, None, "ada@x.com", "ADA@x.com", "bob@x.com"]))
        late = draw(st.sampled_from([0, 0, 0, 3_600_000_000]))
        events.append(Event(seq, name, draw(st.sampled_from(VISITORS)), email, at - late, draw(properties), automatic))
    return events


fields = st.sampled_from(
    ["event", "path", "property:n", "property:n", "property:$bot", "campaign", "entry_path", "exit_path", "person"]
)
options = st.sampled_from([[], [{"case_sensitive": False}]])
leaf = st.one_of(
    st.tuples(
        st.sampled_from(["is", "is_not"]),
        fields,
        st.lists(
            st.sampled_from(["pageView", "identify", "1", "ABC", "x", "/a", 1, 1.5, 12, None, True]), min_size=1, max_size=2
        ),
        options,
    ),
    st.tuples(
        st.sampled_from(["contains", "contains_not", "starts_with", "ends_with", "matches", "matches_not"]),
        fields,
        st.lists(st.sampled_from(["a", "A", "/b", "1", "e"]), min_size=1, max_size=2),
        options,
    ),
    st.tuples(
        st.sampled_from([">", ">=", "<", "<="]),
        fields,
        st.lists(st.sampled_from([1, 1.5, -3]), min_size=1, max_size=2),
        st.just([]),
    ),
    st.tuples(st.just("between"), fields, st.just([1, 1.5]), st.just([])),
    st.tuples(st.sampled_from(["is_set", "is_not_set"]), fields, st.just([]), st.just([])),
).map(lambda given: [*given[:3], *given[3]])


def combine(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Conditions, and combinations of them."""
    parts = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        inner,
        inner,
        st.tuples(st.sampled_from(["and", "or"]), parts).map(list),
        inner.map(lambda one: ["not", one]),
    )


filters = st.lists(combine(leaf), max_size=2)
done = st.fixed_dictionaries(
    {},
    optional={
        "Event": st.sampled_from(["pageView", "signup", "identify"]),
        "Filters": st.lists(leaf, max_size=1),
        "Count": st.sampled_from([[">=", 2], ["<", 2], ["is", 0]]),
        "Within": st.just(["2026-03-29", "2026-03-29"]),
    },
)
person_leaf = st.one_of(
    leaf,
    st.tuples(st.sampled_from(["has_done", "has_not_done"]), done).map(list),
    st.tuples(st.sampled_from(["is", "is_not", "contains"]), st.just("email"), st.just(["ada@x.com"])).map(list),
    st.tuples(st.sampled_from([">", ">=", "<", "<="]), st.sampled_from(["first_seen", "last_seen"]), st.just(["2026-03-29"])).map(
        list
    ),
)
metric_names = ["events", "visitors", "people", "sessions", "conversions", "revenue", "views", "bounce_rate", "session_seconds"]
metrics = st.one_of(
    st.sampled_from([*metric_names, "views_per_session"]),
    st.sampled_from(["sum", "avg", "min", "max", "median", "p95", "distinct"]).map(lambda one: [one, "property:n"]),
)
times = st.sampled_from([[], [], ["time:day"], ["time:week"], ["time:month"], ["time:hour", "event"]])
requests = st.builds(
    lambda time, other, **rest: {"Dimensions": [*time, *(one for one in other if one not in time)], **rest},
    times,
    st.lists(st.sampled_from(["event", "path", "property:n", "campaign", "entry_path", "person"]), unique=True, max_size=1),
    DateRange=st.sampled_from([["2026-03-01", "2026-04-02"], ["2026-03-29", "2026-03-29"], ["2026-02-20", "2026-03-30"]]),
    TimeZone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    WeekStart=st.sampled_from(["monday", "sunday"]),
    Metrics=st.lists(metrics, min_size=1, max_size=3),
    Filters=filters,
    People=st.lists(combine(person_leaf), max_size=2),
    Include=st.just(["totals", "total_rows"]),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=stores(), request=requests)
def test_answers_are_those_of_the_oracle(
    connection: duckdb.DuckDBPyConnection, events: list[Event], request: dict[str, Any]
) -> None:
    """Rows, order, totals, the number of rows, and warnings."""
    fill(connection, events)
    answered = ask(connection, **request)
    oracle = Oracle(events, request, NOW)
    expected = oracle.rows()
    assert [row[0] for row in rows(answered)] == [row[0] for row in expected]
    for (_, actual), (_, wanted) in zip(rows(answered), expected, strict=True):
        assert_close(actual, wanted)
    assert answered["Meta"]["TotalRows"] == len(expected)
    assert_close(answered["Meta"]["Totals"], oracle.metrics(oracle.matched(request["Filters"])))
    assert {warning["Name"]: warning["Events"] for warning in answered["Meta"]["Warnings"]} == oracle.warnings()
    assert answered["Meta"]["AsOf"] == len(events)
