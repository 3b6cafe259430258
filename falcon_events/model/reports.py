"""Reports of a store: counts, checks, metrics, and which events a report is about."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import msgspec

BEFORE_STORE_FAILED, AFTER_COMMIT_FAILED = "before_store", "after_commit"
NOT_GIVEN = "not given to after_commit"
OFF_PLAN = "off plan"
"""What a process counts by name and tells the store's owner."""


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


class ObservedProperty(msgspec.Struct, frozen=True, array_like=True):
    """How many events of a type have a property with values of one type.

    Without a name: how many events of the type there are. `value_type` is DuckDB's name for a type in JSON.
    """

    event: str
    name: str | None
    value_type: str | None
    events: int


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


class HealthState(enum.Enum):
    """Whether the store takes events."""

    OK = "ok"
    FULL = "full"
    """The queue is full for the moment; the store itself is in order."""
    FAILED = "failed"


class Health(msgspec.Struct, frozen=True):
    """The state of a store and, where it takes no events, a sentence for people that says why."""

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
