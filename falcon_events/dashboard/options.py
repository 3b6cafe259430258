"""The pages, dimensions and operators that forms offer, with the words that people read."""

from __future__ import annotations

import contextlib
from typing import Any

from falcon_events.errors import EventsError
from falcon_events.query.names import CAMPAIGN_DIMENSIONS, COLUMNS, SESSION_DIMENSIONS

NAVIGATION = (
    ("", "Overview"),
    ("events", "Events"),
    ("funnels", "Funnels"),
    ("retention", "Retention"),
    ("people", "People"),
    ("boards", "Boards"),
    ("live", "Live"),
    ("data", "Data"),
)
SECTIONS = {"event": "events", "person": "people", "board": "boards", "shares": "boards"}
"""Pages that belong to another one of the navigation."""
DIMENSIONS = (*COLUMNS, *SESSION_DIMENSIONS, *CAMPAIGN_DIMENSIONS, "person", "visitor")
LABELS = {
    "path": "page",
    "url": "URL",
    "referrer": "referring page",
    "referring_domain": "referrer",
    "utm_source": "UTM source",
    "utm_medium": "UTM medium",
    "utm_campaign": "UTM campaign",
    "utm_term": "UTM term",
    "utm_content": "UTM content",
    "browser_version": "browser version",
    "os": "system",
    "device_type": "device",
    "entry_path": "entry page",
    "exit_path": "exit page",
    "campaign": "campaign (last click)",
    "source": "source (last click)",
}
"""Explanations of the names of dimensions, for the form for filters."""
OPERATORS = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "contains_not": "does not contain",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches (regular expression)",
    "matches_not": "does not match",
    ">": "is greater than",
    ">=": "is at least",
    "<": "is less than",
    "<=": "is at most",
    "is_set": "has a value",
    "is_not_set": "has no value",
}
WITHOUT_VALUE = frozenset({"is_set", "is_not_set"})
OF_NUMBERS = frozenset({">", ">=", "<", "<="})


def build_condition(dimension: str, operator: str, value: str) -> list[Any]:
    """Return the condition on events that a form asks for.

    Args:
        dimension: the dimension, such as `path` or `property:price`.
        operator: one of OPERATORS.
        value: what people wrote; for a comparison of numbers, a number.

    Raises:
        EventsError: the value of a comparison is no number, or the operator is unknown.
    """
    if operator not in OPERATORS:
        raise EventsError(f"operator: {operator[:50]!r} must be one of {', '.join(OPERATORS)}.")
    if operator in WITHOUT_VALUE:
        return [operator, dimension]
    if operator in OF_NUMBERS:
        try:
            number = float(value)
        except ValueError:
            raise EventsError(f"value: {value[:50]!r} must be a number, as {OPERATORS[operator]!r} compares numbers.") from None
        return [operator, dimension, [int(number) if number.is_integer() and abs(number) < 2**53 else number]]
    return [operator, dimension, [value]]


def read_condition(condition: Any) -> tuple[str, str, str] | None:
    """Return the dimension, operator and value from which build_condition makes a condition; None if no form can make it."""
    match condition:
        case [str(operator), str(dimension)] if operator in WITHOUT_VALUE:
            return dimension, operator, ""
        case [str(operator), str(dimension), [(str() | int() | float()) as value]] if operator in OPERATORS:
            fields = dimension, operator, str(value)
            with contextlib.suppress(EventsError):
                return fields if build_condition(*fields) == condition else None
    return None


def describe_condition(condition: Any) -> str:
    """Return a condition on events in words: `path is /pricing`."""
    match condition:
        case [("and" | "or") as word, [*inner]]:
            return f" {word} ".join(f"({describe_condition(one)})" for one in inner)
        case ["not", inner]:
            return f"not ({describe_condition(inner)})"
        case [str(operator), str(dimension), [*values], *_]:
            shown = " or ".join("(none)" if one is None else str(one) for one in values)
            return f"{dimension.removeprefix('property:')} {OPERATORS.get(operator, operator)} {shown}"
        case [str(operator), str(dimension), *_]:
            return f"{dimension.removeprefix('property:')} {OPERATORS.get(operator, operator)}"
    return str(condition)
