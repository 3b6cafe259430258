"""Read conditions on events and on persons from the form of a request."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from falcon_events.errors import Failure
from falcon_events.query import names, ranges
from falcon_events.query.codes import LIMITS
from falcon_events.query.question import (
    AllConditions,
    AnyCondition,
    Condition,
    DoneCondition,
    EventKind,
    NotCondition,
    SegmentCondition,
    Value,
    ValueCondition,
)

MAX_SHOWN = 60
MAX_FAILURES = 20
_NEVER = AnyCondition([])
"""Stands for a condition that could not be read; the question is refused anyway."""
_Reader = Callable[[str, Any, int, int], Condition]


class Failures:
    """The failures found so far: at most MAX_FAILURES, so that no answer is longer than its request."""

    def __init__(self) -> None:
        self.found: list[Failure] = []

    def add(self, code: int, message: str) -> None:
        """Add a failure."""
        if len(self.found) < MAX_FAILURES:
            self.found.append(Failure(code, message))

    def add_nested(self, place: str, failures: Sequence[Failure]) -> None:
        """Add the failures of a request within a request, which stands in this place."""
        for failure in failures:
            self.add(failure.code, f"{place}.{failure.message}")


def show(value: object) -> str:
    """Return a value of a request as JSON, cut to MAX_SHOWN characters."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


class ConditionReader:
    """Reads conditions, and counts them against the limits.

    Args:
        failures: where failures are added.
    """

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._conditions = self._done = self._depth = 0

    def read_filters(self, place: str, given: object, code: int) -> list[Condition]:
        """Read an array of conditions on events, all of which hold."""
        return self._read_all(place, given, code, 1, self._read_filter)

    def read_people(self, place: str, given: object, code: int) -> list[Condition]:
        """Read an array of conditions on persons, all of which hold."""
        return self._read_all(place, given, code, 1, self._read_person)

    def read_kind(self, place: str, given: object, code: int) -> EventKind:
        """Read an object such as {"Event": "signup", "Filters": []}, both of which may be missing."""
        if not isinstance(given, dict):
            self._failures.add(code, f'{place}: {show(given)} must be an object such as {{"Event": "signup"}}.')
            return EventKind()
        members = _read_members(given)
        if unknown := members.keys() - {"event", "filters"}:
            self._failures.add(code, f"{place}: {show(min(unknown))} must be Event or Filters.")
            return EventKind()
        event = members.get("event")
        if event is not None and not isinstance(event, str):
            self._failures.add(code, f"{place}.Event: {show(event)} must be text.")
            return EventKind()
        return EventKind(event, self.read_filters(f"{place}.Filters", members.get("filters", []), code))

    def check_limits(self, places: str) -> None:
        """Add a failure for each limit that the conditions exceed. `places` names the parameters that have them."""
        for what, number, limit in (
            ("conditions", self._conditions, names.MAX_CONDITIONS),
            ("has_done and has_not_done conditions", self._done, names.MAX_DONE),
            ("levels of conditions", self._depth, names.MAX_DEPTH),
        ):
            if number > limit:
                self._failures.add(LIMITS, f"{places}: {number} {what} are more than {limit}, which is the limit.")

    def _read_all(self, place: str, given: object, code: int, depth: int, read: _Reader) -> list[Condition]:
        if not isinstance(given, list):
            self._failures.add(code, f"{place}: {show(given)} must be an array of conditions.")
            return []
        self._depth = max(self._depth, depth if given else 0)
        if depth > names.MAX_DEPTH:
            return []
        if len(given) > names.MAX_CONDITIONS:
            self._conditions += len(given)
            return []
        return [read(f"{place}[{number}]", one, code, depth) for number, one in enumerate(given)]

    def _refuse(self, code: int, message: str) -> Condition:
        self._failures.add(code, message)
        return _NEVER

    def _read_combination(self, place: str, given: Any, code: int, depth: int, read: _Reader) -> Condition | None:
        """Read `and`, `or` and `not`; return None if the condition is none of these."""
        if not isinstance(given, list) or not given or not isinstance(given[0], str):
            return self._refuse(code, f"{place}: {show(given)} must be an array that begins with an operator.")
        operator = given[0]
        if operator not in ("and", "or", "not"):
            return None
        if len(given) != 2 or not isinstance(given[1], list):
            what = "one condition" if operator == "not" else "an array of conditions"
            return self._refuse(code, f'{place}: {show(given)} must be "{operator}" and {what}.')
        if operator == "not":
            (inner,) = self._read_all(place, [given[1]], code, depth + 1, read) or [_NEVER]
            return NotCondition(inner)
        if not given[1]:
            return self._refuse(code, f'{place}: "{operator}" needs at least one condition.')
        parts = self._read_all(place, given[1], code, depth + 1, read)
        return AllConditions(parts) if operator == "and" else AnyCondition(parts)

    def _read_filter(self, place: str, given: Any, code: int, depth: int) -> Condition:
        combined = self._read_combination(place, given, code, depth, self._read_filter)
        if combined is not None:
            return combined
        self._conditions += 1
        return self._read_value(place, given, code, is_person=False)

    def _read_person(self, place: str, given: Any, code: int, depth: int) -> Condition:
        combined = self._read_combination(place, given, code, depth, self._read_person)
        if combined is not None:
            return combined
        self._conditions += 1
        if given[0] in ("has_done", "has_not_done"):
            return self._read_done(place, given, code)
        if given[0] == "in":
            if len(given) != 2 or not isinstance(given[1], str):
                return self._refuse(code, f'{place}: {show(given)} must be "in" and the name of a saved segment.')
            return SegmentCondition(given[1], place)
        return self._read_value(place, given, code, is_person=True)

    def _read_done(self, place: str, given: list[Any], code: int) -> Condition:
        self._done += 1
        if len(given) != 2 or not isinstance(given[1], dict):
            return self._refuse(code, f'{place}: {show(given)} must be "{given[0]}" and an object such as {{"Event": "signup"}}.')
        members = _read_members(given[1])
        if unknown := members.keys() - {"event", "filters", "count", "within"}:
            return self._refuse(code, f"{place}: {show(min(unknown))} must be Event, Filters, Count or Within.")
        event, count, within = members.get("event"), members.get("count", [">=", 1]), members.get("within")
        if event is not None and not isinstance(event, str):
            return self._refuse(code, f"{place}.Event: {show(event)} must be text.")
        if (
            not isinstance(count, list)
            or len(count) != 2
            or count[0] not in names.COUNT_OPERATORS
            or type(count[1]) is not int
            or not 0 <= count[1] < 2**62
        ):
            expected = f'one of {", ".join(names.COUNT_OPERATORS)} and an integer, such as [">=", 3]'
            return self._refuse(code, f"{place}.Count: {show(count)} must be {expected}.")
        if within is not None and not ranges.is_range(within):
            return self._refuse(code, f"{place}.Within: {show(within)} is no range of time; {ranges.EXPECTED}.")
        filters = self.read_filters(f"{place}.Filters", members.get("filters", []), code)
        return DoneCondition(given[0] == "has_not_done", event, filters, count[0], count[1], within)

    def _read_value(self, place: str, given: list[Any], code: int, *, is_person: bool) -> Condition:
        operator, rest = given[0], given[1:]
        if operator not in names.OPERATORS:
            more = ", has_done, has_not_done, in" if is_person else ""
            return self._refuse(
                code, f"{place}: {show(operator)} is no operator. Give one of {', '.join(names.OPERATORS)}, and, or, not{more}."
            )
        takes_none = operator in ("is_set", "is_not_set")
        if not (2 <= len(rest) <= 3 or (takes_none and len(rest) == 1)):
            return self._refuse(code, f"{place}: {show(given)} must be an operator, a dimension and an array of values.")
        dimension, values = rest[0], rest[1] if len(rest) > 1 else []
        of_persons = (*names.TIMES_OF_PERSONS, "email") if is_person else ()
        if not names.is_dimension(dimension) and dimension not in of_persons:
            more = f" Of persons also {', '.join(of_persons)}." if is_person else ""
            known = f"{', '.join(names.DIMENSIONS)}, property:NAME, trait:NAME"
            return self._refuse(code, f"{place}: {show(dimension)} is no dimension of a condition. Give one of {known}.{more}")
        options = rest[2] if len(rest) > 2 else {}
        if (
            not isinstance(options, dict)
            or options.keys() - {"case_sensitive"}
            or type(options.get("case_sensitive", True)) is not bool
        ):
            return self._refuse(
                code, f'{place}: {show(options)} must be {{"case_sensitive": false}} or {{"case_sensitive": true}}.'
            )
        if not isinstance(values, list):
            return self._refuse(code, f"{place}: {show(values)} must be an array of values.")
        if fault := _find_fault(operator, dimension, values):
            return self._refuse(code, f"{place}: {fault}")
        return ValueCondition(operator, dimension, [_simplify(one) for one in values], options.get("case_sensitive", True), place)


def _read_members(given: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an object by their names in lower case, without those that are null."""
    return {name.lower(): value for name, value in given.items() if value is not None}


def _find_fault(operator: str, dimension: str, values: list[Any]) -> str | None:
    """Say what is wrong with the values of a condition."""
    if operator in ("is_set", "is_not_set"):
        return f"{operator} takes no values." if values else None
    if not values:
        return f"{operator} needs at least one value."
    if len(values) > names.MAX_VALUES:
        return f"{len(values)} values are more than {names.MAX_VALUES}, which is the limit of a condition."
    if operator == "between" and len(values) != 2:
        return f"between takes two values, not {len(values)}."
    if dimension in names.TIMES_OF_PERSONS:
        if operator not in names.NUMBER_OPERATORS:
            return f"{dimension} takes the operators {', '.join(names.NUMBER_OPERATORS)}."
        wrong = [one for one in values if ranges.parse_day(one) is None and ranges.parse_moment(one) is None]
        return f"{show(wrong[0])} must be a day such as 2026-03-29, or an RFC 3339 date-time with an offset." if wrong else None
    if operator in names.NUMBER_OPERATORS:
        wrong = [one for one in values if not _is_number(one)]
        return f"{operator} takes numbers; {show(wrong[0])} must be one." if wrong else None
    if operator in names.TEXT_OPERATORS:
        wrong = [one for one in values if not isinstance(one, str)]
        return f"{operator} takes text; {show(wrong[0])} must be in quotes." if wrong else None
    wrong = [one for one in values if not (one is None or isinstance(one, str | bool) or _is_number(one))]
    return f"{show(wrong[0])} must be text, a number, true, false or null." if wrong else None


def _is_number(value: object) -> bool:
    """Return whether a value is a number within the range of a double."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _simplify(value: Value) -> Value:
    """Return the value as it is compared: true and false are text, and integers beyond 2**53 are doubles."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return float(value) if isinstance(value, int) and abs(value) > 2**53 else value
