"""What enters the store and what it hands back; the store's whole vocabulary for those outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
"""What became of an event: it was committed, or why not."""


class TypeCount(msgspec.Struct, frozen=True):
    """How many events of one type a list has; times are RFC 3339 text."""

    list_id: int
    event: str
    events: int
    first_seen: str
    last_seen: str


class DroppedCount(msgspec.Struct, frozen=True):
    """How many events of a list were dropped because no visitor sent them; times are RFC 3339 text."""

    list_id: int
    events: int
    first_seen: str
    last_seen: str


class Stats(msgspec.Struct, frozen=True):
    """What a store holds: sizes in bytes, times as RFC 3339 text."""

    events: int
    by_type: list[TypeCount]
    dropped: list[DroppedCount]
    oldest: str | None
    newest: str | None
    unfolded_events: int
    file_bytes: int
    wal_bytes: int
    schema_version: int
    database_version: str


class Recount(msgspec.Struct, frozen=True):
    """A list's catalogue counted afresh, and whether the kept one differs from it."""

    properties: dict[str, list[str]]
    differs: bool


class Selection(msgspec.Struct, frozen=True):
    """Which events: of one list or all, and when they happened (microseconds since 1970; `until` is excluded)."""

    list_id: int | None = None
    since: int | None = None
    until: int | None = None


EVERYTHING = Selection()


class Table(msgspec.Struct, frozen=True):
    """What a query gives: JSON's types only; times and uuids are text."""

    columns: list[str]
    rows: list[list[Any]]


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at, whether it is as it should be, and what was found."""

    name: str
    ok: bool
    found: str


class Sizes(msgspec.Struct, frozen=True):
    """The size of the file before and after, in bytes."""

    before: int
    after: int


class OwnerState(msgspec.Struct, frozen=True):
    """The process that holds a store's file."""

    pid: int
    since: datetime
    socket: str
    clients: list[int]
    """The processes that use the store through it."""


class Distribution(msgspec.Struct, frozen=True):
    """How many values came up to each bound, and past the last one; and their sum."""

    bounds: list[float]
    counts: list[int]
    total: float


class Measures(msgspec.Struct, frozen=True):
    """The writer's work since the store was opened; times in seconds."""

    stored: int
    duplicates: int
    dropped: int
    failed: int
    batches: Distribution
    commits: Distribution
    applications: Distribution
    """Of journal entries into the tables."""
    folds: Distribution


class Metrics(msgspec.Struct, frozen=True):
    """What all processes that use a store have to tell a monitoring system; sizes in bytes."""

    measures: Measures
    refused: dict[int, int]
    """Requests that were refused, by documented code, in all processes."""
    told: dict[str, int]
    """What else the processes have counted, by name (metrics.py has the names)."""
    waiting: int
    journaled: int
    """Events that are committed to the journal and not in the tables yet."""
    clients: int
    owner_changes: int
    owner_started_at: float
    file_bytes: int
    log_bytes: int
    deliveries: dict[str, int]
    """Attempts to deliver an event, by how they ended: `delivered`, to be `retried`, `failed` for good."""
    deliveries_waiting: int
    healthy: bool
