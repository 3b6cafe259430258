"""Stored events as JSON records, with times as RFC 3339 text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.model.persons import StoredEvent
from falcon_events.model.timestamps import format_timestamp
from falcon_events.store.database import duckdb
from falcon_events.store.database.portions import OF_PORTION, run_in_portions

COLUMNS = """event_id::varchar, event, visitor::varchar, external_id, email, epoch_us(occurred_at), epoch_us(received_at),
    epoch_us(client_timestamp), client_address, properties"""
"""The columns of a StoredEvent, for render_event()."""
TRACKED_EVENTS = """
select event_id::varchar, list_id, event, email, external_id, visitor::varchar, epoch_us(occurred_at), properties
from events order by seq
"""
"""Every event, in order of arrival, for the pytest plugin."""
READ_AT_ONCE = 1_000_000
FIND_LATEST = "select seq from events where list_id = $list_id and seq > $since order by seq desc limit $most"
LATEST = f"select seq, {COLUMNS} from events where list_id = $list_id and {OF_PORTION} order by seq"


def render_event(row: Sequence[Any]) -> dict[str, object]:
    """Return the StoredEvent record of a row of COLUMNS."""
    *event, occurred, received, client, address, properties = row
    times = (format_time(occurred), format_time(received), format_time(client))
    return build_record(StoredEvent, (*event, *times, address, wrap_json(properties)))


def read_latest(connection: duckdb.DuckDBPyConnection, list_id: int, after_seq: int, most: int) -> bytes:
    """Return the last `most` events of a list after a seq, oldest first, as a JSON array of [seq, StoredEvent]."""
    found = connection.execute(FIND_LATEST, {"list_id": list_id, "since": after_seq, "most": most}).fetchall()
    seqs = [seq for (seq,) in reversed(found)]
    rows: list[tuple[int, dict[str, object]]] = []

    def add(bounds: dict[str, int]) -> None:
        read = connection.execute(LATEST, {"list_id": list_id, **bounds}).fetchall()
        rows.extend((seq, render_event(row)) for seq, *row in read)

    if seqs:
        run_in_portions(connection, seqs[0] - 1, seqs[-1], READ_AT_ONCE, add)
    return msgspec.json.encode(rows)


def build_record(kind: type[msgspec.Struct], values: Sequence[object]) -> dict[str, object]:
    """Return a dict of a struct's field names and these values."""
    return dict(zip(kind.__struct_fields__, values, strict=True))


def format_time(microseconds: int | None) -> str | None:
    """Format a time in microseconds since 1970."""
    return None if microseconds is None else format_timestamp(microseconds)


def wrap_json(text: str | None) -> msgspec.Raw | None:
    """Wrap stored JSON, so that it is encoded unchanged."""
    return None if text is None else msgspec.Raw(text.encode())
