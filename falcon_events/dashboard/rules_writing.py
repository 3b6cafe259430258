"""Write a segment as RulesJson, the documented syntax of segments, where that syntax can say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from falcon_events.dashboard.wording import describe_person_condition, lower_names
from falcon_events.errors import EventsError
from falcon_events.query.names import MAX_DONE

_DAYS = re.compile("([1-9][0-9]*)d").fullmatch
_OPERATORS = {
    "is": ("equals", "does not equal"),
    "contains": ("contains", "does not contain"),
    "matches": ("matches regex", "does not match regex"),
    ">": ("greater than", None),
    "<": ("less than", None),
    "is_set": ("is set", "is not set"),
}
"""The operator of a rule for one of a filter, and that for persons who have done no such event."""
_COUNTS = {">=": ("at_least", 0), "<=": ("at_most", 0), "is": ("exactly", 0), ">": ("at_least", 1), "<": ("at_most", -1)}


def write_rules(groups: Sequence[Sequence[Any]]) -> list[list[dict[str, Any]]]:
    """Return a segment as RulesJson.

    Args:
        groups: the groups of conditions, of which one suffices.

    Raises:
        EventsError: the syntax cannot say this; the message says what it cannot say.
    """
    if not groups:
        raise EventsError("RulesJson has no rule for everybody.")
    if sum(map(len, groups)) > MAX_DONE:
        raise EventsError(f"RulesJson takes at most {MAX_DONE} rules.")
    return [[_write_rule(condition) for condition in group] for group in groups]


def _write_rule(condition: Any) -> dict[str, Any]:
    match condition:
        case ["not", ["has_done", dict() as done]]:
            return _write_done(condition, True, lower_names(done))
        case ["not", ["has_not_done", dict() as done]]:
            return _write_done(condition, False, lower_names(done))
        case ["has_done" | "has_not_done", dict() as done]:
            return _write_done(condition, condition[0] == "has_not_done", lower_names(done))
    raise _refuse(condition, "its rules are about events that somebody has done or not")


def _write_done(condition: Any, is_negative: bool, done: dict[str, Any]) -> dict[str, Any]:
    event = done.get("event")
    if not isinstance(event, str) or not event:
        raise _refuse(condition, "each rule needs an event type")
    rule: dict[str, Any] = {"type": "website-events", "event": event}
    if done.get("filters"):
        rule |= _write_filter(condition, is_negative, done["filters"])
    else:
        rule["operator"] = "did not happen" if is_negative else "happened"
    if "within" in done:
        rule |= _write_time(condition, rule["operator"], done["within"])
    if (count := done.get("count", [">=", 1])) != [">=", 1]:
        name, more = _COUNTS.get(count[0], (None, 0))
        if name is None or count[1] + more < 0:
            raise _refuse(condition, "it counts at least, at most or exactly")
        rule["aggregation"] = {"operator": name, "value": count[1] + more}
    return rule


def _write_filter(condition: Any, is_negative: bool, filters: list[Any]) -> dict[str, Any]:
    if len(filters) > 1:
        raise _refuse(condition, "a rule looks at one property only")
    match filters[0]:
        case [str(operator), str(dimension), *values] if dimension.startswith("property:") and len(dimension) > len("property:"):
            name = _OPERATORS.get(operator, (None, None))[is_negative]
            if name is not None:
                return {
                    "operator": name,
                    "event_parameter": dimension.removeprefix("property:"),
                    **_write_value(condition, values),
                }
            raise _refuse(condition, "its operators for properties are " + ", ".join(filter(None, sum(_OPERATORS.values(), ()))))
    raise _refuse(condition, "its rules compare properties of events only")


def _write_value(condition: Any, values: list[Any]) -> dict[str, Any]:
    match values:
        case [] | [[]]:
            return {}
        case [[str() | int() | float() as value]] if not isinstance(value, bool):
            return {"value": value}
    raise _refuse(condition, "a rule compares with one value, with regard to case")


def _write_time(condition: Any, operator: str, within: Any) -> dict[str, Any]:
    days = "1d" if within == "today" else within
    if isinstance(days, str):
        if (match := _DAYS(days)) is None:
            raise _refuse(condition, "its times are numbers of days, or two dates")
        if operator in ("happened", "did not happen"):
            return {"operator": f"{operator} in the last X days", "value": int(match[1])}
        return {"time_filter": {"operator": "in_last_x_days", "value": int(match[1])}}
    return {"time_filter": {"operator": "between", "value": within}}


def _refuse(condition: Any, reason: str) -> EventsError:
    return EventsError(f"RulesJson cannot say {describe_person_condition(condition)[:200]!r}: {reason}.")
