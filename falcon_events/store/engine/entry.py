"""One entry of the journal: what a batch has led to, decided and encoded, for the tables to take in later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

NOTHING = msgspec.Raw(b"[]")


class EventRow(msgspec.Struct, gc=False):
    """A row of the table events."""

    seq: int
    event_id: str
    account_id: str
    list_id: int
    event: str
    visitor: str
    external_id: str
    email: str | None
    occurred_at: int
    received_at: int
    properties: msgspec.Raw
    client_timestamp: int | None
    client_address: str | None


class EventIDRow(msgspec.Struct, gc=False):
    """A row of the table event_ids: an answer that a repeat gets again."""

    account_id: str
    event_id: str
    visitor: str
    external_id: str
    identify_event_sent: bool
    stored_at: int


class TraitsRow(msgspec.Struct, gc=False):
    """A row of the table bindings whose traits have changed; they are the merged ones."""

    list_id: int
    visitor: str
    email: str
    traits: dict[str, Any] | None
    bound_at: int


class DroppedRow(msgspec.Struct, gc=False):
    """What a row of the table dropped_events grows by."""

    list_id: int
    events: int
    first_seen: int
    last_seen: int


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a batch has led to: rows by table, each an array in JSON, as the tables' statements read it.

    `number` counts the entries of a store without a gap; `last_seq` is the last seq given out by then, `count` how many
    events are among the rows.
    """

    number: int
    last_seq: int
    count: int
    events: msgspec.Raw = NOTHING
    traits: msgspec.Raw = NOTHING
    event_ids: msgspec.Raw = NOTHING
    renewed_event_ids: msgspec.Raw = NOTHING
    """Of EventIDs that were known, and had run out."""
    dropped: msgspec.Raw = NOTHING


class ListedEvent(msgspec.Struct):
    """As much of an EventRow as the catalogue needs."""

    list_id: int
    event: str
    properties: dict[str, msgspec.Raw]


encode = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(Entry).decode
decode_traits = msgspec.json.Decoder(list[TraitsRow]).decode
decode_event_ids = msgspec.json.Decoder(list[EventIDRow]).decode
decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_listed = msgspec.json.Decoder(list[ListedEvent]).decode


def encoded(rows: list[Any]) -> msgspec.Raw:
    """Rows as an entry has them."""
    return msgspec.Raw(encode(rows)) if rows else NOTHING


def joined(arrays: Iterable[msgspec.Raw]) -> str:
    """Arrays in JSON as one; empty text where nothing is in them."""
    inner = b",".join(bytes(array)[1:-1] for array in arrays if array != NOTHING)
    return f"[{inner.decode()}]" if inner else ""


def add_names(names: dict[str, set[str]], entry: Entry, list_id: int) -> None:
    """Adds the property names of a list's events, by event type."""
    if b'"list_id":%d,' % list_id in bytes(entry.events):  # nearly always so where it is the list's, and quickly known where not
        for row in _decode_listed(entry.events):
            if row.list_id == list_id:
                names.setdefault(row.event, set()).update(row.properties)
