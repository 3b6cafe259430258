"""Events on their way into the store, and what becomes of them."""

from __future__ import annotations

import msgspec

from falcon_events.errors import EventsError

CANNOT_NOW = "The event store cannot take the event now. Try again later."
FULL = "The event store's queue is full. Try again later."
REFUSED = "The database refuses this event; the log has the details."


class NewEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An event to store. Times are microseconds since 1970, UTC; uuids are lower-case text.

    `event_id` is the sender's own id, under which the event may come again; without one, `own_id` is the event's id, or it
    gets one when it is stored. `properties` and `traits` are JSON objects, encoded once, by whoever took the request: no
    number, of whatever size, is read and written again on its way. `size` is about how many bytes the event takes while it
    waits. `again` says that it was sent before and its outcome is unknown: it is looked for among the stored ones first.
    `client_timestamp` is the sender's own Timestamp, where `occurred_at` may be corrected. An event that is only counted has in
    `dropped` who wanted it so: `bot` or `host`.
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

    @property
    def id(self) -> str | None:
        """The id under which it will be stored, where that is known already."""
        return self.event_id or self.own_id


class Receipt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was committed for one event: its answer, or the first one's where it is a repeat."""

    event_id: str
    visitor: str
    external_id: str
    identify_event_sent: bool
    duplicate: bool = False


Outcome = Receipt | EventsError
"""What became of an event: the receipt of its commit, or the error that kept it from being stored."""
