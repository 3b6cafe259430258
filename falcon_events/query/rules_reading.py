"""Read RulesJson, the documented syntax of segments, as conditions on persons. A rule that is not understood is refused."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from falcon_events.contract.body import decode_text
from falcon_events.query import names, ranges
from falcon_events.query.codes import LIMITS, PEOPLE
from falcon_events.query.conditions_reading import Failures, show
from falcon_events.query.question import AllConditions, AnyCondition, Condition, DoneCondition, GivenRange, Value, ValueCondition

_HAPPENED = {"happened": False, "did not happen": True}
_HAPPENED_LATELY = re.compile(r"(happened|did not happen) in the last ([0-9]+|[Xx]) days").fullmatch
_OF_VALUES = {
    "equals": ("is", False),
    "does not equal": ("is", True),
    "contains": ("contains", False),
    "does not contain": ("contains", True),
    "matches regex": ("matches", False),
    "does not match regex": ("matches", True),
    "greater than": (">", False),
    "less than": ("<", False),
    "is set": ("is_set", False),
    "is not set": ("is_set", True),
}
"""The operator of a filter that finds the events, and whether no such event may exist."""
OPERATORS = (*_HAPPENED, *(f"{name} in the last X days" for name in _HAPPENED), *_OF_VALUES)
_TIMES = ("in_last_x_days", "not_in_last_x_days", "between", "not_between", "after", "before")
_AGGREGATIONS = {"at_least": ">=", "at_most": "<=", "exactly": "is", "count": "is"}
_MEMBERS = {"type", "event", "operator", "event_parameter", "value", "time_filter", "aggregation"}
_FIRST_DAY, _LAST_DAY = "1970-01-01", "9998-12-31"


class _Misread(Exception):
    """A rule is not understood; the message says what would be right."""


def read_rules(place: str, given: object, failures: Failures) -> list[Condition]:
    """Read RulesJson: an array of groups, or its JSON as text. One group suffices, and all of its rules hold.

    Args:
        place: where it stands in the request.
        given: the value.
        failures: where failures are added.
    """
    if isinstance(given, str):
        try:
            given = decode_text(given)
        except msgspec.DecodeError:
            failures.add(PEOPLE, f"{place}: {show(given)} must be an array of arrays of rules, or its JSON as text.")
            return []
    if not isinstance(given, list) or not given or not all(isinstance(group, list) and group for group in given):
        failures.add(PEOPLE, f"{place}: {show(given)} must be an array of arrays of rules, such as [[A, B], [C]].")
        return []
    if (number := sum(map(len, given))) > names.MAX_DONE:
        failures.add(LIMITS, f"{place}: {number} rules are more than {names.MAX_DONE}, which is the limit.")
        return []
    groups: list[Condition] = []
    for number, group in enumerate(given):
        rules: list[Condition] = []
        for position, rule in enumerate(group):
            where = f"{place}[{number}][{position}]"
            try:
                rules.append(_read_rule(where, rule))
            except _Misread as wrong:
                failures.add(PEOPLE, f"{where}: {wrong}")
        groups.append(AllConditions(rules))
    return [AnyCondition(groups)]


def _read_rule(place: str, rule: Any) -> Condition:
    if not isinstance(rule, dict) or rule.get("type") != "website-events":
        raise _Misread(f'{show(rule)} must be an object with "type": "website-events".')
    if unknown := rule.keys() - _MEMBERS:
        raise _Misread(f"{show(min(unknown))} must be one of {', '.join(sorted(_MEMBERS))}.")
    event, operator = rule.get("event"), rule.get("operator")
    if not isinstance(event, str) or not event:
        raise _Misread(f"event: {show(event)} must be the name of an event type.")
    within, outside = _read_time(rule.get("time_filter"))
    counted, number = _read_aggregation(rule.get("aggregation"))
    filters: list[Condition] = []
    lately = _HAPPENED_LATELY(operator) if isinstance(operator, str) else None
    if lately is not None:
        if within is not None:
            raise _Misread(f"time_filter: {operator!r} takes none, because it has a time of its own.")
        days = _read_days(rule.get("value") if lately[2] in "Xx" else lately[2], "value")
        negative, within = _HAPPENED[lately[1]], f"{days}d"
    elif operator in _HAPPENED:
        negative = _HAPPENED[operator]
    elif operator in _OF_VALUES:
        name, negative = _OF_VALUES[operator]
        filters.append(_read_filter(place, name, rule))
    else:
        raise _Misread(f"operator: {show(operator)} must be one of {', '.join(OPERATORS)}.")
    return DoneCondition(negative, event, filters, counted, number, within, outside)


def _read_filter(place: str, operator: str, rule: dict[str, Any]) -> Condition:
    parameter, value = rule.get("event_parameter"), rule.get("value")
    if not isinstance(parameter, str) or not parameter:
        raise _Misread(f"event_parameter: {show(parameter)} must be the name of a property.")
    values: list[Value] = []
    if operator in names.NUMBER_OPERATORS:
        values = [_read_number(value)]
    elif operator != "is_set":
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, int | float) and operator == "is":
            value = _read_number(value)
        elif not isinstance(value, str):
            raise _Misread(f"value: {show(value)} must be text{' or a number' if operator == 'is' else ''}.")
        values = [value]
    return ValueCondition(operator, f"property:{parameter}", values, True, place)


def _read_number(value: object) -> float:
    try:
        number = decode_text(value) if isinstance(value, str) else value
        if isinstance(number, int | float) and not isinstance(number, bool) and abs(float(number)) < float("inf"):
            return float(number)
    except (msgspec.DecodeError, OverflowError):
        pass
    raise _Misread(f"value: {show(value)} must be a number.")


def _read_days(value: object, place: str) -> int:
    days = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 7 else value
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= ranges.MAX_DAYS:
        raise _Misread(f"{place}: {show(value)} must be a number of days from 1 to {ranges.MAX_DAYS}.")
    return days


def _read_time(given: object) -> tuple[GivenRange | None, bool]:
    """Return a range, and whether events outside of it are meant."""
    if given is None:
        return None, False
    if not isinstance(given, dict) or given.keys() != {"operator", "value"} or given["operator"] not in _TIMES:
        expected = f'{{"operator": ..., "value": ...}} with the operator {", ".join(_TIMES)}'
        raise _Misread(f"time_filter: {show(given)} must be {expected}.")
    operator, value = given["operator"], given["value"]
    if operator.endswith("in_last_x_days"):
        return f"{_read_days(value, 'time_filter')}d", operator.startswith("not_")
    if operator.endswith("between"):
        if not isinstance(value, list) or not ranges.is_range(value):
            raise _Misread(f"time_filter: {show(value)} must be two days such as 2026-03-29, or two date-times with an offset.")
        return value, operator.startswith("not_")
    if ranges.parse_day(value) is not None:  # the day itself is neither before nor after it
        edges = [_FIRST_DAY, value] if operator == "after" else [value, _LAST_DAY]
    elif (moment := ranges.parse_moment(value)) is not None:
        following = ranges.render_moment(moment + 1)
        edges = [f"{_FIRST_DAY}T00:00:00Z", following] if operator == "after" else [value, f"{_LAST_DAY}T23:59:59Z"]
    else:
        raise _Misread(f"time_filter: {show(value)} must be a day such as 2026-03-29, or a date-time with an offset.")
    return edges, True


def _read_aggregation(given: object) -> tuple[str, int]:
    """Return the operator and the number of a count of events."""
    if given is None:
        return ">=", 1
    if not isinstance(given, dict) or given.keys() != {"operator", "value"} or given["operator"] not in _AGGREGATIONS:
        expected = f'{{"operator": ..., "value": ...}} with the operator {", ".join(_AGGREGATIONS)}'
        raise _Misread(f"aggregation: {show(given)} must be {expected}.")
    value = given["value"]
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 16 else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**62:
        raise _Misread(f"aggregation: {show(value)} must be a number of events.")
    return _AGGREGATIONS[given["operator"]], number
