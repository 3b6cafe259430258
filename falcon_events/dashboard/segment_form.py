"""Segments in the URL, as `who=CONDITION&who=CONDITION&who=or&who=CONDITION`, and the forms that add conditions to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from falcon_events.dashboard.options import DIMENSIONS, build_condition
from falcon_events.dashboard.requests import DashboardRequest, decode_parameter
from falcon_events.dashboard.view import write_filter
from falcon_events.errors import EventsError
from falcon_events.model.answers import SavedRow
from falcon_events.query.conditions_reading import Failures
from falcon_events.query.question import DoneCondition, render_condition, walk_deeply
from falcon_events.query.rules_reading import read_rules

WHO, OR = "who", "or"
"""The parameter that has a condition, and its value between two groups of which one suffices."""
MAX_OPENED_CHARS = 4_000
"""How long the conditions of a saved segment may be to be opened one by one; longer ones are opened by the segment's name."""
FIELDS = (
    *("add", "group", "event", "property", "is", "value", "counted", "times", "within", "since", "until"),
    *("what", "how", "against", "seen", "named_segment", "belongs"),
)
"""The fields of the forms that add a condition."""
COUNTED = {">=": "at least", "is": "exactly", "<=": "at most", "<": "fewer than", ">": "more than"}
WITHIN = {
    "": "at any time",
    "1d": "today",
    "7d": "in the last 7 days",
    "30d": "in the last 30 days",
    "90d": "in the last 90 days",
    "365d": "in the last 365 days",
    "week": "this week",
    "month": "this month",
    "year": "this year",
}

Groups = list[list[Any]]
"""A segment: groups of which one suffices, each with conditions that all hold. Empty: everybody."""


def read_groups(values: Sequence[str]) -> Groups:
    """Return the segment that the parameters `who` have.

    Raises:
        EventsError: one of them is no condition.
    """
    groups: Groups = [[]]
    for given in values:
        if given == OR:
            groups.append([])
            continue
        condition = decode_parameter(given)
        if not isinstance(condition, list) or not condition:
            expected = 'must be a condition on persons as JSON, such as ["has_done",{"Event":"signup"}]; or the word or'
            raise EventsError(f"who: {given[:100]!r} {expected}.")
        groups[-1].append(condition)
    return [group for group in groups if group]


def write_groups(groups: Groups) -> list[str]:
    """Return the values of the parameters `who` of a segment."""
    written: list[str] = []
    for group in groups:
        written += [OR] if written else []
        written += map(write_filter, group)
    return written


def combine(groups: Groups) -> list[Any]:
    """Return a segment as questions take it (`People`)."""
    if len(groups) < 2:
        return groups[0] if groups else []
    return [["or", [group[0] if len(group) == 1 else ["and", group] for group in groups]]]


def split(people: Sequence[Any]) -> Groups:
    """Return the groups of a segment that combine() has written, or of any other."""
    match people:
        case [["or", [*parts]]]:
            return [[*part[1]] if isinstance(part, list) and part[0] == "and" else [part] for part in parts]
    return [[*people]] if people else []


def open_saved(row: SavedRow) -> Groups:
    """Return a saved segment as groups; one that these cannot say as its name."""
    named: Groups = [[["in", row.name]]]
    if row.rules_json is not None:
        conditions = read_rules("RulesJson", row.rules_json, Failures())
        if any(isinstance(one, DoneCondition) and one.outside for one in walk_deeply(conditions)):
            return named
        groups = split([render_condition(one) for one in conditions])
    else:
        groups = split(row.people or [])
    return groups if sum(map(len, write_groups(groups))) <= MAX_OPENED_CHARS else named


def add_condition(groups: Groups, request: DashboardRequest) -> Groups:
    """Return a segment with the condition that a form asks for, in the group that it names, or in a new one.

    Raises:
        EventsError: a field of the form is not valid.
    """
    condition = read_condition(request)
    number = request.get("group", "1")
    place = int(number) - 1 if number.isascii() and number.isdecimal() and len(number) < 4 else 0
    if 0 <= place < len(groups):
        return [[*group, condition] if at == place else group for at, group in enumerate(groups)]
    return [*groups, [condition]]


def remove_condition(groups: Groups, group: int, place: int) -> Groups:
    """Return a segment without a condition."""
    left = [[one for at, one in enumerate(some) if (number, at) != (group, place)] for number, some in enumerate(groups)]
    return [some for some in left if some]


def read_condition(request: DashboardRequest) -> list[Any]:
    """Return the condition that a form asks for.

    Raises:
        EventsError: a field of the form is not valid.
    """
    kind, what = request.get("add"), request.get("what").strip()
    how, against = request.get("how", "is"), request.get("against")
    match kind:
        case "done" | "not_done":
            return _read_done(request, "has_done" if kind == "done" else "has_not_done")
        case "email":
            return build_condition("email", how, against)
        case "last" | "trait":
            if not what:
                raise EventsError("what: give the name of a property, such as plan.")
            name = name_dimension(what) if kind == "last" else f"trait:{what.removeprefix('trait:')}"
            return build_condition(name, how, against)
        case "seen":
            return _read_seen(request)
        case "in":
            named = ["in", request.get("named_segment")]
            return ["not", named] if request.get("belongs") == "not" else named
    raise EventsError(f"add: {kind[:50]!r} must be done, not_done, last, trait, email, seen or in.")


def name_dimension(given: str) -> str:
    """Return the dimension that people mean: `path` is one, and `plan` the property of this name."""
    return given if given in DIMENSIONS or given.startswith(("property:", "trait:")) else f"property:{given}"


def _read_done(request: DashboardRequest, operator: str) -> list[Any]:
    done: dict[str, Any] = {}
    if event := request.get("event"):
        done["Event"] = event
    columns = (request.query.get(name, []) for name in ("property", "is", "value"))
    filters = [
        build_condition(name_dimension(name.strip()), how, value)
        for name, how, value in zip(*columns, strict=False)
        if name.strip()
    ]
    if filters:
        done["Filters"] = filters
    counted, times = request.get("counted", ">="), request.get("times", "1")
    if counted not in COUNTED or not (times.isascii() and times.isdecimal() and len(times) < 16):
        raise EventsError(f"times: {times[:50]!r} must be a whole number, such as 3.")
    if (counted, int(times)) != (">=", 1):
        done["Count"] = [counted, int(times)]
    since, until, within = request.get("since"), request.get("until"), request.get("within")
    if since or until:
        if not (since and until):
            raise EventsError("since and until: give both days, or neither.")
        done["Within"] = [min(since, until), max(since, until)]
    elif within:
        done["Within"] = within
    return [operator, done]


def _read_seen(request: DashboardRequest) -> list[Any]:
    seen = "last_seen" if request.get("seen") == "last_seen" else "first_seen"
    since, until = request.get("since"), request.get("until")
    if since and until:
        return ["between", seen, [min(since, until), max(since, until)]]
    if not (since or until):
        raise EventsError("since: give a day, such as 2026-03-01.")
    return [">=", seen, [since]] if since else ["<=", seen, [until]]
