"""Events to store, and their outcomes."""

from __future__ import annotations

import msgspec

from falcon_events.errors import EventsError

CANNOT_NOW = "The event store cannot take the event now. Try again later."
FULL = "The event store's queue is full. Try again later."
REFUSED = "The database refuses this event; the log has the details."


class NewEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An event to store. Times are microseconds since 1970, UTC; UUIDs are lower-case text.

    `event_id` is the ID that the sender chose and may send again. Without it, the event's ID is `own_id`, or one that it gets
    when it is stored. `properties` and `traits` are JSON objects. The process that took the request encodes them once, and
    they are not decoded again, so that numbers of any size keep all digits. `size` is about how many bytes the event takes
    while it waits. `again` is set if the event was sent before and its outcome is unknown: then it is looked up among the
    stored events first. `client_timestamp` is the sender's Timestamp, which `occurred_at` may correct. `dropped` is set if the
    event is only counted: `bot` or `host` says why. `automatic` is for an identify event: whether a store made it beside another
    event. None: it is not known, so that the events before and after it decide.
    """

    event_id: str | None
    account_id: str
    list_id: int
    event: str
    visitor: str
    external_id: str
    email: str | None
    occurred_at: int
    received_at: int
    properties: bytes
    traits: bytes | None
    size: int
    own_id: str | None = None
    again: bool = False
    client_timestamp: int | None = None
    client_address: str | None = None
    dropped: str | None = None
    automatic: bool | None = False

    @property
    def id(self) -> str | None:
        """The ID of the event once it is stored, or None if it has none yet."""
        return self.event_id or self.own_id


class Receipt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The receipt of a committed event. For a repeat, it has the values of the first event."""

    event_id: str
    visitor: str
    external_id: str
    identify_event_sent: bool
    duplicate: bool = False


Outcome = Receipt | EventsError
"""The outcome of an event in the store: the receipt of its commit, or the error that prevented it."""
