"""Promoted properties: questions read their values from columns, and answer what they would from the JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, strategies as st

from falcon_events import EventTracking
from falcon_events.errors import EventsError
from falcon_events.model.access import ListRules
from falcon_events.model.events import NewEvent
from falcon_events.model.persons import Visitor
from falcon_events.query.question import encode_question
from falcon_events.query.reading import read_question, read_values_question
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, columns, migrations, promoted
from falcon_events.store.database.connect import open_database, open_memory
from falcon_events.store.engine import asked_properties, checkpoints, upkeep
from falcon_events.store.queries import access_rows, answer_source, maintenance, persons
from falcon_events.store.queries.answers import answer
from falcon_events.store.queries.check import _list_promoted
from falcon_events.store.store import Store
from tests.examples import at_random
from tests.harness import wait_until
from tests.shortcuts import write_store
from tests.unit import test_answers as shared
from tests.unit.query_oracle import Event
from tests.unit.test_answers import SPRING, VISITORS, make_events

pytestmark = pytest.mark.database

HOSTILE = [
    *("plan", "$bot", 'a"b', "a'b", "a`b", "[0]", "a[0]", "$.a", "$", "a.b", "a/b", "~1", "~", "/", "*", "$p1", "{read}", "%s"),
    *("\U0001f600", "e\u0301", "\0", "a\0b", "'; drop table events; --", "x" * 200),
]
texts = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        ["", "[1]", '["a"]', '{"a": 1}', "{", "[", "null", "true", "1", " 1", "1e400", "\0", "\1", "\1[1]", "\2", "\3", "\2\0a"]
    ),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=5
)
operators = st.one_of(
    st.tuples(st.sampled_from(["is", "is_not"]), st.one_of(scalars, values.map(json.dumps))),
    st.tuples(st.sampled_from(["contains", "contains_not", "starts_with", "ends_with"]), texts),
    st.tuples(st.sampled_from([">", ">=", "<", "<="]), st.integers(-3, 3)),
    st.tuples(st.sampled_from(["is_set", "is_not_set"]), st.none()),
)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A store in memory whose events are folded."""
    with open_memory(Settings(threads=1)) as connection:
        connection.execute("set variable folds = true")
        connection.execute("delete from promoted_properties")
        yield connection


def index(connection: duckdb.DuckDBPyConnection, *names: str, list_id: int = 1, portions: int | None = None) -> None:
    """Promotes properties of a list, and fills all events or a number of portions of one event."""
    promoted.set_indexed(connection, list_id, names)
    left = portions
    while left != 0 and promoted.fill_portion(connection, 1 if portions else 1_000) is not None:
        left = None if left is None else left - 1


def ask_values(connection: duckdb.DuckDBPyConnection, dimension: str) -> Any:
    """The values of a dimension."""
    question = read_values_question({"Dimension": dimension, "DateRange": "all"}, 1, "UTC", 0)
    assert not isinstance(question, list), question
    answered = answer(connection, question, timeout_s=60, session_gap_s=1800)
    return json.loads(answered.body)


def ask_all(connection: duckdb.DuckDBPyConnection, name: str, conditions: list[Any]) -> list[Any]:
    """The answers to questions that use a property in every way."""
    dimension = f"property:{name}"
    whole: dict[str, Any] = {"DateRange": "all", "Metrics": ["events"]}
    filters = [[operator, dimension, *([] if operator.endswith("set") else [[value]])] for operator, value in conditions]
    asked: list[dict[str, Any]] = [
        {**whole, "Dimensions": [dimension]},
        {**whole, "Metrics": [[one, dimension] for one in ("sum", "min", "max", "median", "distinct")]},
        *({**whole, "Filters": [one]} for one in filters),
        *({**whole, "People": [one]} for one in filters[:1]),
        *({**whole, "People": [["has_done", {"Filters": [one]}]]} for one in filters[-1:]),
    ]
    answers = [shared.ask(connection, **one) for one in asked]
    return [[one["Results"], one["Meta"]] for one in answers] + [ask_values(connection, dimension)]


@at_random(15)
@given(
    given=st.lists(values, min_size=1, max_size=8),
    name=st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=5)),
    conditions=st.lists(operators, max_size=4),
    folded=st.integers(0, 9),
    portions=st.sampled_from([None, None, None, 1, 3]),
)
def test_answers_are_those_from_json(
    connection: duckdb.DuckDBPyConnection,
    given: list[Any],
    name: str,
    conditions: list[Any],
    folded: int,
    portions: int | None,
) -> None:
    """Whatever the property's name and values, and however many events are folded and filled."""
    events = make_events(
        *({"properties": {name: value}, "visitor": VISITORS[number % 2]} for number, value in enumerate(given)), {}
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(answer_source, "MOST_OF_TAIL", -1)
        shared.fill(connection, events)
        expected = ask_all(connection, name, conditions)
    shared.fill(connection, events, folds=[folded])
    index(connection, name, "other", portions=portions)
    assert not columns.differs(connection)
    assert ask_all(connection, name, conditions) == expected
    columns.fold(connection, len(events))
    assert not columns.differs(connection)
    assert ask_all(connection, name, conditions) == expected


def test_names_of_any_characters_are_told_apart(connection: duckdb.DuckDBPyConnection) -> None:
    """Each has its own values, in events that are filled, folded later, and not folded yet."""
    given = [{name: f"{number} {turn}" for number, name in enumerate(HOSTILE[:20])} for turn in range(3)]
    shared.fill(connection, make_events(*({"properties": one} for one in given)), folds=[1])
    index(connection, *HOSTILE[:20])
    columns.fold(connection, 2)
    assert not columns.differs(connection)
    assert set(promoted.read_full(connection, 1)) == set(HOSTILE[:20])
    for number, name in enumerate(HOSTILE[:20]):
        asked = {
            "DateRange": "all",
            "Dimensions": [f"property:{name}"],
            "Metrics": ["events"],
            "Filters": [["is_set", f"property:{name}"]],
        }
        filters = [["is_set", "property:$bot"]]
        answered = shared.ask(connection, **{**asked, "Filters": [*asked["Filters"], *filters]})  # type: ignore[misc]
        assert shared.rows(answered) == [([f"{number} {turn}"], [1]) for turn in range(3)], name


def list_columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The columns of promoted properties that are there."""
    return sorted(name for (name,) in connection.execute(promoted.EXISTING).fetchall())


def read_list(connection: duckdb.DuckDBPyConnection, column: str, list_id: int = 1) -> list[Any]:
    """The values of a list's events in a column."""
    read = f"select {column} from event_columns where list_id = ? order by seq"
    return [value for (value,) in connection.execute(read, [list_id]).fetchall()]


def test_a_removed_property_leaves_no_column(connection: duckdb.DuckDBPyConnection) -> None:
    """Also while it was still being filled. Another property takes its place, with its own values."""
    events = make_events(*({"properties": {"a": number, "b": f"b{number}"}} for number in range(6)))
    shared.fill(connection, events)
    index(connection, "a", portions=2)
    assert (read_list(connection, "property_1"), promoted.read_full(connection, 1)) == (["0", "1", None, None, None, None], {})
    index(connection, "b", portions=1)
    assert not columns.differs(connection)
    index(connection, "b", "c")
    assert (list_columns(connection), promoted.read_full(connection, 1)) == (["property_1", "property_2"], {"b": 1, "c": 2})
    assert read_list(connection, "property_1") == [f"b{number}" for number in range(6)]
    index(connection)
    assert (list_columns(connection), promoted.read_rows(connection, 1)) == ([], [])
    promoted.set_indexed(connection, 1, [str(number) for number in range(20)])
    index(connection, *(str(number) for number in range(10, 30)), portions=3)
    index(connection, *(str(number) for number in range(10, 30)))
    assert len(list_columns(connection)) == len(promoted.read_full(connection, 1)) == 20
    assert not columns.differs(connection)


def test_a_removed_property_leaves_no_value_in_a_column_that_another_list_uses(connection: duckdb.DuckDBPyConnection) -> None:
    """Its values are removed in portions. Meanwhile it may be promoted again, and events may be folded."""
    shared.fill(connection, [])
    for seq in range(1, 9):
        shared.insert(connection, [Event(seq, "e", VISITORS[0], None, SPRING, {"a": seq, "b": -seq})], list_id=seq % 2 + 1)
    columns.fold(connection, 6)
    for list_id in (1, 2):
        index(connection, "a", list_id=list_id)
    index(connection, portions=2)
    assert read_list(connection, "property_1") == [None, None, "6"]
    assert not columns.differs(connection)
    columns.fold(connection, 8)
    assert (read_list(connection, "property_1"), read_list(connection, "property_1", 2)) == (
        [None, None, "6", None],
        ["1", "3", "5", "7"],
    )
    index(connection, "b", portions=1)
    assert (read_list(connection, "property_1"), promoted.read_full(connection, 1)) == (["-2", None, "6", None], {})
    index(connection, portions=2)
    assert not columns.differs(connection)
    index(connection)
    assert (read_list(connection, "property_1"), promoted.read_rows(connection, 1)) == ([None] * 4, [])
    assert not columns.differs(connection)
    index(connection, list_id=2)
    assert list_columns(connection) == []


@pytest.mark.parametrize("most", [64, 3])
def test_lists_have_properties_of_their_own(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """The same column is that of another property in another list. A fold reads those of all lists, also if they are many."""
    monkeypatch.setattr(promoted, "MOST_PATHS", most)
    shared.fill(connection, [])
    for list_id, names in {1: ["a", "b"], 2: ["c", "a"], 3: ["d", "e"]}.items():
        promoted.set_indexed(connection, list_id, names)
    for seq in range(1, 9):
        made = {name: f"{name}{seq}" for name in "abcde"} | {"c": [seq]}
        shared.insert(connection, [Event(seq, "e", VISITORS[0], None, SPRING, made)], list_id=seq % 4 + 1)
    columns.fold(connection, 5)
    columns.fold(connection, 8)
    assert not columns.differs(connection)
    found = connection.execute("select list_id, seq, property_1, property_2 from event_columns order by all").fetchall()
    assert [row for row in found if row[0] in (2, 4)] == [
        (2, 1, "a1", "\1[1]"),
        (2, 5, "a5", "\1[5]"),
        (4, 3, None, None),
        (4, 7, None, None),
    ]


def test_an_erased_person_and_a_deleted_list_leave_no_values(connection: duckdb.DuckDBPyConnection) -> None:
    """The columns of those who are left are what their events have."""
    connection.execute("insert into lists values (1, 'a', 'x', now()::timestamp)")
    shared.fill(
        connection,
        make_events({"email": "ada@x.com", "properties": {"a": "ada"}}, {"visitor": VISITORS[1], "properties": {"a": "other"}}),
    )
    catalogue.fold(connection, 2)
    index(connection, "a", portions=1)
    persons.erase(connection, Visitor(1, email="ada@x.com"))
    assert not columns.differs(connection)
    index(connection, "a")
    assert not columns.differs(connection)
    assert connection.execute("select property_1 from event_columns").fetchall() == [("other",)]
    access_rows.delete_list(connection, 1)
    assert connection.execute("select count(*) from promoted_properties").fetchone() == (0,)


def test_rules_of_an_earlier_release_index_nothing(db: Path) -> None:
    """They stay as they were, and may be given names."""
    with duckdb.connect(str(db)) as connection:
        for step in migrations.MIGRATIONS[:6]:
            connection.execute(step.replace("{namespace}", VISITORS[0]))
        connection.execute("update meta set schema_version = 6")
        connection.execute("insert into list_rules values (1, 'drop', ['a'], ['b'], 'Europe/Berlin')")
    with EventTracking(db) as tracking:
        (rules,) = tracking.directory.rules()
        assert rules == ListRules(1, "drop", ["a"], ["b"], "Europe/Berlin", [])
        tracking.directory.set_rules(1, indexed=["b", "a"])
        assert tracking.directory.rules() == [ListRules(1, indexed=["a", "b"])]


def test_at_most_20_names_of_the_length_of_names(tracking: EventTracking) -> None:
    """The message says so."""
    tracking.directory.ensure_list(1, "news")
    names = [*(str(number) for number in range(19)), "x" * 200]
    assert tracking.directory.set_rules(1, indexed=names).indexed == sorted(names)
    assert tracking.directory.rules_of(1).indexed == sorted(names)
    for wrong in ([*names, "more"], [""], ["x" * 201]):
        with pytest.raises(EventsError, match="indexed must be at most 20 names of properties, of 1 to 200 characters"):
            tracking.directory.set_rules(1, indexed=wrong)
    assert tracking.directory.set_rules(1).indexed == []


def index_list(store: Store, *names: str) -> None:
    """Sets the rules of list 1."""
    rules = ListRules(1, indexed=list(names))
    store.run(lambda connection: access_rows.set_rules(connection, rules)).result(60)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A closed store of 1,000 events of list 1, folded, whose property `a` is their seq."""
    db = tmp_path_factory.mktemp("thousand") / "events.duckdb"
    with open_database(db, Settings()) as connection:
        connection.execute("insert into lists values (1, 'account', 'news', now()::timestamp)")
        connection.execute(
            "insert into events select range, uuid(), 'a', 1, 'e', md5((range % 7)::varchar)::uuid, 'x', null, now()::timestamp,"
            """ now()::timestamp, '{"a": ' || range || '}', null, null, null from range(1, 1001)"""
        )
        catalogue.fold(connection, 1_000)
        columns.fold(connection, 1_000)
    return db.read_bytes()


@pytest.fixture
def filled(db: Path, monkeypatch: pytest.MonkeyPatch, thousand: bytes) -> Iterator[Store]:
    """It, open, whose columns are filled in small portions."""
    write_store(db, thousand)
    monkeypatch.setattr(upkeep, "COLUMNS_AT_ONCE", 50)
    store = Store(db, Settings())
    yield store
    store.close()


def ask_store(store: Store, **asked: Any) -> Any:
    """The answer to a question about list 1."""
    question = read_question({"DateRange": "all", "Metrics": ["events"], **asked}, 1, "UTC", 0)

    def look(connection: duckdb.DuckDBPyConnection) -> Any:
        answered = answer(connection, question, timeout_s=60, session_gap_s=1800)  # type: ignore[arg-type]
        return json.loads(answered.body)["Results"]

    return store._read(look).result(60)


def count_promoted(store: Store, condition: str = "true") -> int:
    """How many rows promoted properties have."""
    counted = f"select count(*) from promoted_properties where {condition}"
    ((count,),) = store.run(lambda connection: connection.execute(counted).fetchall()).result(60)
    return int(count)


def read_checks(store: Store) -> dict[str, Any]:
    """What a check of the store finds, by name."""
    return {check.name: check for check in store.check().result(60)}


def test_columns_are_filled_and_cleared_in_the_background_while_questions_run(filled: Store) -> None:
    """Portion by portion. Every answer meanwhile is right."""
    wrong: list[Any] = []
    ended = threading.Event()
    asked = {"Filters": [["<=", "property:a", [10]]], "Dimensions": ["property:a"]}
    expected = ask_store(filled, **asked)
    assert len(expected) == 10

    def ask_again_and_again() -> None:
        while not ended.is_set():
            wrong.extend(answered for answered in [ask_store(filled, **asked)] if answered != expected)

    asking = threading.Thread(target=ask_again_and_again)
    asking.start()

    def is_full() -> bool:
        return bool(read_checks(filled)["indexed properties of list 1"].found == '"a"; "b"')

    for _ in range(2):
        index_list(filled, "a", "b")
        wait_until(is_full, "the columns are not filled", seconds=60)
        assert read_checks(filled)["columns"].ok
        index_list(filled)
        wait_until(lambda: count_promoted(filled) == 0, "not cleared", seconds=60)
        assert filled.run(list_columns).result(60) == []
    ended.set()
    asking.join()
    assert wrong == []


def test_values_that_are_filled_wait_for_a_checkpoint_when_there_are_many(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that they take a limited amount of memory. Afterwards the rest is filled."""
    monkeypatch.setattr(checkpoints, "MOST_UPDATED", 400)
    index_list(filled, "a")
    wait_until(lambda: count_promoted(filled, "filled_seq >= until_seq") == 1, "not filled", seconds=120)


def test_a_check_finds_a_value_that_is_not_the_events(connection: duckdb.DuckDBPyConnection) -> None:
    """One that differs, one that is missing, and one in a column of no property."""
    for change in ("property_1 = 'x'", "property_1 = null", "property_2 = 'x'"):
        shared.fill(connection, make_events({"properties": {"a": 1}}, {"properties": {"a": [1]}}))
        index(connection, "a")
        index(connection, "a", "b", list_id=2)
        assert not columns.differs(connection)
        connection.execute(f"update event_columns set {change} where seq = 2")
        assert columns.differs(connection), change


def test_copies_have_the_columns(tracking: EventTracking, db: Path, tmp_path: Path) -> None:
    """A backup and the compacted file answer from them, and go on filling them."""
    tracking.directory.ensure_list(1, "news")
    for number in range(5):
        tracking.track(1, "order", uuid=VISITORS[0], properties={"plan": f"p{number}"})
    tracking.directory.set_rules(1, indexed=["plan"])
    tracking.close()
    asked: dict[str, Any] = {"date_range": "all", "dimensions": ["property:plan"], "metrics": ["events"]}
    with EventTracking(db) as tracking:
        answered = tracking.query(1, **asked).rows
        tracking.backup(tmp_path / "copy.duckdb")
        tracking.compact()
        assert tracking.query(1, **asked).rows == answered
    for path in (db, tmp_path / "copy.duckdb"):
        with EventTracking(path) as tracking:
            assert tracking.directory.rules_of(1).indexed == ["plan"]
            full = "select count(*) from promoted_properties where filled_seq >= until_seq"
            wait_until(lambda: tracking.sql(full).rows == [[1]], "not filled")  # noqa: B023
            assert tracking.query(1, **asked).rows == answered
            assert [check for check in tracking.check() if check.name == "columns" and not check.ok] == []


def test_a_check_says_how_far_columns_are_filled(connection: duckdb.DuckDBPyConnection) -> None:
    """And which of them are there because of questions."""
    shared.fill(connection, make_events({}, {}, {}))
    index(connection, 'a"b', portions=2)
    promoted.promote(connection, 1, "é", asked=True)
    (check,) = _list_promoted(connection)
    assert (check.name, check.ok) == ("indexed properties of list 1", True)
    assert check.found == '"a\\"b", 2 of 3 events so far; "é" (by questions), 0 of 3 events so far'


def test_a_copy_is_made_while_a_property_is_promoted(filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the columns that were there when it began."""
    compress = maintenance.compress_properties

    def promote_and_compress(connection: duckdb.DuckDBPyConnection, database: str) -> None:
        index_list(filled, "a")
        compress(connection, database)

    monkeypatch.setattr(maintenance, "compress_properties", promote_and_compress)
    filled.backup(tmp_path / "copy.duckdb").result(60)
    wait_until(lambda: count_promoted(filled, "filled_seq >= until_seq") == 1, "not filled", seconds=60)
    with duckdb.connect(str(tmp_path / "copy.duckdb")) as copied:
        assert (list_columns(copied), copied.execute("select count(*) from event_columns").fetchone()) == ([], (1_000,))
    monkeypatch.undo()
    filled.backup(tmp_path / "later.duckdb").result(60)
    with duckdb.connect(str(tmp_path / "later.duckdb")) as copied:
        assert copied.execute("select count(property_1) from event_columns").fetchone() == (1_000,)


def test_columns_are_filled_while_events_arrive(filled: Store) -> None:
    """The store is never idle; events that arrive meanwhile get their values, too."""
    ended = threading.Event()
    stored = [0]

    def submit_again_and_again() -> None:
        at = 1_700_000_000_000_000
        while not ended.is_set():
            made = json.dumps({"a": 1_000_000}).encode()
            filled.submit([NewEvent(None, "account", 1, "e", VISITORS[0], "id", None, at, at, made, None, 20)]).result(60)
            stored[0] += 1

    submitting = threading.Thread(target=submit_again_and_again)
    submitting.start()
    index_list(filled, "a")
    wait_until(lambda: count_promoted(filled, "filled_seq >= until_seq") == 1, "not filled", seconds=120)
    ended.set()
    submitting.join()
    asked = {"Filters": [["is", "property:a", [1_000_000]]]}
    assert ask_store(filled, **asked) == [{"Dimensions": [], "Metrics": [stored[0]]}]
    filled.run(lambda _: filled._open_writer().upkeep.fold_columns(1)).result(60)
    assert ask_store(filled, **asked) == [{"Dimensions": [], "Metrics": [stored[0]]}]
    assert read_checks(filled)["columns"].ok


@pytest.mark.parametrize(("budget", "expected"), [(0, []), (1, [("a", True)])])
def test_a_property_that_is_asked_for_often_gets_a_column(
    filled: Store, monkeypatch: pytest.MonkeyPatch, budget: int, expected: list[Any]
) -> None:
    """Unless the setting is 0, and if the list has events with it."""
    monkeypatch.setattr(asked_properties, "LEAST_EVENTS", 1)
    filled.questions._asked = asked_properties.AskedProperties(budget)
    question = read_question({"Dimensions": ["property:a", "property:no such"]}, 1, "UTC", 0)
    for _ in range(12):
        assert not filled.questions.query(encode_question(question)).result(60).failures
    rows = "select name, asked from promoted_properties"
    found = filled.run(lambda connection: connection.execute(rows).fetchall())  # after the task of the last question
    assert found.result(60) == expected


def test_counts_of_questions_fade_and_choose_between_properties(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for twice as often takes the place of another one; those of rules stay."""
    monkeypatch.setattr(asked_properties, "LEAST_EVENTS", 1)
    now = [0.0]
    shared.fill(connection, make_events({"properties": {"a": 1, "b": 1, "c": 1}}))
    catalogue.fold(connection, 1)
    counts = asked_properties.AskedProperties(1, lambda: now[0])

    def ask_for(name: str, times: int) -> list[bool]:
        often = [one for _ in range(times) for one in counts.count(1, [f"property:{name}", "path"])]
        return [counts.promote(connection, 1, one) for one in often]

    promoted.set_indexed(connection, 1, ["c"])
    assert (ask_for("a", 9), ask_for("a", 1), ask_for("a", 5)) == ([], [True], [])
    assert ask_for("b", 15) == [False]
    assert [(row.name, row.asked) for row in promoted.read_rows(connection, 1) if row.name] == [("c", False), ("a", True)]
    now[0] += 10 * asked_properties.HALF_LIFE_S
    assert ask_for("b", 12) == [True]
    assert {row.name for row in promoted.read_rows(connection, 1) if row.name} == {"b", "c"}
    assert not columns.differs(connection)


def test_a_store_that_is_opened_has_no_columns_that_nobody_needs(filled: Store, db: Path) -> None:
    """Those that a killed process left, and with the setting 0 those that are there because of questions."""
    for budget, expected in ((5, ["property_1", "property_2"]), (0, ["property_1"])):
        index_list(filled, "a")
        filled.run(lambda connection: connection.execute("delete from promoted_properties where asked")).result(60)
        filled.run(lambda connection: promoted.promote(connection, 1, "b", asked=True)).result(60)
        filled.run(lambda connection: connection.execute("alter table event_columns add column property_3 varchar")).result(60)
        filled.close()
        filled = Store(db, Settings(asked_properties=budget))
        wait_until(lambda: filled.run(list_columns).result(60) == expected, "the columns stay", seconds=60)  # noqa: B023
    assert read_checks(filled)["columns"].ok
    filled.close()


def test_no_column_comes_by_itself_where_it_would_not_be_worth_it(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a small list, of a property that it does not have, and of one with long values."""
    shared.fill(connection, make_events({"properties": {"a": 1, "long": "x" * 65}}))
    catalogue.fold(connection, 1)
    counts = asked_properties.AskedProperties(1)
    assert not counts.promote(connection, 1, "a")
    monkeypatch.setattr(asked_properties, "LEAST_EVENTS", 1)
    assert [counts.promote(connection, 1, name) for name in ("b", "long", "a")] == [False, False, True]


def test_the_counts_are_of_a_limited_number_of_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are asked for least are forgotten."""
    monkeypatch.setattr(asked_properties, "MOST_COUNTED", 10)
    counts = asked_properties.AskedProperties(5)
    for _ in range(9):
        counts.count(1, ["property:a"])
    for number in range(100):
        counts.count(1, [f"property:{number}"])
    assert len(counts._counts) <= 10
    assert counts.count(1, ["property:a"]) == ["a"]
