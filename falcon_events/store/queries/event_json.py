"""Stored events as people see them: records in JSON, with times as RFC 3339 text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from falcon_events.model.persons import StoredEvent
from falcon_events.model.timestamps import format_timestamp

COLUMNS = """event_id::varchar, event, visitor::varchar, external_id, email, epoch_us(occurred_at), epoch_us(received_at),
    epoch_us(client_timestamp), client_address, properties"""
"""Those of a StoredEvent, for shown()."""
TRACKED_EVENTS = """
select event_id::varchar, list_id, event, email, external_id, visitor::varchar, epoch_us(occurred_at), properties
from events order by seq
"""
"""Every event, in order of arrival, for the pytest plugin."""
LATEST = f"select seq, {COLUMNS} from events where list_id = ? and seq > ? order by seq desc limit ?"


def shown(row: Sequence[Any]) -> dict[str, object]:
    """The record of a row of COLUMNS."""
    *event, occurred, received, client, address, properties = row
    return record(StoredEvent, (*event, time_text(occurred), time_text(received), time_text(client), address, raw(properties)))


def latest(connection: duckdb.DuckDBPyConnection, list_id: int, after_seq: int, most: int) -> bytes:
    """The last events of a list after a number of sequence, oldest first: an array of [seq, StoredEvent] in JSON."""
    rows = connection.execute(LATEST, [list_id, after_seq, most]).fetchall()
    return msgspec.json.encode([(seq, shown(row)) for seq, *row in reversed(rows)])


def record(kind: type[msgspec.Struct], values: Sequence[object]) -> dict[str, object]:
    """A record's fields and their values."""
    return dict(zip(kind.__struct_fields__, values, strict=True))


def time_text(microseconds: int | None) -> str | None:
    """A time in microseconds since 1970 as text."""
    return None if microseconds is None else format_timestamp(microseconds)


def raw(text: str | None) -> msgspec.Raw | None:
    """JSON as it is stored."""
    return None if text is None else msgspec.Raw(text.encode())
