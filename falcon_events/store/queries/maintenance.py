"""Maintenance of a store: read-only SQL, and copies for backups and compaction."""

from __future__ import annotations

import contextlib
import uuid
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from falcon_events.errors import EventsError
from falcon_events.files.paths import sync
from falcon_events.model.reports import Table
from falcon_events.store.database.connect import STORAGE_VERSION
from falcon_events.store.database.layout import compress_properties

_READ_ONLY = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


def run_sql(connection: duckdb.DuckDBPyConnection, query: str) -> Table:
    """Run one read-only statement and return its rows.

    Raises:
        EventsError: `query` is not one statement, would change something, or the database refuses it.
    """
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type not in _READ_ONLY:
            raise EventsError("query must be one read-only statement, such as: select count(*) from events")
        connection.execute("begin transaction read only")
        try:
            result = connection.execute(statements[0])
            columns = [str(column[0]) for column in result.description or ()]
            return Table(columns, [[_to_json(value) for value in row] for row in result.fetchall()])
        finally:
            with contextlib.suppress(duckdb.Error):
                connection.rollback()
    except duckdb.Error as error:
        raise EventsError(f"The database says: {' '.join(str(error).split())}") from None


def copy_to(connection: duckdb.DuckDBPyConnection, target: Path) -> int:
    """Write a copy of the store as it is at this moment, which only its owner can read.

    Returns:
        The size of the copy in bytes.

    Raises:
        EventsError: the copy cannot be written; no part of it remains.
    """
    name = f"copy_{uuid.uuid4().hex}"
    unfinished = target.with_name(f"{target.name}.{name}")
    ((source,),) = connection.execute("select current_database()").fetchall()
    try:
        connection.execute(f"attach {quote(str(unfinished))} as {name} (storage_version '{STORAGE_VERSION}')")
        try:
            connection.execute(f'copy from database "{source}" to {name} (schema)')
            compress_properties(connection, name)
            connection.execute(f'copy from database "{source}" to {name} (data)')
        finally:
            connection.execute(f"detach {name}")
        unfinished.chmod(0o600)
        sync(unfinished)
        unfinished.replace(target)
        sync(target.parent)
    except (duckdb.Error, OSError) as error:
        for left in (unfinished, unfinished.with_name(unfinished.name + ".wal")):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
        raise EventsError(f"{target} cannot be written: {' '.join(str(error).split())}") from error
    return target.stat().st_size


def quote(text: str) -> str:
    """Quote a text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _to_json(value: Any) -> Any:
    """Convert a value to one that JSON can hold."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _to_json(item) for name, item in value.items()}
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return str(value)
