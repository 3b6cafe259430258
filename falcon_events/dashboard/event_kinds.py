"""Kinds of events in a URL and in a form: an event's name and conditions, for a step of a funnel or a start and a return."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.dashboard.options import OF_NUMBERS, OPERATORS, WITHOUT_VALUE, build_condition, describe_condition
from falcon_events.dashboard.requests import DashboardRequest
from falcon_events.dashboard.templates import show_text
from falcon_events.errors import EventsError

ANY_EVENT = "any event"
"""Shown where any event serves."""
_OF_FORMS = re.compile("(event|do|within|within_unit|(kept|what|how|value)[0-9]{1,3})").fullmatch
"""The fields of the form. The address that the form leads to has none of them."""


class ChosenKind(msgspec.Struct, frozen=True):
    """Events that somebody chose: their type (None: any) and the conditions that they meet."""

    event: str | None = None
    filters: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The type, as people read it."""
        return ANY_EVENT if self.event is None else self.event

    @property
    def conditions(self) -> list[str]:
        """The conditions in words."""
        return [describe_condition(one) for one in self.filters]

    def write(self) -> dict[str, Any]:
        """Return the kind as questions take it."""
        return {
            **({} if self.event is None else {"Event": self.event}),
            **({"Filters": list(self.filters)} if self.filters else {}),
        }


def write_event(event: str | None) -> str:
    """Return an event's name for a URL or a field: as it is, or as a JSON string where it has characters that cannot be seen."""
    if event is None:
        return ""
    return event if event and not event.startswith('"') and _is_plain(event) else json.dumps(event)


def read_event(text: str) -> str | None:
    """Return the event's name that write_event() wrote; None: any event."""
    if text.startswith('"'):
        read = _read_json(text)
        return read if isinstance(read, str) else text
    return text.strip() or None


def write_condition(condition: Sequence[Any]) -> str:
    """Return a condition for a URL: `path is /pricing`, or as JSON where that could be misread."""
    match condition:
        case [str(operator), str(dimension)]:
            text = f"{dimension} {operator}"
        case [str(operator), str(dimension), [str() | int() | float() as value]]:
            text = f"{dimension} {operator} {value}"
        case _:
            text = ""
    if not text.startswith("[") and _is_plain(text) and _read_words(text) == list(condition):
        return text
    return json.dumps(condition)


def read_condition(text: str, place: str) -> list[Any]:
    """Return the condition that write_condition() wrote.

    Args:
        text: the condition.
        place: the parameter that has it, for the message.

    Raises:
        EventsError: it is no condition.
    """
    if text.startswith("["):
        read = _read_json(text)
        if isinstance(read, list) and read:
            return read
    elif (words := _read_words(text)) is not None:
        return words
    raise EventsError(
        f"{place}: {text[:100]!r} must be such as 'path is /pricing': a dimension, one of {', '.join(OPERATORS)}, a value."
    )


def read_kind(request: DashboardRequest, event: str, where: str) -> ChosenKind:
    """Return the kind of events that the URL names.

    Args:
        request: the request.
        event: the event as it stands in the URL.
        where: the parameter that has the conditions.

    Raises:
        EventsError: a condition cannot be read.
    """
    filters = tuple(read_condition(one, where) for one in request.query.get(where, []))
    return ChosenKind(read_event(event), filters)


def read_form(request: DashboardRequest) -> list[ChosenKind]:
    """Return the kinds of events that a form has: those that it keeps, each with the condition that was filled in.

    Raises:
        EventsError: a condition is incomplete.
    """
    return [_read_form_kind(request, number, text) for number, text in enumerate(request.query.get("event", []), 1)]


def write_conditions(kind: ChosenKind) -> list[str]:
    """Return the conditions of a kind for a URL."""
    return [write_condition(one) for one in kind.filters]


def write_fields(kind: ChosenKind) -> dict[str, Any]:
    """Return what the fields of a form have for a kind. The conditions are JSON in ASCII, which forms do not change."""
    return {"event": write_event(kind.event), "conditions": [json.dumps(one) for one in kind.filters]}


def list_form_fields(request: DashboardRequest) -> dict[str, None]:
    """Return the request's fields of the form, each with None, as links drop them."""
    return {name: None for name in request.query if _OF_FORMS(name)}


def read_length(text: str, default: tuple[int, str]) -> tuple[int, str]:
    """Return the number and the unit of a length of time such as `7d`; the default if it is none."""
    match = re.fullmatch("([1-9][0-9]{0,8})([mhd])", text)
    return (int(match[1]), match[2]) if match else default


def _read_form_kind(request: DashboardRequest, number: int, event: str) -> ChosenKind:
    filters = [read_condition(one, f"kept{number}") for one in request.query.get(f"kept{number}", [])]
    dimension, value = request.get(f"what{number}").strip(), request.get(f"value{number}")
    if dimension:
        filters.append(build_condition(dimension, request.get(f"how{number}", "is"), value))
    elif value.strip():
        raise EventsError(f"what{number}: say what {value[:50]!r} is, such as path or property:plan.")
    return ChosenKind(read_event(event), tuple(filters))


def _is_plain(text: str) -> bool:
    """Whether a field of a form and an address give a text back as it is."""
    return text.strip() == text and show_text(text, len(text)) == text


def _read_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _read_words(text: str) -> list[Any] | None:
    dimension, _, rest = text.partition(" ")
    operator, found, value = rest.partition(" ")
    if not dimension or operator not in OPERATORS or (operator in WITHOUT_VALUE) == bool(found):
        return None
    if operator not in OF_NUMBERS:
        return [operator, dimension, [value]] if found else [operator, dimension]
    try:
        return build_condition(dimension, operator, value)
    except EventsError:
        return None
