"""SQL of values and conditions: a dimension's value, a number in a text, and conditions on events. Values are parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from falcon_events.query import names
from falcon_events.query.question import (
    AllConditions,
    AnyCondition,
    Condition,
    NotCondition,
    SegmentCondition,
    Value,
    ValueCondition,
    walk,
)
from falcon_events.query.source import Source

_NUMBER = r"[ \t\n\r]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t\n\r]*"
"""A number as JSON writes it, in a text that JSON would read as one."""
CTE = tuple[str, str]
"""A common table expression: its name and its SELECT."""
PLACE = f"(epoch_us(occurred_at)::hugeint * {2**63} + seq)"
"""The place of an event in the order of events, as one number below PLACES."""
PLACES = 2**122
IS_SCALAR = "json_type(element) not in ('ARRAY', 'OBJECT', 'NULL')"
"""The SQL that an `element` of a list in JSON is text, a number, true or false."""


class Parameters:
    """The parameters of a statement, which are all that it has of a request's values and names.

    Args:
        source: has the parameters of its relations, and the promoted properties.
    """

    def __init__(self, source: Source) -> None:
        self.values: dict[str, Any] = dict(source.parameters)
        self.promoted = source.promoted

    def add(self, value: object) -> str:
        """Add a value and return the SQL that stands for it."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


class DimensionSQL(msgspec.Struct, frozen=True):
    """The SQL of a dimension's value as text and, where the value may be a list, as JSON.

    `nested`: the SQL of whether it is a list or an object, so that a scalar's JSON need not be looked at; None: only JSON tells.
    """

    text: str
    json: str | None = None
    nested: str | None = None


def express_dimension(name: str, parameters: Parameters) -> DimensionSQL:
    """Return the SQL of a dimension of an event, which is not a time dimension.

    Its columns are those of source.py, with those that relations.py adds for entry_path, exit_path, campaign, source and traits.
    """
    prefix, _, rest = name.partition(":")
    if prefix in ("property", "trait") and name.startswith(names.PREFIXES):
        if prefix == "property" and (number := parameters.promoted.get(rest)) is not None:
            text, nested = f"value_{number}", f"nested_{number}"
            return DimensionSQL(text, f"case when {nested} then try_cast({text} as json) else to_json({text}) end", nested)
        column = "properties" if prefix == "property" else "traits"
        path = parameters.add("/" + rest.replace("~", "~0").replace("/", "~1"))  # a JSON Pointer (RFC 6901), for any name
        return DimensionSQL(f"json_extract_string({column}, {path})", f"json_extract({column}, {path})")
    if name == "visitor":
        return DimensionSQL("visitor::varchar")
    if name not in names.DIMENSIONS:
        raise ValueError(name)
    return DimensionSQL(name)


def express_number(text: str) -> str:
    """Return the SQL of the finite number that a text is to JSON; null where it is none."""
    cast = f"try_cast({text} as double)"
    return f"case when regexp_full_match({text}, '{_NUMBER}') and isfinite({cast}) then {cast} end"


def express_tree(condition: Condition, express: Callable[[Condition], str]) -> str:
    """Return the SQL of a condition, which is true or false, never null, as that of its parts is.

    Args:
        condition: the condition.
        express: returns the SQL of a condition that is no combination of others.
    """
    match condition:
        case NotCondition(inner):
            return f"(not {express_tree(inner, express)})"
        case AllConditions(parts) | SegmentCondition(parts=list() as parts):
            return f"({' and '.join(express_tree(one, express) for one in parts)})" if parts else "true"
        case AnyCondition(parts):
            return f"({' or '.join(express_tree(one, express) for one in parts)})" if parts else "false"
    return express(condition)


def express_all(conditions: Sequence[Condition], parameters: Parameters) -> str:
    """Return the SQL of conditions on events, all of which hold; it is true or false, never null."""

    def express(condition: Condition) -> str:
        if not isinstance(condition, ValueCondition):
            raise TypeError(condition)
        return express_comparison(condition, express_dimension(condition.dimension, parameters), parameters)

    return express_tree(AllConditions(list(conditions)), express)


def express_comparison(condition: ValueCondition, value: DimensionSQL, parameters: Parameters) -> str:
    """Return the SQL of a condition on a value, which is true or false, never null."""
    positive = names.NEGATIVES.get(condition.operator)
    operator = positive or condition.operator
    if operator == "is_set":
        met = f"({value.text} is not null)"
    else:
        if value.json is None:
            met = _compare(operator, value.text, condition, parameters)
        elif value.nested is None:
            met = _compare_json(operator, value.json, condition, parameters)
        else:
            nested = _compare_json(operator, f"try_cast({value.text} as json)", condition, parameters)
            met = f"case when {value.nested} then {nested} else {_compare(operator, value.text, condition, parameters)} end"
        met = f"coalesce({met}, false)"
    return f"(not {met})" if positive else met


def _compare_json(operator: str, json: str, condition: ValueCondition, parameters: Parameters) -> str:
    """Return the SQL of a positive condition on a value in JSON: on a scalar, or on one of the scalars of a list.

    The lambda function gets the value once. Each look into the properties of an event costs time, and memory for each thread.
    """
    element = _compare(operator, "json_extract_string(element, '$')", condition, parameters)
    elements = f"list_filter(json_extract(whole, '$[*]'), lambda element: {IS_SCALAR} and coalesce({element}, false))"
    met = _compare(operator, "json_extract_string(whole, '$')", condition, parameters)
    by_type = f"case json_type(whole) when 'OBJECT' then false when 'ARRAY' then len({elements}) > 0 else {met} end"
    return f"(list_transform([{json}], lambda whole: {by_type})[1])"


def _compare(operator: str, text: str, condition: ValueCondition, parameters: Parameters) -> str:
    """Return the SQL of a positive condition on a scalar's text; it may be null where the text is."""
    if operator == "between":
        low, high = (parameters.add(float(one)) for one in condition.values)  # type: ignore[arg-type]
        return f"({express_number(text)} between {low} and {high})"
    return f"({' or '.join(_compare_one(operator, text, one, condition, parameters) for one in condition.values)})"


def _compare_one(operator: str, text: str, value: Value, condition: ValueCondition, parameters: Parameters) -> str:
    if value is None:
        return f"({text} is null)"
    if isinstance(value, int | float):
        sign = "=" if operator == "is" else operator
        return f"coalesce({express_number(text)} {sign} {parameters.add(float(value))}, false)"
    given = parameters.add(value)
    if operator == "matches":
        return f"regexp_matches({text}, {given}, '{'c' if condition.case_sensitive else 'i'}')"
    if not condition.case_sensitive:
        text, given = f"lower({text})", f"lower({given})"
    if operator == "is":
        return f"({text} = {given})"
    return f"{operator}({text}, {given})"


def asks_for_bots(filters: Sequence[Condition]) -> bool:
    """Return whether a filter is on `$bot`, so that events of bots are not left out."""
    return any(isinstance(one, ValueCondition) and one.dimension == "property:$bot" for one in walk(filters))


def asks_for_identify(filters: Sequence[Condition], event: str | None = None) -> bool:
    """Return whether identify events are asked for by name, so that automatic ones are not left out."""
    return event == "identify" or any(
        isinstance(one, ValueCondition) and one.dimension == "event" and one.operator == "is" and "identify" in one.values
        for one in walk(filters)
    )


def express_shown(filters: Sequence[Condition], event: str | None = None) -> str:
    """Return the SQL that leaves out events of bots and automatic identify events, unless they are asked for."""
    conditions = []
    if not asks_for_bots(filters):
        conditions.append("not bot")
    if not asks_for_identify(filters, event):
        conditions.append("not automatic")
    return f"({' and '.join(conditions)})" if conditions else "true"
