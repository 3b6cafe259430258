"""Events as a client sends them: each with its own EventID, encoded once, alone or in batches."""

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
"""The most events that the API accepts in one request."""
BATCH_BYTES = (1 << 20) - 64
"""The most bytes of events in a batch: a body may have a mebibyte."""


class Event(msgspec.Struct, frozen=True):
    """An event to send. Its fields are the arguments of Client.track().

    `event_id` is random if it is not given. An event that is kept and sent again is therefore stored once.
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


class QueuedEvent:
    """An encoded event in the queue.

    Args:
        event: the event.
        since: the time at which it was enqueued, by time.monotonic().
    """

    __slots__ = ("body", "event", "failing", "number", "since", "tries")

    def __init__(self, event: Event, since: float) -> None:
        self.event = event
        self.body = write_body(msgspec.structs.asdict(event))
        self.since = since
        self.tries = 0
        """How often the server has failed over it when it was sent alone."""
        self.failing: tuple[float, int] | None = None
        """When the server first failed over it, and how many batches the server had stored by then."""
        self.number = 0
        """Its number among all events that have been in its queue."""


def build_event(arguments: Mapping[str, Any]) -> Event:
    """Build an event from a call's arguments, of which some may be None."""
    given = {name: arguments[name] for name in Event.__struct_fields__ if arguments[name] is not None}
    return Event(**given)


def stamp(event: Event) -> Event:
    """Give an event without a timestamp the current time, because it may be sent much later."""
    if event.timestamp is not None:
        return event
    return msgspec.structs.replace(event, timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))


def encode_batch(events: Sequence[QueuedEvent]) -> bytes:
    """Encode the body that sends events together."""
    return b'{"Events":[' + b",".join([queued.body for queued in events]) + b"]}"


def split_into_batches(events: Iterable[Event]) -> Iterator[list[QueuedEvent | InvalidRequest]]:
    """Split events into as few batches as the API accepts. An event that cannot be encoded is replaced by its error."""
    part: list[QueuedEvent | InvalidRequest] = []
    size = 0
    for event in events:
        item = _encode(event)
        length = len(item.body) + 1 if isinstance(item, QueuedEvent) else 0
        if part and (len(part) == BATCH_EVENTS or size + length > BATCH_BYTES + 1):
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part


def _encode(event: Event) -> QueuedEvent | InvalidRequest:
    try:
        return QueuedEvent(event, time.monotonic())
    except InvalidRequest as refused:
        return refused
