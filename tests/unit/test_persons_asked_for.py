"""website_events.people, .timeline, .values and saved segments: as an oracle in plain Python has it, and traps by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, strategies as st

from falcon_events.query import narrowing
from falcon_events.query.person_reading import read_people_question, read_timeline_question
from falcon_events.query.question import Forgetting, SavedQuestion, Saving
from falcon_events.query.reading import read_values_question
from falcon_events.query.saved_reading import read_forgetting, read_saved_question, read_saving
from falcon_events.settings import Settings
from falcon_events.store.database import columns
from falcon_events.store.database.connect import open_memory
from falcon_events.store.queries import saved
from falcon_events.store.queries.answers import answer, check_saving, save_checked
from tests.examples import at_random
from tests.unit import test_answers as shared
from tests.unit.query_oracle import Event, Oracle, as_text, meets, value_of
from tests.unit.test_answers import NOW, SPRING, VISITORS, Connections, fill, insert, make_events

pytestmark = pytest.mark.database

connections, connection, either_connection = shared.connections, shared.connection, shared.either_connection
NOW_US = int(NOW.timestamp()) * 1_000_000
READERS = {
    "people": read_people_question,
    "timeline": read_timeline_question,
    "values": read_values_question,
    "saved": read_saved_question,
}
CHANGES = {"save": read_saving, "forget": read_forgetting}
WHOLE = {"DateRange": ["2026-02-01", "2026-04-02"], "TimeZone": "UTC", "WeekStart": "monday", "Metrics": ["people"]}


def ask(connection: duckdb.DuckDBPyConnection, name: str, **params: Any) -> Any:
    """The answer to a question about list 1, or its failures as (code, message)."""
    read = {**READERS, **CHANGES}[name]
    asked = read(params, 1, "UTC", NOW_US)  # type: ignore[operator]
    if isinstance(asked, list):
        return [tuple(failure) for failure in asked]
    if isinstance(asked, Forgetting):
        answered = saved.forget(connection, asked)
    elif isinstance(asked, Saving):
        checked = check_saving(connection, asked, timeout_s=60)
        answered = checked if checked.failures else save_checked(connection, asked)
    else:
        answered = answer(connection, asked, timeout_s=60, session_gap_s=1800)
    return answered.failures or json.loads(answered.body)


def page_through(connection: duckdb.DuckDBPyConnection, name: str, rows: str, between: Any, **params: Any) -> list[Any]:
    """The rows of all pages of four; `between` is called after the first."""
    found, cursor = [], None
    while True:
        answered = ask(connection, name, **params, Limit=4, Cursor=cursor)
        found += answered[rows]
        cursor = answered["NextCursor"]
        if cursor is None:
            return found
        between()
        between = lambda: None  # noqa: E731


def name_of(person: dict[str, Any]) -> str:
    """The person as the oracle names it."""
    return person["Email"] or person["UUIDs"][0]


def moment(at: int) -> str:
    """A moment as answers have it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat().replace("+00:00", "Z")


def add_later_event(connection: duckdb.DuckDBPyConnection, events: list[Event]) -> None:
    """A later event of a person who is there, and one of a new one."""
    later = enumerate(("ada@x.com", "new@x.com"), len(events) + 1)
    insert(connection, [Event(seq, "e", VISITORS[0], email, SPRING * 2, {}) for seq, email in later])
    if connection.execute("select getvariable('folds')").fetchone() == (True,):
        columns.fold(connection, len(events) + 2)


@at_random(15)
@given(
    source=shared.sources,
    folds=shared.folds,
    events=shared.stores(),
    people=st.lists(shared.combine(shared.person_leaf), max_size=2),
    order=st.sampled_from(["last_seen", "first_seen", "events", "email", ["events", "asc"], ["email", "desc"]]),
)
def test_people_are_those_of_the_oracle(
    connections: Connections, source: str, folds: list[int], events: list[Event], people: list[Any], order: Any
) -> None:
    """Who they are, their order, and what is told of each; also if events arrive between two pages."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
    count = ask(connection, "people", People=people)["Count"]
    found = page_through(
        connection, "people", "People", lambda: add_later_event(connection, events), People=people, OrderBy=order
    )
    oracle = Oracle(events, {**WHOLE, "Filters": [], "People": people}, NOW)
    expected = []
    for person in oracle.persons:
        own = sorted((event for event in oracle.shown if event.person == person), key=lambda event: event.place)
        told = {
            "Email": person if "@" in person else None,
            "IDs": ["x"],
            "UUIDs": sorted({event.visitor for event in events if event.person == person}),
            "FirstSeen": moment(own[0].at) if own else None,
            "LastSeen": moment(own[-1].at) if own else None,
            "Events": len(own),
            "Traits": {},
        }
        expected.append((person, own, told))
    expected.sort(key=lambda one: one[0])
    key, direction = order if isinstance(order, list) else (order, "asc" if order == "email" else "desc")
    keys: dict[str, Any] = {
        "last_seen": lambda one: one[1][-1].at if one[1] else None,
        "first_seen": lambda one: one[1][0].at if one[1] else None,
        "events": lambda one: len(one[1]),
        "email": lambda one: one[0] if "@" in one[0] else None,
    }
    # Those who lack it come last, by their names: visitors without an address, and persons whose events are all left out.
    without = [one for one in expected if keys[key](one) is None]
    expected = [one for one in expected if keys[key](one) is not None]
    expected.sort(key=keys[key], reverse=direction == "desc")
    expected += without
    assert found == [told for _, _, told in expected]
    assert count == len(expected)


@at_random(20)
@given(
    source=shared.sources,
    folds=shared.folds,
    events=shared.stores(),
    done=st.lists(shared.done.map(lambda one: ["has_done", one]), min_size=1, max_size=2),
    others=st.lists(shared.combine(shared.person_leaf), max_size=2),
)
def test_persons_are_the_same_if_candidates_are_found_first(
    connections: Connections, source: str, folds: list[int], events: list[Event], done: list[Any], others: list[Any]
) -> None:
    """As in lists with many events, where few events are of the kind that somebody must have done."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
    people = [*done, *others]
    plainly = ask(connection, "people", People=people)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrowing, "LEAST_EVENTS", 0)
        patch.setattr(narrowing, "MOST_SHARE", 0)
        assert ask(connection, "people", People=people) == plainly


@at_random(15)
@given(source=shared.sources, folds=shared.folds, events=shared.stores(), request=shared.requests)
def test_people_of_a_row_are_those_whom_it_counts(
    connections: Connections, source: str, folds: list[int], events: list[Event], request: dict[str, Any]
) -> None:
    """Exactly as many for each row of any query, and the same persons as the oracle's; nobody for an empty row."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
    request = {**request, "Metrics": ["people"]}
    oracle = Oracle(events, request, NOW)
    oracle_rows: dict[tuple[str | None, ...], set[str]] = {}
    for event in oracle.matched(request["Filters"]):
        row = tuple(oracle.label(event, name) for name in request["Dimensions"])
        oracle_rows.setdefault(row, set()).add(event.person)
    results = shared.ask(connection, **request)["Results"]
    empty = [row for row in results if row["Metrics"] == [0]]
    for row in [*(row for row in results if row["Metrics"] != [0]), *empty[-1:]]:
        answered = ask(connection, "people", Of={**request, "Row": row})
        assert answered["Count"] == row["Metrics"][0]
        assert {name_of(person) for person in answered["People"]} == oracle_rows.get(tuple(row["Dimensions"]), set())


@at_random(15)
@given(
    source=shared.sources,
    folds=shared.folds,
    events=shared.stores(),
    filters=shared.filters,
    person=st.sampled_from(["ada@x.com", "bob@x.com", *VISITORS]),
)
def test_a_timeline_is_the_oracles(
    connections: Connections, source: str, folds: list[int], events: list[Event], filters: list[Any], person: str
) -> None:
    """The person's events, the latest first, in their sessions; also if events arrive between two pages."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
    oracle = Oracle(events, {**WHOLE, "Filters": filters, "People": []}, NOW)
    named = {"Email": person.upper()} if "@" in person else {"UUID": person}
    if "@" not in person:
        own = sorted((event for event in events if event.visitor == person), key=lambda event: event.place)
        person = own[-1].person if own else ""
    if person not in {event.person for event in events}:
        assert [code for code, _ in ask(connection, "timeline", **named, Filters=filters)] == [14]
        return
    ids = dict(connection.execute("select seq, event_id::varchar from events").fetchall())
    found = page_through(connection, "timeline", "Events", lambda: add_later_event(connection, events), **named, Filters=filters)
    expected = sorted(
        (event for event in oracle.shown if event.person == person and all(meets(event, one) for one in filters)),
        key=lambda event: event.place,
        reverse=True,
    )
    assert [one["EventID"] for one in found] == [ids[event.seq] for event in expected]
    assert [one["Session"] for one in found] == [ids[event.session[0].seq] for event in expected]
    assert [(one["Event"], one["UUID"], one["OccurredAt"]) for one in found] == [
        (event.event, event.visitor, moment(event.at)) for event in expected
    ]


@at_random(15)
@given(
    source=shared.sources,
    folds=shared.folds,
    events=shared.stores(),
    dimension=st.sampled_from(["event", "path", "property:n", "campaign", "entry_path", "person"]),
    prefix=st.sampled_from(["", "a", "/", "P", "1"]),
    filters=shared.filters,
)
def test_values_are_the_oracles(
    connections: Connections, source: str, folds: list[int], events: list[Event], dimension: str, prefix: str, filters: list[Any]
) -> None:
    """Each with its events, the most frequent first; a list counts with each of its scalars."""
    connection = connections.use(source)
    fill(connection, events, folds=folds)
    answered = ask(connection, "values", Dimension=dimension, Prefix=prefix, Filters=filters, DateRange=WHOLE["DateRange"])
    oracle = Oracle(events, {**WHOLE, "Filters": filters, "People": []}, NOW)
    counts: dict[str, int] = {}
    for event in oracle.matched(filters):
        value = value_of(event, dimension)
        scalars = value if isinstance(value, list) else [value]
        texts = {as_text(one) for one in scalars if one is not None and not isinstance(one, list | dict)}
        for text in texts:
            assert text is not None
            if text.lower().startswith(prefix.lower()):
                counts[text] = counts.get(text, 0) + 1
    expected = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    assert [(one["Value"], one["Events"]) for one in answered["Values"]] == expected


def rule(operator: str, **more: Any) -> dict[str, Any]:
    """A rule about sign-ups."""
    return {"type": "website-events", "event": "signup", "operator": operator, **more}


NOW_DAY = NOW_US
DAY = 86_400_000_000
ABOUT = {"event_parameter": "n"}


@pytest.fixture(scope="module")
def signups() -> Iterator[duckdb.DuckDBPyConnection]:
    """A store of its own, whose events are folded."""
    first, second, third = VISITORS
    with open_memory(Settings(threads=1)) as connection:
        connection.execute("set variable folds = true")
        fill(
            connection,
            make_events(
                {"visitor": first, "event": "signup", "email": "a", "at": NOW_DAY, "properties": {"n": 2}},
                {"visitor": first, "event": "signup", "email": "a", "at": NOW_DAY - 20 * DAY, "properties": {"n": "1"}},
                {"visitor": first, "event": "signup", "email": "a", "at": NOW_DAY - 20 * DAY, "properties": {"n": "xyz"}},
                {"visitor": second, "event": "signup", "email": "b", "at": NOW_DAY - 30 * DAY, "properties": {"n": 1, "m": 0}},
                {"visitor": third, "event": "other", "email": "c", "at": NOW_DAY, "properties": {"n": 2}},
            ),
        )
        yield connection


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([[rule("happened")]], "ab"),
        ([[rule("did not happen")]], "c"),
        ([[rule("happened in the last X days", value=2)]], "a"),
        ([[rule("happened in the last 2 days")]], "a"),
        ([[rule("did not happen in the last X days", value="2")]], "bc"),
        ([[rule("equals", value="1", **ABOUT)]], "ab"),
        ([[rule("equals", value=1, **ABOUT)]], "ab"),
        ([[rule("does not equal", value="2", **ABOUT)]], "bc"),
        ([[rule("contains", value="x", **ABOUT)]], "a"),
        ([[rule("does not contain", value="x", **ABOUT)]], "bc"),
        ([[rule("matches regex", value="^[12]$", **ABOUT)]], "ab"),
        ([[rule("does not match regex", value="^x", **ABOUT)]], "bc"),
        ([[rule("greater than", value="1", **ABOUT)]], "a"),
        ([[rule("less than", value=2, **ABOUT)]], "ab"),
        ([[rule("is set", event_parameter="m")]], "b"),
        ([[rule("is not set", event_parameter="m")]], "ac"),
        ([[rule("happened", aggregation={"operator": "at_least", "value": 2})]], "a"),
        ([[rule("happened", aggregation={"operator": "at_most", "value": 1})]], "bc"),
        ([[rule("happened", aggregation={"operator": "exactly", "value": 1})]], "b"),
        ([[rule("happened", aggregation={"operator": "count", "value": 3})]], "a"),
        ([[rule("happened", time_filter={"operator": "in_last_x_days", "value": 2})]], "a"),
        ([[rule("happened", time_filter={"operator": "not_in_last_x_days", "value": 2})]], "ab"),
        ([[rule("happened", time_filter={"operator": "between", "value": ["2026-04-02", "2026-04-03"]})]], "a"),
        ([[rule("happened", time_filter={"operator": "not_between", "value": ["2026-04-02", "2026-04-03"]})]], "ab"),
        ([[rule("happened", time_filter={"operator": "after", "value": "2026-04-02"})]], "a"),
        ([[rule("happened", time_filter={"operator": "after", "value": "2026-04-03"})]], ""),
        ([[rule("happened", time_filter={"operator": "after", "value": "2026-04-03T12:00:00Z"})]], ""),
        ([[rule("happened", time_filter={"operator": "before", "value": "2026-03-24"})]], "ab"),
        ([[rule("happened", time_filter={"operator": "before", "value": "2026-03-04"})]], ""),
        ([[rule("happened"), rule("is set", event_parameter="m")], [rule("did not happen")]], "bc"),
    ],
)
def test_rules(signups: duckdb.DuckDBPyConnection, rules: Any, expected: str) -> None:
    """A rule is about the person: `equals` means that some event has the value, `does not equal` that none has it."""
    answered = ask(signups, "people", RulesJson=rules, OrderBy="email")
    assert "".join(person["Email"] for person in answered["People"]) == expected
    as_text = {"RulesJson": json.dumps(rules), "OrderBy": "email"}
    assert read_people_question(as_text, 1, "UTC", NOW_US) == read_people_question(
        {**as_text, "RulesJson": rules}, 1, "UTC", NOW_US
    )


@pytest.mark.parametrize(
    "wrong",
    [
        rule("happend"),
        rule("equals", value="1"),
        rule("equals", event_parameter="n"),
        rule("greater than", value="many", **ABOUT),
        rule("happened in the last X days"),
        rule("happened in the last X days", value=0),
        rule("happened", time_filter={"operator": "since", "value": 1}),
        rule("happened", time_filter={"operator": "between", "value": "28d"}),
        rule("happened", aggregation={"operator": "at_least", "value": -1}),
        rule("happened", unit="days"),
        {"type": "tags", "operator": "has this tag", "value": "1"},
        "happened",
        {"type": "website-events", "operator": "happened"},
    ],
)
def test_a_rule_that_is_not_understood_is_refused(either_connection: duckdb.DuckDBPyConnection, wrong: Any) -> None:
    """With its place; it never matches everybody."""
    ((code, message),) = ask(either_connection, "people", RulesJson=[[rule("happened")], [rule("happened"), wrong]])
    assert (code, message[:16]) == (12, "RulesJson[1][1]:")


@pytest.mark.parametrize(
    ("name", "params", "code", "message"),
    [
        ("people", {"People": [], "RulesJson": []}, 12, "RulesJson: give either"),
        ("people", {"RulesJson": []}, 12, "RulesJson: "),
        ("people", {"RulesJson": [[]]}, 12, "RulesJson: "),
        ("people", {"RulesJson": "[["}, 12, "RulesJson: "),
        ("people", {"RulesJson": "[" * 100_000}, 12, "RulesJson: "),
        ("people", {"RulesJson": "[" * 65 + "]" * 65}, 12, "RulesJson: "),
        (
            "people",
            {"RulesJson": [[{**rule("greater than"), "event_parameter": "price", "value": "[" * 100_000}]]},
            12,
            "RulesJson[0][0]: value: ",
        ),
        ("save", {"Name": "deep", "RulesJson": "[" * 30_000}, 12, "RulesJson: "),
        ("people", {"RulesJson": [[rule("happened")] * 9]}, 13, "RulesJson: 9 rules"),
        ("people", {"OrderBy": "name"}, 9, "OrderBy: "),
        ("people", {"Limit": 1_001}, 13, "Limit: "),
        ("people", {"Cursor": "abc"}, 10, "Cursor: "),
        ("people", {"Cursor": 1}, 10, "Cursor: "),
        ("people", {"Of": []}, 12, "Of: "),
        ("people", {"Of": {"Steps": []}}, 12, "Of: "),
        ("people", {"Of": {"Dimensions": ["event"]}}, 12, "Of.Row: "),
        ("people", {"Of": {"Dimensions": ["event"], "Row": {"Dimensions": []}}}, 7, "Of.Row.Dimensions: "),
        ("people", {"Of": {"Dimensions": ["time:day"], "Row": {"Dimensions": ["1999-01-01"]}}}, 7, "Of.Row.Dimensions[0]: "),
        ("people", {"Of": {"ListID": 2, "Row": {}}}, 12, "Of.ListID: "),
        ("people", {"Of": {"Filters": [["is", "x", [1]]], "Row": {}}}, 8, "Of.Filters[0]: "),
        ("people", {"Of": {"Filters": [["matches", "path", ["(("]]], "Row": {}}}, 8, "Of.Filters[0]: "),
        ("people", {"People": [["in", "nobody"]]}, 15, "People[0]: "),
        ("timeline", {}, 14, "Email: give one"),
        ("timeline", {"Email": "a@x.com", "ID": "1"}, 14, "ID: give one"),
        ("timeline", {"UUID": "1"}, 14, "UUID: "),
        ("timeline", {"Email": "a@x.com"}, 14, "Email: the list has no"),
        ("values", {}, 7, "Dimension: "),
        ("values", {"Dimension": "time:day"}, 7, "Dimension: "),
        ("values", {"Dimension": "path", "Prefix": 1}, 8, "Prefix: "),
        ("save", {"Name": "", "People": []}, 15, "Name: "),
        ("save", {"Name": "x"}, 12, "People: give one"),
        ("save", {"Name": "x", "Query": {"Metrics": []}}, 6, "Query.Metrics: "),
        ("save", {"Name": "x", "Query": {"Cursor": "x"}}, 12, "Query: "),
        ("save", {"Name": "x", "People": [["in", "y"]]}, 15, "People[0]: "),
        ("save", {"Name": "x", "People": [["in", "x"]]}, 15, "People[0]: "),
        ("save", {"Name": "x", "People": [["matches", "path", ["(("]]]}, 12, "People[0]: "),
        ("save", {"Name": "x", "People": [["is", "path", ["a" * 70_000]]]}, 13, "People: "),
        ("forget", {"Name": "x"}, 15, "Name: "),
    ],
)
def test_a_refusal_names_the_place(
    either_connection: duckdb.DuckDBPyConnection, name: str, params: dict[str, Any], code: int, message: str
) -> None:
    """With the documented code, and what would be right."""
    fill(either_connection, [])
    ((found, text),) = ask(either_connection, name, **params)
    assert (found, text[: len(message)]) == (code, message)


def test_a_cursor_is_for_its_own_request(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Not for another order, other conditions, or another question; the limit may change."""
    fill(either_connection, make_events(*({"email": f"{name}@x.com"} for name in "abc")))
    cursor = ask(either_connection, "people", Limit=1)["NextCursor"]
    assert [one["Email"] for one in ask(either_connection, "people", Limit=5, Cursor=cursor)["People"]] == ["b@x.com", "c@x.com"]
    for other in ({"OrderBy": "email"}, {"People": [["is_set", "email"]]}, {"TimeZone": "Asia/Kolkata"}):
        assert [code for code, _ in ask(either_connection, "people", **other, Cursor=cursor)] == [10]
    assert [code for code, _ in ask(either_connection, "timeline", Email="a@x.com", Cursor=cursor)] == [10]


def test_ids_and_traits(connection: duckdb.DuckDBPyConnection) -> None:
    """The ids that senders gave, not generated ones; of two bindings, the later one decides."""
    fill(connection, make_events(*({"email": "a@x.com"} for _ in range(4)), {"email": "b@x.com", "visitor": VISITORS[1]}))
    generated, own = "0b9a3f0e-5f0e-4c0e-9a51-2d1f7c1f4a10", "0b9a3f0e-5f0e-4c0e-9a51-2d1f7c1f4a11"
    for seq, one in enumerate((generated, own, own, "7", "7"), 1):
        connection.execute("update events set external_id = ? where seq = ?", [one, seq])
    for visitor, traits, at in (
        (VISITORS[1], '{"plan": "pro", "n": 12345678901234567890}', 2),
        (VISITORS[0], '{"plan": "free", "city": "Bonn"}', 1),
    ):
        connection.execute("insert into bindings values (1, ?, 'a@x.com', ?, make_timestamp(?))", [visitor, traits, at])
    (person,) = ask(connection, "people", People=[["is", "email", ["a@x.com"]]])["People"]
    assert person["IDs"] == [own, "7"]
    assert person["Traits"] == {"plan": "pro", "n": 12345678901234567890, "city": "Bonn"}
    assert ask(connection, "timeline", ID=7)["Person"]["Email"] == "b@x.com"
    assert ask(connection, "timeline", ID=own)["Person"] == person


def test_a_shared_browser_has_two_timelines(connection: duckdb.DuckDBPyConnection) -> None:
    """The browser stands for the last person; each person has their own events; an anonymous past joins the first one."""
    fill(
        connection,
        make_events(
            {"event": "e1"},
            {"event": "e2", "email": "a@x.com", "at": SPRING + 1},
            {"event": "e3", "email": "b@x.com", "at": SPRING + 2},
            {"event": "e4", "at": SPRING + 3},
            {"event": "e5", "email": "A@x.com", "visitor": VISITORS[1], "at": SPRING + 4},
        ),
    )

    def events(**named: Any) -> list[str]:
        return [one["Event"] for one in ask(connection, "timeline", **named)["Events"]]

    assert events(Email="a@X.com") == ["e5", "e2", "e1"]
    assert events(Email="b@x.com") == events(UUID=VISITORS[0]) == ["e4", "e3"]


def test_saved_segments(either_connection: duckdb.DuckDBPyConnection) -> None:
    """A segment stands for its conditions, everywhere, also within another one, until it is forgotten."""
    fill(either_connection, make_events({"email": "a@x.com"}, {"email": "b@x.com"}, {"email": "b@x.com", "event": "buy"}))
    either_connection.execute("delete from saved_queries")
    buyers = [["has_done", {"Event": "buy"}]]
    assert ask(either_connection, "save", Name="buyers", People=buyers)["Saved"]["People"] == buyers
    ask(either_connection, "save", Name="others", People=[["not", ["in", "buyers"]]])
    ask(either_connection, "save", Name="rules", RulesJson=[[{"type": "website-events", "event": "buy", "operator": "happened"}]])
    ask(either_connection, "save", Name="week", Query={"DateRange": "7d", "People": [["in", "buyers"]]})

    def emails(*people: Any) -> Any:
        answered = ask(either_connection, "people", People=list(people), OrderBy="email")
        return answered if isinstance(answered, list) else [one["Email"] for one in answered["People"]]

    assert emails(["in", "buyers"]) == emails(["in", "rules"]) == ["b@x.com"]
    assert emails(["in", "others"]) == emails(["not", ["in", "buyers"]]) == ["a@x.com"]
    counted = shared.ask(either_connection, Metrics=["people"], People=[["in", "buyers"]])
    assert counted["Results"][0]["Metrics"] == [1]
    assert counted["Query"]["People"] == [["in", "buyers"]]
    of = {"Metrics": ["people"], "People": [["in", "buyers"]], "Row": {"Dimensions": []}}
    assert ask(either_connection, "people", Of=of)["Count"] == 1
    assert [code for code, _ in emails(["in", "week"])] == [15]
    assert [code for code, _ in ask(either_connection, "save", Name="buyers", People=[["in", "others"]])] == [15]
    kept = [(one["Name"], one["Kind"]) for one in ask(either_connection, "saved")["Saved"]]
    assert kept == [("buyers", "segment"), ("others", "segment"), ("rules", "segment"), ("week", "query")]
    ask(either_connection, "save", Name="buyers", People=[["has_not_done", {"Event": "buy"}]])
    assert emails(["in", "buyers"]) == ["a@x.com"]
    assert ask(either_connection, "forget", Name="buyers") == {"Forgotten": "buyers"}
    assert [code for code, _ in emails(["in", "others"])] == [15]


def test_saved_segments_count_against_the_limits(either_connection: duckdb.DuckDBPyConnection) -> None:
    """With what they contain; and segments that name others again and again end."""
    fill(either_connection, [])
    either_connection.execute("delete from saved_queries")
    ask(either_connection, "save", Name="five", People=[["has_done", {}]] * 5)
    assert [code for code, _ in ask(either_connection, "people", People=[["in", "five"], ["in", "five"]])] == [13]
    ask(either_connection, "save", Name="0", People=[])
    for number in range(1, 4):
        assert "Saved" in ask(either_connection, "save", Name=str(number), People=[["in", str(number - 1)]] * 4)
    assert 13 in [code for code, _ in ask(either_connection, "save", Name="4", People=[["in", "3"]] * 4)]
    assert 13 in [code for code, _ in ask(either_connection, "people", People=[["in", "3"]] * 4)]


def test_what_another_list_has_saved_is_unknown(either_connection: duckdb.DuckDBPyConnection) -> None:
    """Names belong to a list."""
    either_connection.execute("delete from saved_queries")
    either_connection.execute("insert into saved_queries values (2, 'x', 'segment', '{\"People\":[]}', make_timestamp(0))")
    assert ask(either_connection, "saved") == {"Saved": []}
    assert [code for code, _ in ask(either_connection, "people", People=[["in", "x"]])] == [15]
    assert isinstance(read_saved_question({}, 1, "UTC", 0), SavedQuestion)


def test_persons_known_only_by_events_of_bots_are_found_where_a_condition_asks_for_these(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """A filter of has_done on `$bot` asks for them, and has_not_done is its complement; nobody else is asked for them."""
    bot, human = {"$bot": "crawler"}, {"url": "https://x.com/a"}
    fill(
        connection,
        make_events(
            {"visitor": VISITORS[0], "email": "bot@x.com", "properties": bot},
            {"visitor": VISITORS[1], "email": "both@x.com", "properties": bot},
            {"visitor": VISITORS[1], "email": "both@x.com", "properties": human},
            {"visitor": VISITORS[2], "email": "ada@x.com", "properties": human},
        ),
    )
    crawled, seen = {"Filters": [["is_set", "property:$bot"]]}, {"Filters": [["is_not_set", "property:$bot"]]}
    every = {"ada@x.com", "both@x.com", "bot@x.com"}
    expected: list[tuple[list[Any], set[str]]] = [
        ([], {"ada@x.com", "both@x.com"}),
        ([["has_done", {}]], {"ada@x.com", "both@x.com"}),
        ([["has_not_done", {"Event": "signup"}]], {"ada@x.com", "both@x.com"}),
        ([["has_done", crawled]], {"bot@x.com", "both@x.com"}),
        ([["has_not_done", crawled]], {"ada@x.com"}),
        ([["not", ["has_done", crawled]]], {"ada@x.com"}),
        ([["has_not_done", seen]], {"bot@x.com"}),
        ([["or", [["has_done", crawled], ["has_not_done", crawled]]]], every),
        ([["has_done", crawled], [">=", "last_seen", ["2026-01-01"]]], {"both@x.com"}),
        ([["has_done", crawled], ["not", [">=", "last_seen", ["2026-01-01"]]]], {"bot@x.com"}),
        ([["has_done", crawled], ["is_set", "path"]], {"both@x.com"}),
    ]
    for people, emails in expected:
        answered = ask(connection, "people", People=people)
        assert {person["Email"] for person in answered["People"]} == emails, people
        assert answered["Count"] == len(emails)
        counted = shared.ask(connection, DateRange="all", People=people, Metrics=["people"])
        assert shared.rows(counted) == [([], [len(emails - {"bot@x.com"})])], people
    found = ask(connection, "people", People=[["has_done", crawled]], OrderBy="last_seen")["People"]
    assert [(one["Email"], one["LastSeen"] is None, one["Events"]) for one in found] == [
        ("both@x.com", False, 1),
        ("bot@x.com", True, 0),
    ]
