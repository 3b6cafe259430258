"""What enters the store and what it hands back; the store's whole vocabulary for those outside."""

from __future__ import annotations

from typing import Any

import msgspec


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event to store. Times are microseconds since 1970, UTC; uuids are lower-case text.

    `event_id` is the sender's own id, under which the event may come again; without one it gets an id when it is stored.
    `size` is about how many bytes the event takes while it waits.
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
    properties: dict[str, Any]
    traits: dict[str, Any] | None
    size: int


class Receipt(msgspec.Struct, frozen=True):
    """What was committed for one event: its answer, or the first one's where it is a repeat."""

    event_id: str
    visitor: str
    external_id: str
    identify_event_sent: bool
    duplicate: bool = False


class TypeCount(msgspec.Struct, frozen=True):
    """How many events of one type a list has; times are RFC 3339 text."""

    list_id: int
    event: str
    events: int
    first_seen: str
    last_seen: str


class Stats(msgspec.Struct, frozen=True):
    """What a store holds: sizes in bytes, times as RFC 3339 text."""

    events: int
    by_type: list[TypeCount]
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
