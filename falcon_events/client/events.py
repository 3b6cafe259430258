"""Events as a client sends them: each with an EventID of its own, encoded once, alone or in batches."""

from __future__ import annotations

import time
import uuid as uuids
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from falcon_events.contract.body import write_body
from falcon_events.errors import InvalidRequest

BATCH_EVENTS = 1_000
"""The most events that the API takes at once."""
BATCH_BYTES = (1 << 20) - 64
"""The most bytes of events in a batch: a body may have a mebibyte."""


class Event(msgspec.Struct, frozen=True):
    """An event to send; its fields are what Client.track() takes.

    `event_id` is made up where it is not given: whoever keeps the event and sends it again has it stored once.
    """

    list_id: int | str
    event: str
    email: str | None = None
    id: str | int | None = None
    properties: Mapping[str, Any] | None = None
    uuid: str | None = None
    timestamp: str | None = None
    event_id: str = msgspec.field(default_factory=lambda: str(uuids.uuid4()))
    identify_properties: Mapping[str, Any] | None = None


class Queued:
    """An event on its way: encoded, and since when it waits.

    Args:
        event: the event.
        since: a moment of time.monotonic().
    """

    __slots__ = ("body", "event", "failing", "number", "since", "tries")

    def __init__(self, event: Event, since: float) -> None:
        self.event = event
        self.body = write_body(msgspec.structs.asdict(event))
        self.since = since
        self.tries = 0
        """How often the server has failed over it, when it was sent alone."""
        self.failing: tuple[float, int] | None = None
        """When the server first failed over it, and how many batches it had taken by then."""
        self.number = 0
        """Its place among all that have been in its queue."""


def made(arguments: Mapping[str, Any]) -> Event:
    """The event of a call's arguments, of which some may be None."""
    given = {name: arguments[name] for name in Event.__struct_fields__ if arguments[name] is not None}
    return Event(**given)


def at_present(event: Event) -> Event:
    """The event as one of this moment, unless it says when it happened: it may be sent much later."""
    if event.timestamp is not None:
        return event
    return msgspec.structs.replace(event, timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))


def batch(events: Sequence[Queued]) -> bytes:
    """The body that sends events together."""
    return b'{"Events":[' + b",".join([queued.body for queued in events]) + b"]}"


def batches(events: Iterable[Event]) -> Iterator[list[Queued | InvalidRequest]]:
    """Events in as few batches as the API takes; in place of one that cannot be sent stands why."""
    part: list[Queued | InvalidRequest] = []
    size = 0
    for event in events:
        item = _encoded(event)
        length = len(item.body) + 1 if isinstance(item, Queued) else 0
        if part and (len(part) == BATCH_EVENTS or size + length > BATCH_BYTES + 1):
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part


def _encoded(event: Event) -> Queued | InvalidRequest:
    try:
        return Queued(event, time.monotonic())
    except InvalidRequest as refused:
        return refused
