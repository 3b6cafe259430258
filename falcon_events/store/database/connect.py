"""Open the database of a store with its limits, and turn DuckDB's errors into advice."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import Any

from falcon_events.errors import StoreError, StoreLocked
from falcon_events.files.checks import check_access
from falcon_events.files.paths import WRITABLE, log_of, sync, unfinished_store
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb
from falcon_events.store.database.layout import compress_properties
from falcon_events.store.database.migrations import migrate
from falcon_events.store.database.views import create_views
from falcon_events.store.database.wal import explain_damage, mend, put_back

logger = logging.getLogger(__name__)

LOGGED_WAL_BYTES = 4 << 20
"""From this size on, replaying the database's log may take a while, so opening the store writes a log line."""
MEMORY = ":memory:"
"""The end of the name of a store that is being created."""
STORAGE_VERSION = "v1.5.0"
"""The storage version of new files, whatever DuckDB is installed: DuckDB 1.5 and later can open them."""


_ALONE: dict[str, Any] = {
    "python_enable_replacements": False,  # else a table's name may be that of a Python variable
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
"""The settings of a database that runs the queries of others, beside those that _close_off() makes."""


def open_database(path: Path, settings: Settings, *, create: bool = True) -> duckdb.DuckDBPyConnection:
    """Open the store's file and migrate it to the current schema.

    Args:
        path: the file's path.
        settings: the limits of memory, threads and checkpoints.
        create: whether to create a missing file.

    Returns:
        A connection to the database.

    Raises:
        StoreMissing: there is no file, and `create` is false.
        StoreLocked: another process holds the file.
        StoreError: the file cannot be read or written, is not a store, is damaged, or is from a newer release.
    """
    check_access(path, create=create)
    if not path.exists():
        _create_file(path, settings)
    began_ns = time.time_ns()
    mend(path)
    log = log_of(path)
    if log.exists() and (size := log.stat().st_size) >= LOGGED_WAL_BYTES:
        logger.info("Opening %s and replaying its log of %.1f MB", path, size / 1e6)
    try:
        return _connect(path, settings)
    except StoreLocked:
        raise
    except StoreError:
        if not mend(path, thoroughly=True):
            raise
    try:
        return _connect(path, settings)
    except StoreError:
        put_back(path, began_ns)
        raise


def open_memory(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Open a new database in memory, which writes nothing to disk."""
    return _connect(Path(MEMORY), settings, is_new=True, temp_directory="")


def open_parser() -> duckdb.DuckDBPyConnection:
    """Open an empty database in memory that parses queries."""
    return _close_off(duckdb.connect(MEMORY, config=dict(_ALONE)))


def open_reader(path: Path, *, memory_mb: int, threads: int, spill: Path, spill_mb: int) -> duckdb.DuckDBPyConnection:
    """Open a store's file for reading only, without access to other files, and with settings that cannot be changed.

    Args:
        path: the file's path.
        memory_mb: how much memory the database may use, in megabytes.
        threads: how many threads it may use.
        spill: the folder for what does not fit into its memory.
        spill_mb: how much it may write there, in megabytes.

    Raises:
        duckdb.Error: the file cannot be opened.
    """
    config = {
        "memory_limit": f"{memory_mb}MB",
        "threads": threads,
        "temp_directory": str(spill),
        "max_temp_directory_size": f"{spill_mb}MB",
        **_ALONE,
    }
    return _close_off(duckdb.connect(str(path), read_only=True, config=config))


def _close_off(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Close off other files, and lock the settings. Both come last: after them, no folder for spilled rows can be set."""
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _connect(path: Path, settings: Settings, *, is_new: bool = False, **options: str) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(
            str(path),
            config={
                "memory_limit": f"{settings.memory_limit_mb}MB",
                "threads": settings.threads,
                "checkpoint_threshold": f"{settings.checkpoint_wal_mb}MB",
                "storage_compatibility_version": STORAGE_VERSION,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                **options,
            },
        )
    except duckdb.Error as error:
        raise _explain(path, error) from error
    try:
        migrate(connection, str(path), is_new=is_new)
        create_views(connection)
    except duckdb.Error as error:
        connection.close()
        raise _explain(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _create_file(path: Path, settings: Settings) -> None:
    """Create a new store that only its owner can read, completely or not at all."""
    unfinished = unfinished_store(path)
    try:
        # DuckDB reports a folder without permission as an internal error, so find out before it does.
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        unfinished.unlink()
    except OSError as error:
        raise StoreError(f"{path} cannot be created: {error.strerror}. {WRITABLE}") from None
    with _connect(unfinished, settings, is_new=True) as connection:
        ((database,),) = connection.execute("select current_database()").fetchall()
        compress_properties(connection, database)
    unfinished.chmod(0o600)
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)


def _explain(path: Path, error: duckdb.Error) -> StoreError:
    # DuckDB tells these cases apart in the text of its messages only.
    text = str(error).splitlines()[0]
    if "Could not set lock" in text:
        pid = re.search(r"PID (\d+)", str(error))
        return StoreLocked(str(path), int(pid[1]) if pid else None)
    if "not a valid DuckDB database" in text:
        return StoreError(f"{path} is not a DuckDB database. Give the path of a store, or of a file that does not exist yet.")
    if "newer" in text or "version number" in text:
        return StoreError(f"{path} was written by a newer DuckDB than {duckdb.__version__}. Upgrade it: pip install -U duckdb")
    if "WAL" in text or "wal" in text.replace(str(path), ""):
        return StoreError(explain_damage(path, log_of(path), text.rstrip(".")))
    if "Could not read enough bytes" in text or isinstance(error, (duckdb.FatalException, duckdb.SerializationException)):
        return StoreError(f"{path} is damaged: {text} Restore it from a backup.")
    return StoreError(f"{path} cannot be opened: {text}")
