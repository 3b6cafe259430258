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
from falcon_events.contract.envelope import Envelope
from falcon_events.contract.schemas import RequestSchema, load_schema
from falcon_events.contract.values import MAX_DEPTH
from falcon_events.errors import InvalidRequest

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
    """The events in one body of POST /api/v1/events. An unreadable one has a failure instead.

    Args:
        envelope: the body's parameters. Its ListID applies to events that have none.

    Raises:
        InvalidRequest: there is no array of 1 to 1,000 events (status 422).
    """

    def __init__(self, envelope: Envelope) -> None:
        params = envelope.params
        given = params.get("Events")
        if type(given) is not list or not 0 < len(given) <= _MOST:
            raise InvalidRequest(422, _schema.failures(params))
        self.list_id = params.get("ListID")
        self.members: list[object] = given
        self.sizes: Iterable[int] = repeat(len(envelope.body) // len(given))
        self._parts: list[bytes] | None = None
        if envelope.parts is not None:
            self._parts = [envelope.parts[place] for place in given]
            self.members = [_decode_if_readable(part) for part in self._parts]
            self.sizes = list(map(len, self._parts))
        self._envelope = params
        self._body = envelope.body
        self._order: list[object] = []

    def params(self, number: int) -> Params:
        """Return an event's parameters; raise InvalidRequest if it is not an object."""
        members = self.members[number]
        if type(members) is not dict:
            raise unreadable_body()
        event = rename_members(members)
        if event is None:
            event = rename_in_order(members, self._read_order(number))
        if "ListID" in self._envelope:
            event.setdefault("ListID", self._envelope["ListID"])
        return event

    def _read_order(self, number: int) -> OrderedMembers:
        if self._parts is not None:
            return decode_in_order(self._parts[number])
        self._order = self._order or _find_events(decode_in_order(self._body))
        ordered = self._order[number]
        assert isinstance(ordered, OrderedMembers)
        return ordered

    def let_go(self) -> None:
        """Drop the body and what was decoded."""
        self._body, self._parts, self.sizes = b"", None, ()
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
