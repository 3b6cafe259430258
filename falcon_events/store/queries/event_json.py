"""Stored events as JSON records, with times as RFC 3339 text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from falcon_events.model.persons import StoredEvent
from falcon_events.model.timestamps import format_timestamp

COLUMNS = """event_id::varchar, event, visitor::varchar, external_id, email, epoch_us(occurred_at), epoch_us(received_at),
    epoch_us(client_timestamp), client_address, properties"""
"""The columns of a StoredEvent, for render_event()."""
TRACKED_EVENTS = """
select event_id::varchar, list_id, event, email, external_id, visitor::varchar, epoch_us(occurred_at), properties
from events order by seq
"""
"""Every event, in order of arrival, for the pytest plugin."""
LATEST = f"select seq, {COLUMNS} from events where list_id = ? and seq > ? order by seq desc limit ?"


def render_event(row: Sequence[Any]) -> dict[str, object]:
    """Return the StoredEvent record of a row of COLUMNS."""
    *event, occurred, received, client, address, properties = row
    times = (format_time(occurred), format_time(received), format_time(client))
    return build_record(StoredEvent, (*event, *times, address, wrap_json(properties)))


def read_latest(connection: duckdb.DuckDBPyConnection, list_id: int, after_seq: int, most: int) -> bytes:
    """Return the last `most` events of a list after a seq, oldest first, as a JSON array of [seq, StoredEvent]."""
    rows = connection.execute(LATEST, [list_id, after_seq, most]).fetchall()
    return msgspec.json.encode([(seq, render_event(row)) for seq, *row in reversed(rows)])


def build_record(kind: type[msgspec.Struct], values: Sequence[object]) -> dict[str, object]:
    """Return a dict of a struct's field names and these values."""
    return dict(zip(kind.__struct_fields__, values, strict=True))


def format_time(microseconds: int | None) -> str | None:
    """Format a time in microseconds since 1970."""
    return None if microseconds is None else format_timestamp(microseconds)


def wrap_json(text: str | None) -> msgspec.Raw | None:
    """Wrap stored JSON, so that it is encoded unchanged."""
    return None if text is None else msgspec.Raw(text.encode())
