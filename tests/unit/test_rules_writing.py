"""Segments of the dashboard as RulesJson."""

from __future__ import annotations

from typing import Any

import pytest

from falcon_events.dashboard.rules_writing import write_rules
from falcon_events.dashboard.segment_form import combine, split
from falcon_events.errors import EventsError
from falcon_events.query.conditions_reading import ConditionReader, Failures
from falcon_events.query.question import AllConditions, AnyCondition, Condition, ValueCondition, replace_leaves
from falcon_events.query.rules_reading import read_rules

PLAN = ["is", "property:plan", ["pro"]]
WRITABLE: list[list[Any]] = [
    ["has_done", {"Event": "signup"}],
    ["has_not_done", {"event": "signup", "Filters": []}],
    ["has_done", {"Event": "signup", "Count": [">=", 3]}],
    ["has_done", {"Event": "signup", "Count": ["<=", 3]}],
    ["has_not_done", {"Event": "signup", "Count": ["is", 0]}],
    ["has_done", {"Event": "signup", "Within": "30d"}],
    ["has_not_done", {"Event": "signup", "Within": "7d", "Count": [">=", 2]}],
    ["has_done", {"Event": "signup", "Within": ["2026-03-01", "2026-03-31"]}],
    ["has_done", {"Event": "signup", "Filters": [PLAN], "Within": "30d", "Count": [">=", 2]}],
    ["has_not_done", {"Event": "signup", "Filters": [PLAN], "Within": ["2026-03-01", "2026-03-31"]}],
    ["has_done", {"Event": "signup", "Filters": [["is", "property:seats", [5]]]}],
    ["has_done", {"Event": "signup", "Filters": [["contains", "property:plan", ["p"]]]}],
    ["has_not_done", {"Event": "signup", "Filters": [["matches", "property:plan", ["^p"]]]}],
    ["has_done", {"Event": "signup", "Filters": [[">", "property:seats", [1.5]]]}],
    ["has_done", {"Event": "signup", "Filters": [["<", "property:seats", [3]]]}],
    ["has_not_done", {"Event": "signup", "Filters": [["is_set", "property:plan"]]}],
]
NOT_WRITABLE: list[list[Any]] = [
    ["has_done", {}],
    ["is", "trait:plan", ["pro"]],
    ["is", "path", ["/"]],
    ["in", "Customers"],
    ["not", ["in", "Customers"]],
    ["and", [["has_done", {"Event": "signup"}]]],
    ["has_done", {"Event": "signup", "Filters": [PLAN, PLAN]}],
    ["has_done", {"Event": "signup", "Filters": [["is", "path", ["/"]]]}],
    ["has_done", {"Event": "signup", "Filters": [["is_not", "property:plan", ["pro"]]]}],
    ["has_done", {"Event": "signup", "Filters": [["is", "property:plan", ["pro", "free"]]]}],
    ["has_done", {"Event": "signup", "Filters": [["is", "property:plan", [None]]]}],
    ["has_done", {"Event": "signup", "Filters": [["is", "property:plan", [True]]]}],
    ["has_done", {"Event": "signup", "Filters": [["is", "property:plan", ["pro"], {"case_sensitive": False}]]}],
    ["has_done", {"Event": "signup", "Filters": [["starts_with", "property:plan", ["p"]]]}],
    ["has_not_done", {"Event": "signup", "Filters": [[">", "property:seats", [3]]]}],
    ["has_done", {"Event": "signup", "Within": "24h"}],
    ["has_done", {"Event": "signup", "Within": "week"}],
    ["has_done", {"Event": "signup", "Count": ["<", 0]}],
    ["has_done", {"Event": "signup", "Count": ["is_not", 2]}],
]


def read_both(groups: list[list[Any]]) -> tuple[list[Condition], list[Condition]]:
    """Return what the API reads from RulesJson, and from the conditions themselves, without the places."""

    def strip(condition: Condition) -> Condition:
        if isinstance(condition, ValueCondition):
            return ValueCondition(condition.operator, condition.dimension, condition.values, condition.case_sensitive, "")
        if filters := getattr(condition, "filters", []):
            return type(condition)(
                **{name: getattr(condition, name) for name in condition.__struct_fields__}
                | {"filters": [strip(one) for one in filters]}
            )
        return condition

    failures = Failures()
    rules = read_rules("RulesJson", write_rules(groups), failures)
    reader = ConditionReader(failures)
    people = [AnyCondition([AllConditions(reader.read_people("People", group, 12)) for group in groups])]
    assert failures.found == []
    return [replace_leaves(one, strip) for one in rules], [replace_leaves(one, strip) for one in people]


@pytest.mark.parametrize("condition", WRITABLE, ids=str)
def test_a_rule_means_the_same_as_its_condition(condition: list[Any]) -> None:
    """The API reads the same from both."""
    rules, people = read_both([[condition]])
    assert rules == people


def test_groups_stay_groups() -> None:
    """One of them suffices, in both forms."""
    rules, people = read_both([WRITABLE[:3], WRITABLE[3:5], WRITABLE[5:6]])
    assert rules == people


def test_more_and_fewer_are_at_least_and_at_most() -> None:
    """RulesJson has no other way to say it."""
    ((more, fewer),) = write_rules(
        [[["has_done", {"Event": "a", "Count": [">", 2]}], ["has_done", {"Event": "a", "Count": ["<", 2]}]]]
    )
    assert more["aggregation"] == {"operator": "at_least", "value": 3}
    assert fewer["aggregation"] == {"operator": "at_most", "value": 1}


@pytest.mark.parametrize("condition", NOT_WRITABLE, ids=str)
def test_what_rules_cannot_say_is_refused(condition: list[Any]) -> None:
    """Instead of a rule that finds others."""
    with pytest.raises(EventsError, match=r"^RulesJson cannot say "):
        write_rules([[condition]])


def test_everybody_and_too_many_rules_are_refused() -> None:
    """An empty RulesJson is none, and the API takes eight rules."""
    with pytest.raises(EventsError, match="everybody"):
        write_rules([])
    with pytest.raises(EventsError, match="at most 8"):
        write_rules([WRITABLE[:1] * 9])


@pytest.mark.parametrize(
    "groups", [[], [[["in", "a"]]], [[["in", "a"], ["in", "b"]]], [[["in", "a"], ["in", "b"]], [["in", "c"]]]]
)
def test_a_segment_keeps_its_groups(groups: list[list[Any]]) -> None:
    """From the form of a question back to groups."""
    assert split(combine(groups)) == groups
