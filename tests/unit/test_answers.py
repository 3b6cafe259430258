"""Answers to website_events.query: the same as an oracle's in plain Python, and what is easily got wrong, each by name."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, strategies as st

from falcon_events.errors import QueryTooLong, StoreUnavailable
from falcon_events.query.question import Question
from falcon_events.query.reading import read_question
from falcon_events.settings import Settings
from falcon_events.store.database import columns, promoted
from falcon_events.store.database.connect import open_memory
from falcon_events.store.queries import answer_source
from falcon_events.store.queries.answers import answer
from tests.examples import at_random
from tests.unit.query_oracle import Event, Oracle

pytestmark = pytest.mark.database

NOW = datetime(2026, 4, 3, 12, tzinfo=UTC)
SPRING = int(datetime(2026, 3, 28, 22, 30, tzinfo=UTC).timestamp()) * 1_000_000
"""Half an hour before the local day that has 23 hours in Berlin."""
VISITORS = [str(uuid.UUID(int=number)) for number in range(1, 4)]
TYPED = ("event_columns", "visitor_keys", "address_keys", "visitor_addresses", "address_times")
INSERTED = "(?, uuid(), 'a', ?, ?, ?, 'x', ?, make_timestamp(?), make_timestamp(?), ?, null, null, ?)"
SOURCES = ("json", "columns")


class Connections:
    """Two stores in memory. All events of one are read from their JSON, as in one of an earlier release; those of the other that
    are folded, from columns.

    In half of the latter, some properties are promoted, and some or all of the folded events have their values.
    """

    def __init__(self, made: dict[str, duckdb.DuckDBPyConnection], patch: pytest.MonkeyPatch) -> None:
        self._made = made
        self._patch = patch

    def use(self, source: str) -> duckdb.DuckDBPyConnection:
        """The store whose events are read from there, which is the one to be asked from now on."""
        self._patch.setattr(answer_source, "MOST_OF_TAIL", -1 if source == "json" else 100_000)
        return self._made[source]


@pytest.fixture(scope="module")
def connections() -> Iterator[Connections]:
    """Both kinds of stores, for tests that choose one for each example."""
    memory = Settings(threads=1)
    with open_memory(memory) as plain, open_memory(memory) as typed, pytest.MonkeyPatch.context() as patch:
        plain.execute("set variable folds = false")
        typed.execute("set variable folds = true")
        yield Connections({"json": plain, "columns": typed}, patch)


@pytest.fixture(params=SOURCES)
def connection(request: pytest.FixtureRequest, connections: Connections) -> duckdb.DuckDBPyConnection:
    """Each of the two."""
    return connections.use(request.param)


@pytest.fixture
def either_connection(request: pytest.FixtureRequest, connections: Connections) -> duckdb.DuckDBPyConnection:
    """One of the two, where it does not matter what events are read from; the tests' names decide, so that both are asked."""
    return connections.use(SOURCES[zlib.crc32(request.node.name.encode()) % 2])


def insert(connection: duckdb.DuckDBPyConnection, events: list[Event], list_id: int = 1) -> None:
    """Stores events."""
    given: list[Any] = []
    for one in events:
        given += (one.seq, list_id, one.event, one.visitor, one.email, one.at, one.at, json.dumps(one.properties), one.automatic)
    if events:
        connection.execute(f"insert into events values {', '.join([INSERTED] * len(events))}", given)


def fill(
    connection: duckdb.DuckDBPyConnection, events: list[Event], list_id: int = 1, folds: Sequence[int] | None = None
) -> None:
    """Stores events instead of those before. `folds` is up to which seq each fold reaches; None: one fold of all."""
    for table in ("events", "bindings", "promoted_properties", *TYPED):
        connection.execute(f"delete from {table}")
    connection.execute("update meta set columns_seq = 0")
    insert(connection, events, list_id)
    if connection.execute("select getvariable('folds')").fetchone() == (True,):
        folds = sorted(folds if folds is not None else [len(events)])
        promotes = sum(folds) % 2 == 0
        for number, seq in enumerate(folds):
            columns.fold(connection, min(seq, len(events)))
            if promotes and number == len(folds) // 2:
                promote_some(connection, list_id, sum(folds) % 7)
        if promotes:
            promote_some(connection, list_id, sum(folds) % 3)


def promote_some(connection: duckdb.DuckDBPyConnection, list_id: int, portions: int) -> None:
    """Promotes the properties that questions ask for, and fills a number of portions of two events; 0: all."""
    promoted.set_indexed(connection, list_id, ["n", "$bot", "url", "conversion-value"])
    while promoted.fill_portion(connection, 2) is not None and portions != 1:
        portions -= 1


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


folds = st.lists(st.integers(0, 14), max_size=3)
sources = st.sampled_from(SOURCES)


@at_random(40)
@given(source=sources, events=stores(), request=requests, folds=folds)
def test_answers_are_those_of_the_oracle(
    connections: Connections, source: str, events: list[Event], request: dict[str, Any], folds: list[int]
) -> None:
    """Rows, order, totals, the number of rows, and warnings; however many of the events are folded."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
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


def make_events(*given: dict[str, Any]) -> list[Event]:
    """Events with what is given of each, in the order of storage."""
    defaults = {"event": "e", "visitor": VISITORS[0], "email": None, "at": SPRING, "properties": {}}
    return [Event(seq, **{**defaults, **one}) for seq, one in enumerate(given, 1)]


@pytest.mark.parametrize(
    ("day", "hours", "labels"),
    [
        ("2026-03-29", 23, ("2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00")),
        ("2026-10-25", 25, ("2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00")),
    ],
)
def test_days_have_the_hours_that_they_have(
    either_connection: duckdb.DuckDBPyConnection, day: str, hours: int, labels: tuple[str, str]
) -> None:
    """23 in spring, 25 in autumn; the repeated hour is two buckets."""
    fill(either_connection, [])
    range_of_day = {"DateRange": [day, day], "TimeZone": "Europe/Berlin", "Include": ["time_labels"]}
    answered = ask(either_connection, **range_of_day, Dimensions=["time:hour"])
    found = [row[0][0] for row in rows(answered)]
    assert len(found) == hours
    assert found[found.index(labels[0]) + 1] == labels[1]
    (whole,) = ask(either_connection, **range_of_day, Dimensions=["time:day"])["Meta"]["TimeLabels"]
    lasted = datetime.fromisoformat(whole["To"]) - datetime.fromisoformat(whole["From"])
    assert lasted.total_seconds() == hours * 3600


def test_an_event_is_in_its_local_day(either_connection: duckdb.DuckDBPyConnection) -> None:
    """In a zone of half hours, too; the last microsecond of a day belongs to it."""
    midnight = int(datetime(2026, 3, 28, 18, 30, tzinfo=UTC).timestamp()) * 1_000_000
    fill(either_connection, make_events({"at": midnight - 1}, {"at": midnight}))
    answered = ask(
        either_connection,
        DateRange=["2026-03-28", "2026-03-29"],
        TimeZone="Asia/Kolkata",
        Dimensions=["time:day"],
        Metrics=["events"],
    )
    assert rows(answered) == [(["2026-03-28"], [1]), (["2026-03-29"], [1])]


def test_28_days_include_today(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Today is the last of them, also what is to come of it; the resolved range gives the same answer."""
    today = int(NOW.timestamp()) * 1_000_000
    fill(either_connection, make_events({"at": today}, {"at": today + 3_600_000_000}, {"at": today - 28 * 86_400_000_000}))
    answered = ask(either_connection, DateRange="28d", Metrics=["events"], Compare="previous")
    assert answered["Query"]["DateRange"] == ["2026-03-07", "2026-04-03"]
    assert answered["Query"]["Compare"] == ["2026-02-07", "2026-03-06"]
    assert answered["Results"] == [{"Dimensions": [], "Metrics": [2], "Compared": [1]}]
    again = ask(either_connection, **{name: value for name, value in answered["Query"].items() if name != "ListID"})
    assert again == answered


def test_hours_end_now(either_connection: duckdb.DuckDBPyConnection) -> None:
    """`1h` is 3,600 seconds; what happened at this very moment is in it."""
    now = int(NOW.timestamp()) * 1_000_000
    fill(either_connection, make_events({"at": now}, {"at": now - 3_599_999_999}, {"at": now - 3_600_000_000}))
    assert rows(ask(either_connection, DateRange="1h", Metrics=["events"])) == [([], [2])]


@pytest.mark.parametrize(("start", "label"), [("monday", "2026-03-23"), ("sunday", "2026-03-29")])
def test_weeks_begin_on_the_day_that_is_asked_for(either_connection: duckdb.DuckDBPyConnection, start: str, label: str) -> None:
    """29 March 2026 is a Sunday. A week that the range cuts is partial."""
    fill(either_connection, make_events({"at": SPRING + 43_200_000_000}))
    asked = {
        "DateRange": ["2026-03-29", "2026-03-29"],
        "WeekStart": start,
        "Dimensions": ["time:week"],
        "Include": ["time_labels"],
    }
    answered = ask(either_connection, **asked)
    assert rows(answered) == [([label], [1, 1])]
    assert [one["Partial"] for one in answered["Meta"]["TimeLabels"]] == [True]


def test_values_of_mixed_types(connection: duckdb.DuckDBPyConnection) -> None:
    """Numbers are JSON's numbers, also in texts; the others are left out and counted; negatives are exact complements."""
    values = [1, "2", " 12 ", "NaN", "1e400", "", None, True, [5], {"a": 1}]
    fill(connection, make_events(*({"properties": {"n": value}} for value in values), {}))
    n = "property:n"
    whole = {"DateRange": ["2026-03-28", "2026-03-29"], "Metrics": ["events"]}
    answered = ask(connection, **{**whole, "Metrics": [["sum", n], ["max", n], ["distinct", n]]})
    assert rows(answered) == [([], [15.0, 12.0, 9])]
    assert answered["Meta"]["Warnings"] == [{"Code": "not_a_number", "Name": n, "Events": 6}]
    counts = {
        1: [["is", n, [1]]],
        4: [[">=", n, [1]]],
        2: [["is", n, [None]]],
        9: [["is_set", n]],
        10: [["is_not", n, [1]]],
        11: [["or", [["is", n, [5]], ["not", ["is", n, [5]]]]]],
    }
    for expected, filters in counts.items():
        assert rows(ask(connection, **whole, Filters=filters)) == [([], [expected])], filters


def test_an_order_counts_once_at_its_first_event(connection: duckdb.DuckDBPyConnection) -> None:
    """Also if its first event is in another row, or before the range."""
    order = {"conversion-id": "o1", "conversion-name": "x", "conversion-value": 10}
    sent = {"event": "conversion", "properties": order}
    late = SPRING + 86_400_000_000
    fill(
        connection, make_events({**sent, "at": late}, sent, {**sent, "at": late, "properties": {**order, "conversion-id": "o2"}})
    )
    asked = {"Dimensions": ["time:day"], "Metrics": ["conversions", "revenue"]}
    both = ask(connection, DateRange=["2026-03-28", "2026-03-29"], **asked)
    assert rows(both) == [(["2026-03-28"], [1, 10.0]), (["2026-03-29"], [1, 10.0])]
    assert rows(ask(connection, DateRange=["2026-03-29", "2026-03-29"], **asked)) == [(["2026-03-29"], [1, 10.0])]


def test_persons(connection: duckdb.DuckDBPyConnection) -> None:
    """An address in another case is the same person; a visitor with two addresses is two; two visitors of one address are one."""
    first, second, third = VISITORS
    fill(
        connection,
        make_events(
            {"visitor": first},
            {"visitor": first, "email": "Ada@x.com", "at": SPRING + 1},
            {"visitor": first, "email": "bob@x.com", "at": SPRING + 2},
            {"visitor": first, "at": SPRING + 3},
            {"visitor": second, "email": "ada@X.com"},
            {"visitor": third},
        ),
    )
    whole = {"DateRange": ["2026-03-28", "2026-03-28"], "Dimensions": ["person"], "Metrics": ["events", "visitors"]}
    expected = [(["ada@x.com"], [3, 2]), (["bob@x.com"], [2, 1]), ([third], [1, 1])]
    assert rows(ask(connection, **whole)) == expected


NAMES = [
    'q"uote',
    "it's",
    "br[ack]et",
    "$x",
    "a.b",
    "😀",
    "nul\x00x",
    "x" * 200,
    "a/b",
    "a~b",
    "*",
    "",
    "$.*",
    "'; drop table events; --",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_of_a_property_can_be_asked_for(either_connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """It is a parameter of the statement, never a part of it; so is a value."""
    fill(either_connection, make_events({"properties": {name: name}}, {"properties": {"other": name}}))
    dimension = f"property:{name}"
    whole = {"DateRange": ["2026-03-28", "2026-03-28"], "Metrics": ["events"], "Dimensions": [dimension]}
    assert rows(ask(either_connection, **whole, Filters=[["is", dimension, [name]]])) == [([name], [1])]
    assert rows(ask(either_connection, **whole)) == [([name], [1]), ([None], [1])]


def test_other_lists_are_not_counted(connection: duckdb.DuckDBPyConnection) -> None:
    """Neither their events nor their addresses."""
    fill(connection, make_events({"email": "ada@x.com"}), list_id=2)
    assert rows(ask(connection, DateRange="all")) == [([], [0, 0])]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"DateRange": "0d"}, 4, "DateRange: "),
        ({"DateRange": ["2026-03-02", "2026-03-01"]}, 4, "DateRange: "),
        ({"DateRange": ["2026-02-30", "2026-03-01"]}, 4, "DateRange: "),
        ({"Compare": "last"}, 4, "Compare: "),
        ({"TimeZone": "Mars/Base"}, 5, "TimeZone: "),
        ({"TimeZone": "../../etc/passwd"}, 5, "TimeZone: "),
        ({"WeekStart": "friday"}, 5, "WeekStart: "),
        ({"Metrics": []}, 6, "Metrics: "),
        ({"Metrics": ["events", ["sum", "price"]]}, 6, "Metrics[1]: "),
        ({"Dimensions": ["time:day", "time:hour"]}, 7, "Dimensions[1]: "),
        ({"Filters": [["is", "event", ["a"]], ["is", "colour", ["a"]]]}, 8, "Filters[1]: "),
        ({"Filters": [["or", [["is", "event", ["a"]], [">", "property:n", ["1"]]]]]}, 8, "Filters[0][1]: "),
        ({"Filters": [["is", "time:day", ["2026-03-29"]]]}, 8, "Filters[0]: "),
        ({"OrderBy": [["visitors", "asc"]]}, 9, "OrderBy[0]: "),
        ({"Limit": 0}, 10, "Limit: "),
        ({"Offset": 100_001}, 10, "Offset: "),
        ({"Include": ["all"]}, 10, "Include[0]: "),
        ({"People": [["has_done", {"Event": 1}]]}, 12, "People[0].Event: "),
        ({"People": [["has_done", {"Filters": [["is", "x", []]]}]]}, 12, "People[0].Filters[0]: "),
        ({"Metrics": ["events"] * 11}, 13, "Metrics: "),
        ({"Dimensions": ["event", "path", "host", "url"]}, 13, "Dimensions: "),
        ({"Limit": 10_001}, 13, "Limit: "),
        ({"Filters": [["is", "event", ["a"]]] * 51}, 13, "Filters, People: 51 conditions"),
        ({"Filters": [["not", ["not", ["not", ["not", ["is", "event", ["a"]]]]]]]}, 13, "Filters, People: 5 levels"),
        ({"People": [["has_done", {}]] * 9}, 13, "Filters, People: 9 has_done"),
    ],
)
def test_a_refusal_names_the_place(params: dict[str, Any], code: int, message: str) -> None:
    """With the documented code, and what would be right."""
    failures = read_question(params, 1, "UTC", 0)
    assert isinstance(failures, list)
    assert [(failure.code, failure.message[: len(message)]) for failure in failures] == [(code, message)]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"DateRange": "100d", "Dimensions": ["time:hour"]}, 13, "DateRange: more than 2000"),
        ({"Filters": [["matches", "path", ["(("]]]}, 8, "Filters[0]: '(('"),
        ({"People": [["in", "buyers"]]}, 15, "People[0]: "),
    ],
)
def test_the_store_refuses_what_only_it_can_judge(
    either_connection: duckdb.DuckDBPyConnection, params: dict[str, Any], code: int, message: str
) -> None:
    """Buckets of a range, regular expressions, names of saved segments."""
    fill(either_connection, [])
    question = read_question(params, 1, "UTC", int(NOW.timestamp()) * 1_000_000)
    assert isinstance(question, Question)
    ((found, text),) = answer(either_connection, question, timeout_s=60, session_gap_s=1800).failures
    assert (found, text[: len(message)]) == (code, message)


def test_a_question_that_takes_too_long_is_ended(either_connection: duckdb.DuckDBPyConnection) -> None:
    """The statement is interrupted, and the cursor can be used for the next question."""
    fill(either_connection, [])
    either_connection.execute(
        "insert into events select range, uuid(), 'a', 1, 'e', uuid(), 'x', null, make_timestamp($at), make_timestamp($at),"
        " '{\"n\": 1}', null, null, null from range(200_000)",
        {"at": SPRING},
    )
    question = read_question({"DateRange": "all", "Dimensions": ["person", "property:n"]}, 1, "UTC", SPRING)
    assert isinstance(question, Question)
    with pytest.raises(QueryTooLong, match="query_timeout_s"):
        answer(either_connection, question, timeout_s=0.01, session_gap_s=1800)
    fill(either_connection, [])
    assert rows(ask(either_connection)) == [([], [0, 0])]


def test_a_question_without_enough_memory_is_refused(either_connection: duckdb.DuckDBPyConnection) -> None:
    """With a clear reason, and the database goes on."""
    fill(either_connection, [])
    either_connection.execute(
        "insert into events select range, uuid(), 'a', 1, 'e', uuid(), 'x', null, make_timestamp($at), make_timestamp($at),"
        " '{\"n\": 1}', null, null, null from range(200_000)",
        {"at": SPRING},
    )
    question = read_question({"DateRange": "all", "Dimensions": ["person", "property:n"]}, 1, "UTC", SPRING)
    assert isinstance(question, Question)
    ((limit,),) = either_connection.execute("select current_setting('memory_limit')").fetchall()
    ((used,),) = either_connection.execute("select sum(memory_usage_bytes) from duckdb_memory()").fetchall()
    either_connection.execute(f"set memory_limit = '{used // 1_000_000 + 4}MB'")
    try:
        with pytest.raises(StoreUnavailable, match="memory_limit_mb"):
            answer(either_connection, question, timeout_s=60, session_gap_s=1800)
    finally:
        either_connection.execute(f"set memory_limit = '{limit}'")
    fill(either_connection, [])
    assert rows(ask(either_connection)) == [([], [0, 0])]


def test_what_counts_all_pages_is_there_on_an_empty_page(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Beyond the last row, and where no event is met: the number of rows, the totals, and the values that are no numbers."""
    fill(either_connection, make_events(*({"properties": {"n": value, "plan": value}} for value in (1, "x", "y", 2, "x"))))
    asked = {"DateRange": "all", "Dimensions": ["property:plan"], "Metrics": [["sum", "property:n"], "events"]}
    for more, rows_there, total, warned in (
        ({"Limit": 3}, 3, 4, 3),
        ({"Limit": 3, "Offset": 3}, 1, 4, 3),
        ({"Offset": 4}, 0, 4, 3),
        ({"Filters": [["is", "property:plan", ["none"]]]}, 0, 0, 0),
        ({"Filters": [[">=", "property:n", [0]]]}, 2, 2, 3),
    ):
        answered = ask(either_connection, **asked, **more, Include=["total_rows", "totals"])
        assert (len(answered["Results"]), answered["Meta"]["TotalRows"]) == (rows_there, total), more
        assert [one["Events"] for one in answered["Meta"]["Warnings"]] == [warned] * bool(warned), more
