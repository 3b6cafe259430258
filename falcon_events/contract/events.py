"""Many events at once: the body of POST /api/v1/events, and bodies of POST /api/v1/event that are stored together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Protocol

from falcon_events.contract.body import (
    MAX_DEPTH,
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
from falcon_events.errors import InvalidRequest

ENVELOPE_DEPTH = 2
"""An event stands in an array in an object: it may be as deep as one that is sent alone."""

_schema = RequestSchema(load_schema("events.request"))
_MOST = load_schema("events.request")["properties"]["Events"]["maxItems"]


class Events(Protocol):
    """Events that are checked and stored together."""

    @property
    def members(self) -> Sequence[object]:
        """Each event as it was decoded; what is no object is no event."""

    @property
    def list_id(self) -> object:
        """The ListID of those that name none."""

    @property
    def sizes(self) -> Iterable[int]:
        """About how many bytes each event takes."""

    def params(self, number: int) -> Params:
        """An event's parameters, under the names that the schemas give them; raises InvalidRequest where it is unreadable."""


class EnvelopedEvents:
    """The events of a batch.

    Args:
        params: of the envelope; its ListID counts for events without one.
        body: which they were read from.

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
        """An event's parameters; raises InvalidRequest where it is not an object."""
        members = self.members[number]
        if type(members) is not dict:
            raise unreadable_body()
        event = rename_members(members)
        if event is None:
            self._order = self._order or _events_of(decode_in_order(self._body))
            mentions = self._order[number]
            assert isinstance(mentions, OrderedMembers)
            event = rename_in_order(members, mentions)
        if "ListID" in self._envelope:
            event.setdefault("ListID", self._envelope["ListID"])
        return event


class SingleEvent:
    """The event of a request that has one; its parameters are the request's.

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


class LooseEvents:
    """Events in a body each; credentials in them are not looked at."""

    list_id = None

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.members = [_members_of(body) for body in bodies]
        self.sizes = list(map(len, bodies))
        self._bodies = bodies

    def params(self, number: int) -> Params:
        """An event's parameters; raises InvalidRequest where the body is unreadable."""
        return read_body(self._bodies[number])


def read_envelope(body: bytes) -> Params:
    """The parameters of a batch; raises InvalidRequest where the body is unreadable."""
    members = decode_object(body)
    params = rename_members(members)
    most = MAX_DEPTH + ENVELOPE_DEPTH
    if count_brackets(body) > most + _aside(params) and exceeds_depth(members, most):
        raise unreadable_body()
    return rename_in_order(members, decode_in_order(body)) if params is None else params


def _aside(params: Params | None) -> int:
    """How many of a body's arrays and objects surely stand beside its deepest ones, rather than around them.

    Of the array of events, the events and their properties, that is all but one of each kind: a batch has thousands of
    brackets, and need not be walked through for that.
    """
    events = None if params is None else params.get("Events")
    if type(events) is not list:
        return 0
    objects = [event for event in events if type(event) is dict]
    properties = sum(type(event.get("properties")) is dict for event in objects)
    return max(len(objects) - 1, 0) + max(properties - 1, 0)


def _members_of(body: bytes) -> dict[str, Any] | None:
    try:
        members = decode_object(body)
    except InvalidRequest:
        return None
    return None if count_brackets(body) > MAX_DEPTH and exceeds_depth(members, MAX_DEPTH) else members


def _events_of(body: OrderedMembers) -> list[object]:
    """The array that counts, of all that are mentioned as Events."""
    events: list[object] = [value for name, value in body if name.lower() == "events"][-1]
    return events
