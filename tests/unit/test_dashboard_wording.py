"""Conditions and counted numbers in words."""

from __future__ import annotations

import random
from typing import Any

import pytest

from falcon_events.dashboard.wording import describe_counted, describe_groups, describe_person_condition, describe_range

NAMES = (
    "Row",
    "Step",
    "Cohort",
    "Period",
    "Dropped",
    "Steps",
    "Dimensions",
    "Filters",
    "People",
    "DateRange",
    "Start",
    "Count",
    "Event",
)
SCALARS = (None, True, 0, -1, 2, 1.5, "", "28d", "has_done", "and", "not", "in", "is", "between", "time:day", "last_seen", "{}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("28d", "in the last 28 days"),
        ("1d", "in the last day"),
        ("24h", "in the last 24 hours"),
        ("today", "today"),
        ("month", "this month"),
        ("all", "at any time"),
        (["2026-03-01", "2026-03-31"], "in 2026-03-01..2026-03-31"),
    ],
)
def test_a_range_is_read_as_a_sentence_goes_on(given: Any, words: str) -> None:
    """With the preposition that it needs."""
    assert describe_range(given) == words


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (["has_done", {"event": "a", "count": ["<", 3], "within": "7d"}], "has done a fewer than 3 times in the last 7 days"),
        (["has_not_done", {"Count": ["is", 1]}], "has not done anything exactly 1 time"),
        (
            ["not", ["and", [["in", "x"], ["is", "email", ["a@b", None]]]]],
            "not ((is in the segment x) and (email is a@b or (none)))",
        ),
        (["or", [["is_set", "trait:plan"]]], "trait plan has a value"),
        (["contains", "property:plan", ["p"], {"case_sensitive": False}], "last plan contains p"),
    ],
)
def test_a_condition_is_said_in_words(condition: Any, words: str) -> None:
    """Whatever the names of its members are written like."""
    assert describe_person_condition(condition) == words


def test_groups_are_told_apart() -> None:
    """By parentheses where one has several conditions."""
    assert describe_groups([[["in", "a"], ["in", "b"]], [["in", "c"]]]) == (
        "(is in the segment a and is in the segment b) or is in the segment c"
    )
    assert describe_groups([]) == "Everybody"


def test_whatever_an_address_has_can_be_said() -> None:
    """The page shows the API's message, which says what is wrong; its heading must not fail before."""
    chance = random.Random(20)

    def make(depth: int) -> Any:
        kind = chance.random()
        if depth == 0 or kind < 0.4:
            return chance.choice(SCALARS)
        if kind < 0.7:
            return [make(depth - 1) for _ in range(chance.randrange(4))]
        return {chance.choice(NAMES): make(depth - 1) for _ in range(chance.randrange(5))}

    for _ in range(20_000):
        of = {chance.choice(NAMES): make(4) for _ in range(6)}
        assert isinstance(describe_counted(of), str)
        assert isinstance(describe_person_condition(make(4)), str)
