"""The limits on the regular expressions of questions, wherever they stand."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from falcon_events.query.names import MAX_PATTERN_CHARS, MAX_PATTERNS
from falcon_events.query.patterns import find_excess, list_patterns
from falcon_events.query.person_reading import read_people_question
from falcon_events.query.reading import read_funnel, read_question, read_retention
from falcon_events.query.saved_reading import read_saving
from falcon_events.store.queries.pattern_check import MAX_WRONG, check_patterns

LARGE = r"(?:\pL){300}"
"""A regular expression of more than half the size that is allowed."""


def matching(*patterns: str, case_sensitive: bool = True) -> list[Any]:
    """A condition on events."""
    return ["matches", "path", list(patterns), {"case_sensitive": case_sensitive}]


def rule(pattern: str) -> dict[str, str]:
    """A rule of RulesJson."""
    told = {"operator": "matches regex", "event_parameter": "p", "value": pattern}
    return {"type": "website-events", "event": "e", **told}


PLACES = [
    (read_question, lambda one: {"Filters": [one]}, "Filters[0]", 8),
    (read_question, lambda one: {"People": [["has_done", {"Filters": [one]}]]}, "People[0].Filters[0]", 12),
    (read_funnel, lambda one: {"Steps": [{}, {"Filters": [one]}]}, "Steps[1].Filters[0]", 11),
    (read_retention, lambda one: {"Return": {"Filters": [one]}}, "Return.Filters[0]", 11),
    (read_people_question, lambda one: {"Of": {"Filters": [one], "Row": {}}}, "Of.Filters[0]", 8),
    (read_people_question, lambda one: {"RulesJson": [[rule(text) for text in one[2]]]}, "RulesJson[0][", 12),
    (read_saving, lambda one: {"Name": "n", "Query": {"Filters": [one]}}, "Query.Filters[0]", 8),
    (read_saving, lambda one: {"Name": "n", "People": [one]}, "People[0]", 12),
]


@pytest.mark.parametrize(("read", "place_in", "place", "code"), PLACES)
def test_limits_hold_wherever_a_regular_expression_stands(read: Any, place_in: Any, place: str, code: int) -> None:
    """Their number and length have the code 13; a wrong one has the code of its parameter, and the place is named."""

    def ask(*patterns: str) -> Any:
        asked = read(place_in(matching(*patterns)), 1, "UTC", 0)
        assert not isinstance(asked, list), asked
        return asked

    assert find_excess(list_patterns(ask("a" * MAX_PATTERN_CHARS))) == []
    ((number, text),) = find_excess(list_patterns(ask("a" * (MAX_PATTERN_CHARS + 1))))
    assert (number, text[: len(place)]) == (13, place)
    connection = duckdb.connect()
    ((number, text),) = check_patterns(connection, ask("(("), lambda: None)
    assert (number, text[: len(place)]) == (code, place)
    assert check_patterns(connection, ask("a", "b"), lambda: None) == []


def test_the_number_is_limited() -> None:
    """That of all conditions together."""

    def count(number: int) -> list[int]:
        asked = read_question({"Filters": [matching(*["a"] * (number - 1)), matching("b")]}, 1, "UTC", 0)
        assert not isinstance(asked, list)
        return [failure.code for failure in find_excess(list_patterns(asked))]

    assert count(MAX_PATTERNS) == []
    assert count(MAX_PATTERNS + 1) == [13]


@pytest.mark.parametrize(
    ("filters", "codes"),
    [
        ([matching(LARGE)], []),
        ([matching(LARGE, "a")], []),
        ([matching(LARGE, LARGE)], [13]),
        ([matching(LARGE), matching(LARGE + "b")], [13]),
        ([matching(*[r"(?:\pL){100}\Qb"] * 6)], [13]),
        ([matching(r"\Qa", r"(?P<n>b)", r"(?P<n>c)", r"\Qd\E", "(?i)e", "")], []),
        ([matching("a)(b", "c")], [8]),
        ([matching(r"(?:\pL){448}", case_sensitive=False)], [8]),
        ([matching(*["(("] * (MAX_WRONG + 2))], [8] * MAX_WRONG),
    ],
)
def test_regular_expressions_are_limited_as_a_statement_compiles_them(filters: list[Any], codes: list[int]) -> None:
    """Together they are as large as RE2 allows for one, because the database cannot be interrupted while it compiles them."""
    asked = read_question({"Filters": filters}, 1, "UTC", 0)
    assert not isinstance(asked, list)
    assert [code for code, _ in check_patterns(duckdb.connect(), asked, lambda: None)] == codes
