"""A question as JSON, as a command and as a Python call: each of them asks that question, whatever it contains."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unittest.mock
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from falcon_events.cli.main import cli
from falcon_events.cli.questions import QuestionRequest
from falcon_events.dashboard.spellings import QUESTIONS, Spellings, spell
from falcon_events.errors import EventsError
from falcon_events.query import names
from falcon_events.query.arguments import write_params
from falcon_events.query.calls import QuestionCalls
from falcon_events.query.short_forms import drop_empty, is_same

T = TypeVar("T")
DOCS = Path(__file__).parents[2] / "docs"
LIST_ID = 7
KINDS = ("Start", "Return")

steady = settings(derandomize=True, database=None, deadline=None, max_examples=200)

HOSTILE = (
    *("", " ", "a b", " a", "a ", "a,b", '"', '"a"', 'a"b', "'", "it's", "\\", "\\n", "\n", "a\nb", "\t", "\r\n", "\0", "a\0b"),
    *("$HOME", "$(id)", "`id`", "!!", "*", "~", "#", "=a", "-x", "--list", "@file", "%s", "a;b", "a|b", "{a,b}", "[" * 4_000),
    *("\x1b[31m", "\x7f", "\u2028", "\u202egpj", "\u00a0", "\ud7ff", "\ufeff", "\U0001f600", "e\u0301", "日本語", "\U000e0041"),
    *("a where b", "where", "a >= 2", "a within 7d", "5", "5.0", "1e3", "true", "null", "2026-03-01", "asc", "a desc"),
    *("x" * 10_000, " " * 50 + "x", "</script>", "{{ 7 }}", "previous"),
)
TEXTS = st.integers(0, len(HOSTILE) - 1).map(lambda number: HOSTILE[number]) | st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.integers(-(2**80), 2**80) | st.integers(-10, 10) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none()
WORDS = st.sampled_from(["signup", "pageView", "conversion"])
DIMENSIONS = st.sampled_from(["event", "path", "campaign"]) | st.builds("{}{}".format, st.sampled_from(names.PREFIXES), TEXTS)
OPTIONS = st.sampled_from([[], [], [{"case_sensitive": False}], [{"case_sensitive": True}]])
LEAVES = st.one_of(
    st.builds(
        lambda operator, dimension, values, options: [operator, dimension, values, *options],
        st.sampled_from([*names.OPERATORS]),
        DIMENSIONS,
        st.lists(TEXTS, max_size=3) | st.lists(NUMBERS, max_size=3) | st.lists(VALUES, max_size=3),
        OPTIONS,
    ),
    st.builds(lambda operator, dimension: [operator, dimension], st.sampled_from(["is_set", "is_not_set"]), DIMENSIONS),
)


def combine(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return conditions of `and`, `or` and `not`."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(lambda word, parts: [word, parts], st.sampled_from(["and", "or"]), st.lists(inner, max_size=3))
            | st.builds(lambda part: ["not", part], inner)
        ),
        max_leaves=4,
    )


FILTERS = st.lists(combine(LEAVES), max_size=3) | st.lists(LEAVES, max_size=3)
RANGES = st.sampled_from(
    ["7d", "24h", "28d", "month", "all", "no range", ["2026-03-01", "2026-03-01"], "2026-03-01"]
) | st.sampled_from(
    [["2026-03-01", "2026-03-31"], ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00+01:00"], ["b", "a"], [date(2026, 3, 1)] * 2]
)
EVENT_KINDS = st.fixed_dictionaries({}, optional={"Event": WORDS | TEXTS | st.none(), "Filters": FILTERS})
DONE = st.fixed_dictionaries(
    {},
    optional={
        "Event": WORDS | TEXTS | st.none(),
        "Filters": FILTERS,
        "Count": st.tuples(st.sampled_from([*names.COUNT_OPERATORS]), st.integers(0, 2**63) | st.just(-1)).map(list),
        "Within": RANGES,
    },
)
PERSONS = st.one_of(
    st.builds(lambda word, done: [word, done], st.sampled_from(["has_done", "has_not_done"]), DONE),
    st.builds(lambda name: ["in", name], TEXTS),
    st.builds(lambda day: [">", "last_seen", [day]], st.sampled_from(["2026-03-01", "5"])),
    LEAVES,
)
PEOPLE = st.lists(combine(PERSONS), max_size=4) | st.lists(PERSONS, max_size=4)
METRICS = st.sampled_from(names.METRICS) | st.tuples(st.sampled_from(names.AGGREGATES), DIMENSIONS).map(list) | TEXTS
RULES = st.lists(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.just("website-events"), "event": TEXTS, "operator": st.sampled_from(["happened", "equals"])},
            optional={"value": VALUES, "event_parameter": TEXTS},
        ),
        max_size=2,
    ),
    max_size=2,
)
WHOLE = st.integers(-1, 20_000) | st.just(2**70)
TIMES = {"time_zone": st.sampled_from(["UTC", "Europe/Berlin"]) | TEXTS, "week_start": st.sampled_from(["monday", "sunday", "x"])}
COMMON = {"date_range": RANGES, **TIMES, "filters": FILTERS, "people": PEOPLE}
COMPARED = st.sampled_from(["previous", "year"]) | RANGES
OF = st.fixed_dictionaries(
    {"Dimensions": st.lists(DIMENSIONS, max_size=2), "Filters": FILTERS, "Row": st.just({"Dimensions": []})}
)


def alternatives(required: Mapping[str, Any], **choices: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return arguments that have one of the choices."""
    return st.one_of([st.fixed_dictionaries({name: choice}, optional=dict(required)) for name, choice in choices.items()])


ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "query": st.fixed_dictionaries(
        {},
        optional={
            **COMMON,
            "metrics": st.lists(METRICS, max_size=3),
            "dimensions": st.lists(DIMENSIONS | st.just("time:day"), max_size=3),
            "order_by": st.lists(st.tuples(METRICS | DIMENSIONS, st.sampled_from(["asc", "desc", "up"])), max_size=2),
            "limit": WHOLE | st.just(100.0),
            "offset": WHOLE,
            "compare": COMPARED,
            "include": st.lists(st.sampled_from(["totals", "total_rows", "time_labels", "more"]), max_size=3),
        },
    ),
    "funnel": st.fixed_dictionaries(
        {"steps": st.lists(EVENT_KINDS, max_size=3)},
        optional={
            **COMMON,
            "window": st.sampled_from(["7d", "12h"]) | TEXTS,
            "order": st.sampled_from(["sequential", "strict", "x"]),
            "by": st.sampled_from(["people", "sessions", "x"]),
            "breakdown": DIMENSIONS,
            "compare": COMPARED,
        },
    ),
    "retention": st.fixed_dictionaries(
        {},
        optional={
            **COMMON,
            "start": EVENT_KINDS | st.none(),
            "return_": EVENT_KINDS,
            "unit": st.sampled_from(["day", "week", "month", "x"]),
            "periods": WHOLE,
            "first": st.sampled_from(["ever", "in_range", "x"]),
            "mode": st.sampled_from(["calendar", "rolling", "x"]),
            "by": st.sampled_from(["people", "visitors", "sessions"]),
        },
    ),
    "people": alternatives(
        {
            **TIMES,
            "order_by": st.sampled_from(["events", "email", "x", ["events", "asc"], ["email", "desc"], ["x", "asc"], []]),
            "limit": WHOLE,
            "cursor": TEXTS,
        },
        people=PEOPLE,
        rules_json=RULES | RULES.map(json.dumps) | TEXTS,
        of=OF,
    ),
    "timeline": alternatives(
        {"filters": FILTERS, "limit": WHOLE, "cursor": TEXTS},
        email=TEXTS,
        id=TEXTS | st.integers(-(2**70), 2**70),
        uuid=TEXTS | st.uuids(),
    ),
    "values": st.fixed_dictionaries({"dimension": DIMENSIONS | TEXTS}, optional={**COMMON, "prefix": TEXTS, "limit": WHOLE}),
}
ASKED = st.sampled_from(QUESTIONS).flatmap(lambda name: st.tuples(st.just(name), ARGUMENTS[name]))


class Recorder(QuestionCalls):
    """A tracker that keeps the last question."""

    asked: tuple[str, dict[str, Any]]

    def _ask_question(self, name: str, arguments: Mapping[str, Any], kind: Callable[..., T]) -> T:
        self.asked = name, write_params(arguments)
        return None  # type: ignore[return-value]


def call(text: str) -> tuple[str, dict[str, Any]]:
    """Run Python code that asks a question of `tracking`, and return the question with all of its parameters."""
    tracking = Recorder()
    exec(text, {"tracking": tracking})
    return tracking.asked


class _Asked(Exception):
    """The command has asked its question."""


def run_words(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Run a command up to its question, and return the question as the store would get it."""

    def ask(request: QuestionRequest, question: str, db: str) -> bytes:
        raise _Asked(question, request.params)

    assert words[0] == "falcon-events"
    with unittest.mock.patch.object(QuestionRequest, "ask", ask), pytest.raises(_Asked) as caught:
        cli.main(words[1:], "falcon-events", standalone_mode=False)
    name, params = caught.value.args
    return name, params


def split(command: str) -> list[str]:
    """Split a command into words, as a shell does."""
    done = subprocess.run(["sh", "-c", rf"printf '%s\0' {command}"], capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]


def complete(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with the defaults of those that are missing."""
    required = {"funnel": "steps=[]", "values": '""'}.get(name, "")
    return {**call(f"tracking.{name}({LIST_ID}, {required})")[1], **params}


def simplify(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return complete parameters in one of the forms that mean the same.

    Conditions that all hold may have any order, but beside a cursor, which belongs to their order. A kind of events may have an
    empty array of conditions. An ID is text. Presence has no case.
    """
    params = complete(name, params)
    for kind in KINDS:
        if kind in params:
            params[kind] = drop_empty(params[kind])
    if "Steps" in params:
        params["Steps"] = [drop_empty(one) for one in params["Steps"]]
    if "ID" in params:
        params["ID"] = str(params["ID"])
    for conditions in ("Filters", "People"):
        simple = [simplify_condition(one) for one in params.get(conditions, [])]
        params[conditions] = simple if "Cursor" in params else sorted(simple, key=lambda one: json.dumps(one, sort_keys=True))
    return params


def simplify_condition(condition: Any) -> Any:
    """Return a condition without what means nothing."""
    if condition[0] in ("has_done", "has_not_done"):
        return [condition[0], drop_empty(condition[1])]
    if condition[0] in ("is_set", "is_not_set") and condition[2:] == [[], {"case_sensitive": False}]:
        return condition[:2]
    return condition


def write_expected(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a call."""
    return write_params({"list_id": LIST_ID, **arguments})


@steady
@given(ASKED)
def test_the_json_is_the_request(asked: tuple[str, dict[str, Any]]) -> None:
    """It is what a client sends for the same arguments, and can be shown: no character of it is invisible or turns the text."""
    name, arguments = asked
    spelt = spell(name, LIST_ID, {**arguments, "api_key": "secret", "session_id": "secret"})
    assert is_same(msgspec.json.decode(spelt.json), write_expected(arguments))
    assert spelt.json.replace("\n", "").isprintable()
    assert spelt.http == f"POST /api/v1/website_events.{name}"


@steady
@given(ASKED)
def test_the_python_call_asks_the_question(asked: tuple[str, dict[str, Any]]) -> None:
    """With every argument as it was given, and without those that are the defaults."""
    name, arguments = asked
    spelt = spell(name, LIST_ID, arguments)
    found, params = call(spelt.python)
    assert found == name
    assert is_same(params, complete(name, write_expected(arguments)))
    assert spelt.python.replace("\n", "").isprintable()


@steady
@given(ASKED)
def test_the_command_asks_the_question(asked: tuple[str, dict[str, Any]]) -> None:
    """Through a shell and the command's own parser. It is one line without control characters, to be pasted into a terminal."""
    name, arguments = asked
    spelt = spell(name, LIST_ID, arguments)
    assert spelt.command.isprintable()
    found, params = run_words(split(spelt.command))
    assert found == name
    assert is_same(simplify(name, params), simplify(name, write_expected(arguments)))


@settings(steady, max_examples=6)
@given(st.lists(ASKED, min_size=10, max_size=10))
def test_the_python_call_is_formatted(asked: list[tuple[str, dict[str, Any]]]) -> None:
    """As ruff formats it in lines of 100 columns."""
    python = "\n".join(spell(name, LIST_ID, arguments).python for name, arguments in asked)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=100", "-"]
    done = subprocess.run(command, input=f"{python}\n", capture_output=True, text=True, check=True)
    assert done.stdout == f"{python}\n"


def read_documented() -> list[Any]:
    """Return the questions of docs/answers.md, each with its command, its request and its call."""
    sections = (DOCS / "answers.md").read_text().split("\n## ")
    found = []
    for section in sections:
        blocks = dict(re.findall(r"```(sh|http|python)\n(.*?)```", section, re.DOTALL))
        if blocks.keys() == {"sh", "http", "python"}:
            found.append(pytest.param(blocks["sh"].strip(), blocks["http"], blocks["python"], id=section.partition("\n")[0]))
    assert len(found) == 10
    return found


class _ArgumentRecorder:
    """Keeps the arguments of a call as they are given."""

    def __getattr__(self, name: str) -> Any:
        def ask(list_id: int, *dimension: str, **arguments: Any) -> None:
            self.asked = name, list_id, {**dict(zip(["dimension"], dimension, strict=False)), **arguments}

        return ask


@pytest.mark.parametrize(("command", "http", "python"), read_documented())
def test_documented_questions_are_spelt_as_documented(command: str, http: str, python: str) -> None:
    """People meet one spelling. Documented commands may give a default for the sake of the example."""
    tracking = _ArgumentRecorder()
    exec(python, {"tracking": tracking})
    name, list_id, arguments = tracking.asked
    spelt = spell(name, list_id, arguments)
    assert spelt.command == command.replace(" --unit week", "")
    path, _, body = http.partition("\n\n")
    assert spelt.http == path
    assert list(json.loads(spelt.json).items()) == list(json.loads(body).items())
    assert call(spelt.python) == call(python)
    assert spelt.note is None


EXAMPLES: list[tuple[str, dict[str, Any], str]] = [
    (
        "query",
        {"date_range": "7d", "compare": "previous", "metrics": ["sessions", "people", "views"]},
        """
{
  "ListID": 1,
  "DateRange": "7d",
  "Compare": "previous",
  "Metrics": ["sessions", "people", "views"]
}

falcon-events query --list 1 --range 7d --compare previous --metric sessions --metric people --metric views

tracking.query(1, date_range="7d", compare="previous", metrics=["sessions", "people", "views"])
""",
    ),
    (
        "query",
        {"filters": (["contains", "path", ["/A"], {"case_sensitive": False}], ["is_set", "property:plan"]), "limit": 100},
        """
{
  "ListID": 1,
  "Filters": [["contains", "path", ["/A"], {"case_sensitive": false}], ["is_set", "property:plan"]],
  "Limit": 100
}

falcon-events query --list 1 --where 'path contains /A' --where 'property:plan is_set' --ignore-case

tracking.query(
    1,
    filters=[["contains", "path", ["/A"], {"case_sensitive": False}], ["is_set", "property:plan"]],
)
""",
    ),
    (
        "query",
        {"filters": [["or", [["is", "path", ["/"]], ["is", "title", ["It's", 'The "$HOME"']]]], ["is", "event", ["a, b"]]]},
        r"""
{
  "ListID": 1,
  "Filters": [
    ["or", [["is", "path", ["/"]], ["is", "title", ["It's", "The \"$HOME\""]]]],
    ["is", "event", ["a, b"]]
  ]
}

falcon-events query --list 1 --where 'event is "a, b"' \
--filters '[["or", [["is", "path", ["/"]], ["is", "title", ["It'"'"'s", "The \"$HOME\""]]]]]'

tracking.query(
    1,
    filters=[
        ["or", [["is", "path", ["/"]], ["is", "title", ["It's", 'The "$HOME"']]]],
        ["is", "event", ["a, b"]],
    ],
)
""",
    ),
    (
        "people",
        {
            "people": [["in", "buyers"], ["has_done", {"Event": "signup", "Filters": [], "Within": "30d"}]],
            "order_by": ["email", "asc"],
        },
        """
{
  "ListID": 1,
  "People": [["in", "buyers"], ["has_done", {"Event": "signup", "Filters": [], "Within": "30d"}]],
  "OrderBy": ["email", "asc"]
}

falcon-events people --list 1 --has-done 'signup within 30d' --segment buyers --order 'email asc'

tracking.people(
    1,
    people=[["in", "buyers"], ["has_done", {"Event": "signup", "Filters": [], "Within": "30d"}]],
    order_by=["email", "asc"],
)
""",
    ),
    (
        "values",
        {"dimension": "path", "prefix": "\0\U0001f600"},
        r"""
{
  "ListID": 1,
  "Dimension": "path",
  "Prefix": "\u0000😀"
}

falcon-events values path --list 1 --request '{"Prefix": "\u0000😀"}'

tracking.values(1, "path", prefix="\x00😀")
""",
    ),
    (
        "timeline",
        {"uuid": UUID(int=1), "filters": [["is", "property:n", [2**60, 0.5, None, True]]]},
        """
{
  "ListID": 1,
  "UUID": "00000000-0000-0000-0000-000000000001",
  "Filters": [["is", "property:n", [1152921504606846976, 0.5, null, true]]]
}

falcon-events timeline --list 1 --uuid 00000000-0000-0000-0000-000000000001 \
--filters '[["is", "property:n", [1152921504606846976, 0.5, null, true]]]'

tracking.timeline(
    1,
    uuid="00000000-0000-0000-0000-000000000001",
    filters=[["is", "property:n", [1152921504606846976, 0.5, None, True]]],
)
""",
    ),
]


@pytest.mark.parametrize(("name", "arguments", "text"), EXAMPLES)
def test_questions_are_spelt_readably(name: str, arguments: dict[str, Any], text: str) -> None:
    """Short forms where the command has them, JSON elsewhere; defaults are left out of commands and calls."""
    body, command, python = text.strip().split("\n\n")
    command = command.replace("\\\n", "")  # the command is one line
    assert spell(name, 1, arguments) == Spellings(body, f"POST /api/v1/website_events.{name}", command, python)


def test_a_command_that_is_too_long_takes_the_request_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell takes it. The note says where to save the JSON, and the command reads it there."""
    arguments = {"dimension": "path", "filters": [["is", "path", ["x" * 1_000] * 900]], "prefix": "/a"}
    spelt = spell("values", LIST_ID, arguments)
    assert spelt.command == "falcon-events values --list 7 --request @request.json"
    assert spelt.note is not None
    assert "request.json" in spelt.note
    monkeypatch.chdir(tmp_path)
    Path("request.json").write_text(spelt.json)
    assert run_words(split(spelt.command)) == ("values", write_expected(arguments))


def test_a_cursor_keeps_the_order_of_conditions() -> None:
    """It belongs to the question with its conditions in this order."""
    people = [["in", "buyers"], ["has_done", {"Event": "signup"}]]
    assert "--people" not in spell("people", LIST_ID, {"people": people}).command
    _, params = run_words(split(spell("people", LIST_ID, {"people": people, "cursor": "abc"}).command))
    assert params["People"] == people


def test_arguments_that_cannot_be_spelt_are_refused() -> None:
    """What JSON cannot hold, and what the method does not take."""
    with pytest.raises(EventsError, match="prefix"):
        spell("values", LIST_ID, {"dimension": "path", "prefix": object()})
    with pytest.raises(EventsError, match="prefix"):
        spell("values", LIST_ID, {"dimension": "path", "prefix": "\ud800"})
    with pytest.raises(TypeError, match="steps"):
        spell("query", LIST_ID, {"steps": []})
