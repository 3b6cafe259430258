"""Events to store together: those in one body of POST /api/v1/events, or several bodies of POST /api/v1/event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Protocol

from falcon_events.contract.body import (
    OrderedMembers,
    Params,
    count_brackets,
    decode_in_order,
    decode_object,
    exceeds_depth,
    read_body,
    rename_in_order,
    rename_members,
    unreadable_body,
)
from falcon_events.contract.schemas import RequestSchema, load_schema
from falcon_events.contract.values import MAX_DEPTH
from falcon_events.errors import InvalidRequest

ENVELOPE_DEPTH = 2
"""Levels around an event in a batch: an array in an object. An event may be as deep in a batch as alone."""

_schema = RequestSchema(load_schema("events.request"))
_MOST = load_schema("events.request")["properties"]["Events"]["maxItems"]


class Events(Protocol):
    """Events that are checked and stored together."""

    @property
    def members(self) -> Sequence[object]:
        """Each event as decoded from JSON. A value that is not an object is not an event."""

    @property
    def list_id(self) -> object:
        """The ListID of events that have none."""

    @property
    def sizes(self) -> Iterable[int]:
        """About how many bytes each event takes."""

    def params(self, number: int) -> Params:
        """Return an event's parameters, named as in the schemas; raise InvalidRequest if it cannot be read."""

    def let_go(self) -> None:
        """Drop what was decoded: the events are checked, and wait for a commit."""


class EnvelopedEvents:
    """The events in one body of POST /api/v1/events.

    Args:
        params: the body's parameters. Its ListID applies to events that have none.
        body: the request's body.

    Raises:
        InvalidRequest: there is no array of 1 to 1,000 events (status 422).
    """

    def __init__(self, params: Params, body: bytes) -> None:
        given = params.get("Events")
        if type(given) is not list or not 0 < len(given) <= _MOST:
            raise InvalidRequest(422, _schema.failures(params))
        self.members: list[object] = given
        self.list_id = params.get("ListID")
        self.sizes = repeat(len(body) // len(given))
        self._envelope = params
        self._body = body
        self._order: list[object] = []

    def params(self, number: int) -> Params:
        """Return an event's parameters; raise InvalidRequest if it is not an object."""
        members = self.members[number]
        if type(members) is not dict:
            raise unreadable_body()
        event = rename_members(members)
        if event is None:
            self._order = self._order or _find_events(decode_in_order(self._body))
            ordered = self._order[number]
            assert isinstance(ordered, OrderedMembers)
            event = rename_in_order(members, ordered)
        if "ListID" in self._envelope:
            event.setdefault("ListID", self._envelope["ListID"])
        return event

    def let_go(self) -> None:
        """Drop the body and what was decoded."""
        self._body = b""
        for decoded in (self.members, self._envelope, self._order):
            decoded.clear()  # not replaced: callers hold them, too


class SingleEvent:
    """The event in one body of POST /api/v1/event.

    Raises:
        InvalidRequest: the body cannot be read (status 400).
    """

    list_id = None

    def __init__(self, body: bytes) -> None:
        self.members: list[Params] = [read_body(body)]
        self.sizes = (len(body),)

    def params(self, number: int) -> Params:
        """Return the request's parameters."""
        return self.members[number]

    def let_go(self) -> None:
        """Drop what was decoded."""
        self.members = []


class LooseEvents:
    """Events in one body each. Credentials in the bodies are ignored."""

    list_id = None

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.members = [_decode_if_readable(body) for body in bodies]
        self.sizes = list(map(len, bodies))
        self._bodies = bodies

    def params(self, number: int) -> Params:
        """Return an event's parameters; raise InvalidRequest if its body cannot be read."""
        return read_body(self._bodies[number])

    def let_go(self) -> None:
        """Drop what was decoded, and the caller's bodies."""
        self.members, self._bodies = [], ()


def read_envelope(body: bytes) -> Params:
    """Read the parameters of a body of POST /api/v1/events; raise InvalidRequest if it cannot be read."""
    members = decode_object(body)
    params = rename_members(members)
    most = MAX_DEPTH + ENVELOPE_DEPTH
    if count_brackets(body) > most + _count_siblings(params) and exceeds_depth(members, most):
        raise unreadable_body()
    return rename_in_order(members, decode_in_order(body)) if params is None else params


def _count_siblings(params: Params | None) -> int:
    """Count arrays and objects that add nothing to a body's depth, because they are beside its deepest value.

    These are all but one of the events and all but one of their `properties`. Without this count, the many brackets of a
    batch would cause each batch to be walked through.
    """
    events = None if params is None else params.get("Events")
    if type(events) is not list:
        return 0
    objects = [event for event in events if type(event) is dict]
    properties = sum(type(event.get("properties")) is dict for event in objects)
    return max(len(objects) - 1, 0) + max(properties - 1, 0)


def _decode_if_readable(body: bytes) -> dict[str, Any] | None:
    try:
        members = decode_object(body)
    except InvalidRequest:
        return None
    return None if count_brackets(body) > MAX_DEPTH and exceeds_depth(members, MAX_DEPTH) else members


def _find_events(body: OrderedMembers) -> list[object]:
    """Return the array of events: the last one, if `Events` occurs more than once."""
    events: list[object] = [value for name, value in body if name.lower() == "events"][-1]
    return events
