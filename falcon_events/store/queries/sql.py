"""Read-only SQL within limits of time, rows and bytes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import msgspec

from falcon_events.errors import EventsError
from falcon_events.store.database import duckdb
from falcon_events.store.queries.select_check import check_select, check_tables

ROWS_AT_ONCE = 100
TOO_LONG = "The query was ended after {:g} seconds (setting sql_time_s). {}"
TOO_MANY_ROWS = "The result has more than {} rows (setting sql_rows). {}"
TOO_LARGE = "The result has more than {} bytes (setting sql_bytes). {}"
NO_MEMORY = "The query needs more memory than {} MB (setting sql_memory_mb). {}"
ADVICE = "Select less, or write a backup and query that with DuckDB (docs/database.md)."


class Limits(msgspec.Struct, frozen=True):
    """Limits of a query: its time in seconds, the rows and the bytes of its result, and the database's memory in megabytes."""

    time_s: float
    rows: int
    bytes: int
    memory_mb: int


Read = Callable[[duckdb.DuckDBPyConnection, str, Limits], bytes]
"""Runs a checked SELECT and returns its rows. Raises EventsError if they exceed a limit."""


def read_table(connection: duckdb.DuckDBPyConnection, query: str, limits: Limits) -> bytes:
    """Run a checked SELECT and return its rows as a Table in MessagePack. Raises EventsError if they exceed a limit."""
    result = connection.execute(query)  # computes its rows as they are fetched
    columns = [str(column[0]) for column in result.description or ()]
    return msgspec.msgpack.encode({"columns": columns, "rows": _read_rows(result, limits)})


def run_select(connection: duckdb.DuckDBPyConnection, query: str, limits: Limits, read: Read = read_table) -> bytes:
    """Run one SELECT.

    Args:
        connection: a connection to the store.
        query: the SELECT.
        limits: its limits.
        read: returns its rows.

    Returns:
        What `read` returns.

    Raises:
        EventsError: the query is no SELECT, exceeds a limit, or the database refuses it.
    """
    expired = threading.Event()

    def end() -> None:
        expired.set()
        connection.interrupt()

    timer = threading.Timer(limits.time_s, end)
    timer.daemon = True
    timer.start()
    try:
        tables = check_select(connection, query)
        connection.execute("begin transaction read only")
        try:
            check_tables(connection, tables)
            return read(connection, query, limits)
        finally:
            with contextlib.suppress(duckdb.Error):
                connection.rollback()
    except duckdb.InterruptException:
        if expired.is_set():
            raise EventsError(TOO_LONG.format(limits.time_s, ADVICE)) from None
        raise
    except (duckdb.OutOfMemoryException, MemoryError):
        raise EventsError(NO_MEMORY.format(limits.memory_mb, ADVICE)) from None
    except duckdb.Error as error:
        raise explain(error) from None
    finally:
        timer.cancel()


def refuse_size(rows: int, size: int, limits: Limits) -> None:
    """Raise EventsError if a result has more rows or bytes than the limits allow."""
    if rows > limits.rows:
        raise EventsError(TOO_MANY_ROWS.format(limits.rows, ADVICE))
    if size > limits.bytes:
        raise EventsError(TOO_LARGE.format(limits.bytes, ADVICE))


def explain(error: duckdb.Error) -> EventsError:
    """Return what the database says as an error of this package."""
    return EventsError(f"The database says: {' '.join(str(error).split())}")


def _read_rows(result: duckdb.DuckDBPyConnection, limits: Limits) -> list[msgspec.Raw]:
    rows: list[msgspec.Raw] = []
    size = 0
    while found := result.fetchmany(ROWS_AT_ONCE):
        for row in found:
            rows.append(msgspec.Raw(msgspec.msgpack.encode([_to_json(value) for value in row])))
            size += len(bytes(rows[-1]))
            refuse_size(len(rows), size, limits)
    return rows


def _to_json(value: Any) -> Any:
    """Convert a value to one that JSON can hold."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
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
