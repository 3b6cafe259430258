"""Copies of a store, for backups and compaction."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from falcon_events.errors import EventsError
from falcon_events.files.paths import log_of, sync, unfinished_copy
from falcon_events.store.database import duckdb
from falcon_events.store.database.connect import STORAGE_VERSION
from falcon_events.store.database.layout import compress_properties

NO_MEMORY = "the copy needs more memory than the database may use. Raise the setting memory_limit_mb."


def copy_to(connection: duckdb.DuckDBPyConnection, target: Path) -> int:
    """Write a copy of the store as it is at this moment, which only its owner can read.

    Returns:
        The size of the copy in bytes.

    Raises:
        EventsError: the copy cannot be written; no part of it remains.
    """
    unfinished = unfinished_copy(target)
    name = f"copy_{uuid.uuid4().hex}"
    ((source,),) = connection.execute("select current_database()").fetchall()
    try:
        connection.execute(f"attach {quote(str(unfinished))} as {name} (storage_version '{STORAGE_VERSION}')")
        try:
            connection.begin()  # so that both copies see the same columns
            connection.execute(f'copy from database "{source}" to {name} (schema)')
            compress_properties(connection, name)
            connection.execute(f'copy from database "{source}" to {name} (data)')
            connection.commit()
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.rollback()
            raise
        finally:
            with contextlib.closing(connection.cursor()) as other:  # which is not interrupted with the read
                other.execute(f"detach {name}")
        unfinished.chmod(0o600)
        sync(unfinished)
        unfinished.replace(target)
        sync(target.parent)
    except (duckdb.Error, OSError) as error:
        for left in (unfinished, log_of(unfinished)):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
        reason = NO_MEMORY if isinstance(error, duckdb.OutOfMemoryException) else " ".join(str(error).split())
        raise EventsError(f"{target} cannot be written: {reason}") from error
    return target.stat().st_size


def count_rows(connection: duckdb.DuckDBPyConnection, copy: Path) -> str | None:
    """Compare the numbers of rows in the store's tables with those in a copy. None: they are equal.

    Returns:
        The first table that differs, with both numbers.

    Raises:
        duckdb.Error: the copy cannot be read.
    """
    name = f"copy_{uuid.uuid4().hex}"
    ((source,),) = connection.execute("select current_database()").fetchall()
    tables = connection.execute("select table_name from duckdb_tables() where database_name = current_database()").fetchall()
    connection.execute(f"attach {quote(str(copy))} as {name} (read_only)")
    try:
        for (table,) in tables:
            rows = [f'select count(*) from "{database}"."{table}"' for database in (source, name)]
            counts = [int(connection.execute(count).fetchall()[0][0]) for count in rows]
            if counts[0] != counts[1]:
                return f"{table} has {counts[1]} instead of {counts[0]}"
    finally:
        connection.execute(f"detach {name}")
    return None


def quote(text: str) -> str:
    """Quote a text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
