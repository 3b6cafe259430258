"""Reports about a store: counts, checks and metrics, and the selection of events that a report covers."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import msgspec

from falcon_events.errors import Failure

BEFORE_STORE_FAILED, AFTER_COMMIT_FAILED = "before_store", "after_commit"
NOT_GIVEN = "not given to after_commit"
OFF_PLAN = "off plan"
"""Names of what a process counts and reports to the owner."""


class TypeCount(msgspec.Struct, frozen=True):
    """How many events of one type a list has. Times are RFC 3339 text, and include those of events that were deleted by age."""

    list_id: int
    event: str
    events: int
    first_seen: str
    last_seen: str
    deleted: int = 0
    """How many more there were that the list's rule has deleted because of their age."""


class DroppedCount(msgspec.Struct, frozen=True):
    """How many events of a list were only counted, not stored. Times are RFC 3339 text."""

    list_id: int
    events: int
    first_seen: str
    last_seen: str


class BotCount(msgspec.Struct, frozen=True):
    """How many of a list's newest events have one value of `$bot`."""

    list_id: int
    bot: str
    events: int


class Stats(msgspec.Struct, frozen=True):
    """The contents of a store. Sizes are in bytes, times are RFC 3339 text.

    `bots` has the most frequent values of `$bot`, of the store's newest 100,000 events.
    """

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
    bots: list[BotCount] = []


class PruneReport(msgspec.Struct, frozen=True):
    """The events that the rule of a list deletes, or has deleted.

    `events` is how many happened before `keeps_from`, the day that is `keep_days` before today in the
    list's time zone. `awaited` is how many more there are that a webhook still has to get, so that they stay until it has.
    `oldest_left` is the day of the oldest event that is left; None: there is none.
    """

    list_id: int
    keep_days: int
    time_zone: str
    keeps_from: str
    events: int
    awaited: int
    oldest_left: str | None


class ObservedProperty(msgspec.Struct, frozen=True, array_like=True):
    """How many events of a type have a property with values of one type.

    With `name` None, it is how many events of the type there are. `value_type` is DuckDB's name for a JSON type.
    """

    event: str
    name: str | None
    value_type: str | None
    events: int


class SeenEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event type of a list: how many events there are, and when the first and the last of all its events happened."""

    event: str
    events: int
    first_seen: datetime
    last_seen: datetime


class SeenEvents(msgspec.Struct, frozen=True):
    """Some event types of a list, and how many there are in all."""

    types: list[SeenEvent]
    count: int


class SeenProperty(msgspec.Struct, frozen=True, array_like=True):
    """A property of an event type: how many events have it, and how many have a value of each type.

    The types are DuckDB's names for JSON types, the most frequent first.
    """

    name: str
    events: int
    types: dict[str, int]


class SeenProperties(msgspec.Struct, frozen=True):
    """A page of an event type's properties, and how many there are on all pages."""

    properties: list[SeenProperty]
    count: int


class Recount(msgspec.Struct, frozen=True):
    """A list's properties, recounted from its events, and whether the stored catalogue differs from them."""

    properties: dict[str, list[str]]
    differs: bool


class Selection(msgspec.Struct, frozen=True):
    """A selection of events: one list or all, and when they happened (microseconds since 1970; `until` is excluded)."""

    list_id: int | None = None
    since: int | None = None
    until: int | None = None


EVERYTHING = Selection()


class Table(msgspec.Struct, frozen=True):
    """The result of a query, in JSON types only: times and UUIDs are text."""

    columns: list[str]
    rows: list[list[Any]]


class Check(msgspec.Struct, frozen=True):
    """One check: what was checked, whether it is in order, and what was found."""

    name: str
    ok: bool
    found: str


class Sizes(msgspec.Struct, frozen=True):
    """The size of the database file before and after compacting, in bytes."""

    before: int
    after: int


class HealthState(enum.Enum):
    """Whether the store accepts events."""

    OK = "ok"
    FULL = "full"
    """The queue is full at the moment; the store itself is in order."""
    FAILED = "failed"


class Health(msgspec.Struct, frozen=True):
    """The state of a store, with the reason as a sentence if it accepts no events."""

    state: HealthState
    reason: str | None = None


HEALTHY = Health(HealthState.OK)
QUEUE_FULL = Health(HealthState.FULL, "The event store's queue is full.")


class OwnerState(msgspec.Struct, frozen=True):
    """The process that holds a store's file."""

    pid: int
    since: datetime
    socket: str
    clients: list[int]
    """The process IDs of the processes that use the store through it."""


class Distribution(msgspec.Struct, frozen=True):
    """How many values are in each bucket (up to a bound, or above the last one), and their sum."""

    bounds: list[float]
    counts: list[int]
    total: float


class Measures(msgspec.Struct, frozen=True):
    """Measurements of the writer since the store was opened. Times are in seconds."""

    stored: int
    duplicates: int
    dropped: int
    failed: int
    batches: Distribution
    commits: Distribution
    applications: Distribution
    """How long it took to write journal entries into the tables."""
    folds: Distribution


class FilterState(msgspec.Struct, frozen=True):
    """State of the filters in front of a table."""

    keys: int
    bytes: int
    most_bytes: int
    """The size from which on new filters get fewer bits for each key, so that false positives become more frequent."""
    false_positives: float
    """The share of new keys that the filters take for known ones, so that they are looked up. Computed from the sizes."""
    building: bool
    """Whether filters are being built, so that every key is looked up."""


class Metrics(msgspec.Struct, frozen=True):
    """Metrics of all processes that use a store. Sizes are in bytes."""

    measures: Measures
    refused: dict[int, int]
    """Refused requests of all processes, by documented code."""
    named_counts: dict[str, int]
    """Other counts of the processes, by the names at the top of this module."""
    waiting: int
    journaled: int
    """Events that are committed to the journal but not in the tables yet."""
    clients: int
    owner_changes: int
    owner_started_at: float
    file_bytes: int
    log_bytes: int
    deliveries: dict[str, int]
    """Attempts to deliver an event, by result: `delivered`, `retried` (will be tried again) or `failed` (given up)."""
    deliveries_waiting: int
    filters: dict[str, FilterState]
    """The filters, by table."""
    healthy: bool


class QueryAnswer(msgspec.Struct, frozen=True):
    """The answer to a question, as JSON, or its failures."""

    body: bytes = b""
    failures: list[Failure] = []
