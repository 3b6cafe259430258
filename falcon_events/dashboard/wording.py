"""Conditions on persons, and the numbers whose persons are shown, in words that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from falcon_events.dashboard.options import describe_condition

EVERYBODY = "Everybody"
_COUNTS = {">=": "at least", "<=": "at most", "is": "exactly", "is_not": "not exactly", ">": "more than", "<": "fewer than"}
_NAMED = {
    "today": "today",
    "yesterday": "yesterday",
    "week": "this week",
    "month": "this month",
    "year": "this year",
    "all": "at any time",
}
_TIMES = {
    "time:minute": "in the minute {}",
    "time:hour": "in the hour {}",
    "time:day": "on {}",
    "time:week": "in the week of {}",
    "time:month": "in the month {}",
}
_SEEN = {"first_seen": "first seen", "last_seen": "last seen"}
_MOMENTS = {">": "after", ">=": "on or after", "<": "before", "<=": "on or before"}


def describe_range(given: Any) -> str:
    """Return a range of time in words: `in the last 28 days`."""
    match given:
        case [first, last]:
            return f"in {first}..{last}"
        case str() if given in _NAMED:
            return _NAMED[given]
        case str() if given[-1:] in ("d", "h") and given[:-1].isdecimal():
            unit = "day" if given.endswith("d") else "hour"
            return f"in the last {unit}" if given[:-1] == "1" else f"in the last {given[:-1]} {unit}s"
    return f"in {given}"


def describe_person_condition(condition: Any) -> str:
    """Return a condition on persons in words: `has done signup (plan is pro) at least 3 times in the last 30 days`."""
    match condition:
        case [("and" | "or") as word, [only]] if word:
            return describe_person_condition(only)
        case [("and" | "or") as word, [*inner]]:
            return f" {word} ".join(f"({describe_person_condition(one)})" for one in inner)
        case ["not", ["in", name]]:
            return f"is not in the segment {name}"
        case ["not", inner]:
            return f"not ({describe_person_condition(inner)})"
        case ["in", name]:
            return f"is in the segment {name}"
        case ["has_done" | "has_not_done", dict()]:
            return _describe_done(condition[0], lower_names(condition[1]))
        case [str(operator), ("first_seen" | "last_seen") as seen, [*values]]:
            if operator == "between":
                return f"{_SEEN[seen]} from {' to '.join(map(str, values))}"
            return f"{_SEEN[seen]} {_MOMENTS.get(operator, operator)} {' or '.join(map(str, values))}"
        case [str(operator), str(dimension), *values]:
            if dimension.startswith("trait:"):
                name = f"trait {dimension.removeprefix('trait:')}"
            else:
                name = "email" if dimension == "email" else f"last {dimension.removeprefix('property:')}"
            return describe_condition([operator, name, *values])
    return str(condition)


def describe_groups(groups: Sequence[Sequence[Any]]) -> str:
    """Return a segment in words: the groups of which one suffices, each with conditions that all hold."""
    parts = [" and ".join(describe_person_condition(one) for one in group) for group in groups]
    if len(parts) < 2:
        return parts[0] if parts else EVERYBODY
    return " or ".join(f"({part})" if len(group) > 1 else part for part, group in zip(parts, groups, strict=True))


def describe_counted(of: Mapping[str, Any]) -> str:
    """Return in words whom a number counts: `People with path /pricing in 2026-03-01..2026-03-31`.

    Args:
        of: the parameters of a question, named as in HTTP, with `Row`, `Step` or `Cohort`.
    """
    given = lower_names(of)
    if "step" in given:
        words = _describe_step(given)
    elif "cohort" in given:
        words = _describe_cohort(given)
    else:
        words = _describe_row(given)
    if people := _list(given.get("people")):
        words += f", of those: {' and '.join(describe_person_condition(one) for one in people)}"
    return words


def lower_names(given: Any) -> dict[str, Any]:
    """Return the members of an object by their names in lower case, without those that are null."""
    if not isinstance(given, Mapping):
        return {}
    return {str(name).lower(): value for name, value in given.items() if value is not None}


def _describe_done(operator: str, done: Mapping[str, Any]) -> str:
    event, within = done.get("event"), done.get("within")
    words = f"{operator.replace('_', ' ')} {'anything' if event is None else event}"
    if filters := _list(done.get("filters")):
        words += f" ({' and '.join(describe_condition(one) for one in filters)})"
    match done.get("count"):
        case [str(compared), number] if (compared, number) != (">=", 1):
            words += f" {_COUNTS.get(compared, compared)} {number} {'time' if number == 1 else 'times'}"
    return words if within is None else f"{words} {describe_range(within)}"


def _describe_row(given: Mapping[str, Any]) -> str:
    values = _list(lower_names(given.get("row")).get("dimensions"))
    having, when = [], describe_range(given.get("daterange", "28d"))
    for dimension, value in zip(_list(given.get("dimensions")), values, strict=False):
        name = str(dimension)
        if name in _TIMES:
            when = _TIMES[name].format(value)
        else:
            name = name.removeprefix("property:").replace("trait:", "trait ")
            having.append(f"no {name}" if value is None else f"{name} {value}")
    words = f"People with {' and '.join(having)}" if having else "People"
    if filters := _list(given.get("filters")):
        words += f" where {' and '.join(describe_condition(one) for one in filters)}"
    return f"{words} {when}"


def _describe_step(given: Mapping[str, Any]) -> str:
    kinds = [_name_kind(one) for one in _list(given.get("steps"))]
    number = given["step"]

    def name(place: Any) -> str:
        known = isinstance(place, int) and 0 < place <= len(kinds)
        return f"step {place} ({kinds[place - 1]})" if known else f"step {place}"

    if given.get("dropped") is True and isinstance(number, int):
        words = f"People who reached {name(number - 1)} and not {name(number)}"
    else:
        words = f"People who reached {name(number)}"
    words += f" of the funnel {' → '.join(kinds)}"
    if values := _list(lower_names(given.get("row")).get("dimensions")):
        breakdown = str(given.get("breakdown", "")).removeprefix("property:")
        words += f" with no {breakdown}" if values[0] is None else f" with {breakdown} {values[0]}"
    if filters := _list(given.get("filters")):
        words += f" where {' and '.join(describe_condition(one) for one in filters)}"
    return f"{words} {describe_range(given.get('daterange', '28d'))}"


def _describe_cohort(given: Mapping[str, Any]) -> str:
    unit, period = str(given.get("unit", "week")), given.get("period")
    when = _TIMES.get(f"time:{unit}", "in {}").format(given["cohort"])
    words = f"People whose first {_name_kind(given.get('start', {}))} was {when}"
    if period is not None:
        later = f"in the same {unit}" if period == 0 else f"{period} {unit}{'' if period == 1 else 's'} later"
        words += f" and who did {_name_kind(given.get('return', {}))} {later}"
    if filters := _list(given.get("filters")):
        words += f", where {' and '.join(describe_condition(one) for one in filters)}"
    return words


def _name_kind(kind: Any) -> str:
    given = lower_names(kind)
    words = str(given.get("event", "event"))
    filters = _list(given.get("filters"))
    return f"{words} ({' and '.join(describe_condition(one) for one in filters)})" if filters else words


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
