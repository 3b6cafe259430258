"""Journal entries: the rows that a batch stores, encoded as JSON, to be applied to the tables later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

EMPTY = msgspec.Raw(b"[]")


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
    automatic: bool | None
    """Whether an identify event was stored beside another event; None: it is not known, or this is no identify event."""


class EventIDRow(msgspec.Struct, gc=False):
    """A row of the table event_ids: the answer for repeats of an EventID."""

    account_id: str
    event_id: str
    visitor: str
    external_id: str
    identify_event_sent: bool
    stored_at: int


class EventIDKey(msgspec.Struct, gc=False):
    """The columns of an EventIDRow by which it is known."""

    account_id: str
    event_id: str
    stored_at: int


class TraitsRow(msgspec.Struct, gc=False):
    """A row of the table bindings with changed traits, already merged with the earlier ones."""

    list_id: int
    visitor: str
    email: str
    traits: dict[str, Any] | None
    bound_at: int


class DroppedRow(msgspec.Struct, gc=False):
    """The dropped events to add to a row of the table dropped_events."""

    list_id: int
    events: int
    first_seen: int
    last_seen: int


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rows that a batch stores: a JSON array for each table, in the form that the tables' statements read.

    `number` counts the entries of a store without a gap. `last_seq` is the last seq assigned so far. `count` is the number of
    rows in `events`.
    """

    number: int
    last_seq: int
    count: int
    events: msgspec.Raw = EMPTY
    traits: msgspec.Raw = EMPTY
    event_ids: msgspec.Raw = EMPTY
    renewed_event_ids: msgspec.Raw = EMPTY
    """EventIDs that had expired. Earlier releases wrote them apart from the others."""
    dropped: msgspec.Raw = EMPTY


class ListedEvent(msgspec.Struct):
    """The fields of an EventRow that the catalogue needs."""

    list_id: int
    event: str
    properties: dict[str, msgspec.Raw]


encode = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(Entry).decode
decode_traits = msgspec.json.Decoder(list[TraitsRow]).decode
decode_event_ids = msgspec.json.Decoder(list[EventIDKey]).decode
decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_listed = msgspec.json.Decoder(list[ListedEvent]).decode


def complete_entry(entry: Entry) -> Entry:
    """Add the column `automatic`, which entries of earlier releases lack, to the event rows of an entry."""
    rows = decode_rows(entry.events)
    if not rows or "automatic" in _decode_members(rows[0]):
        return entry
    completed = [msgspec.Raw(bytes(row)[:-1] + b',"automatic":null}') for row in rows]
    return msgspec.structs.replace(entry, events=encode_rows(completed))


def encode_rows(rows: list[Any]) -> msgspec.Raw:
    """Encode rows as the JSON array of an entry."""
    return msgspec.Raw(encode(rows)) if rows else EMPTY


def join_arrays(arrays: Iterable[msgspec.Raw]) -> str:
    """Join JSON arrays into one. Return an empty string if none of them has elements."""
    inner = b",".join(bytes(array)[1:-1] for array in arrays if array != EMPTY)
    return f"[{inner.decode()}]" if inner else ""


def add_names(names: dict[str, set[str]], entry: Entry, list_id: int) -> None:
    """Add the property names of a list's events in an entry to `names`, by event type."""
    if b'"list_id":%d,' % list_id in bytes(entry.events):  # skips entries of other lists without decoding them
        for row in _decode_listed(entry.events):
            if row.list_id == list_id:
                names.setdefault(row.event, set()).update(row.properties)
