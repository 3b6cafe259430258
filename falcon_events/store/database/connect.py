"""Opening the store's file: the database's limits, and errors that say what to do."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import duckdb

from falcon_events.errors import StoreError, StoreLocked
from falcon_events.files.paths import WRITABLE, check_access, log_of
from falcon_events.settings import Settings
from falcon_events.store.database.layout import compress_properties
from falcon_events.store.database.migrations import migrate

logger = logging.getLogger(__name__)

TOLD_BYTES = 4 << 20
"""A log of this size may take a while; a smaller one is not worth a line."""
MEMORY = ":memory:"
STORAGE_VERSION = "v1.5.0"
"""The oldest DuckDB whose files this package writes, whatever the installed one would prefer."""


def open_database(path: Path, settings: Settings, *, create: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection to the store's file at today's schema; the file is made where there is none.

    Args:
        path: the file's path.
        settings: memory, threads and checkpoints are limited as they say.
        create: whether a missing file is made.

    Raises:
        StoreMissing: there is no file, and none is to be made.
        StoreLocked: another process holds the file.
        StoreError: the file cannot be read or written, is no store, is damaged or from a newer release.
    """
    check_access(path, create=create)
    if not path.exists():
        _make(path, settings)
    log = log_of(path)
    if log.exists() and (size := log.stat().st_size) >= TOLD_BYTES:
        logger.info("opening %s and taking in its log of %.1f MB", path, size / 1e6)
    return _connect(path, settings)


def open_memory(settings: Settings) -> duckdb.DuckDBPyConnection:
    """A connection to a new store that no file has, and that nothing is written to disk for."""
    return _connect(Path(MEMORY), settings, temp_directory="")


def _connect(path: Path, settings: Settings, **options: str) -> duckdb.DuckDBPyConnection:
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
        raise _explained(path, error) from error
    try:
        migrate(connection, str(path))
    except duckdb.Error as error:
        connection.close()
        raise _explained(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path, settings: Settings) -> None:
    """Makes a new store, readable for its owner only, whole or not at all."""
    unfinished = path.with_name(path.name + ".new")
    try:
        unfinished.unlink(missing_ok=True)
        # DuckDB's own words for a folder without permission are an internal error.
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        unfinished.unlink()
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}. {WRITABLE}") from None
    with _connect(unfinished, settings) as connection:
        ((database,),) = connection.execute("select current_database()").fetchall()
        compress_properties(connection, database)
    unfinished.chmod(0o600)
    unfinished.rename(path)


def _explained(path: Path, error: duckdb.Error) -> StoreError:
    text = str(error).splitlines()[0]
    if "Could not set lock" in text:
        pid = re.search(r"PID (\d+)", str(error))
        return StoreLocked(str(path), int(pid[1]) if pid else None)
    if "not a valid DuckDB database" in text:
        return StoreError(f"{path} is not a DuckDB database. Give the path of a store, or of a file that does not exist yet.")
    if "newer" in text or "version number" in text:
        return StoreError(f"{path} was written by a newer DuckDB than {duckdb.__version__}; upgrade with: pip install -U duckdb")
    if "WAL" in text or "wal" in text.replace(str(path), ""):
        return StoreError(
            f"{log_of(path)} is damaged and cannot be taken in: {text} Restore {path} from a backup, or set the log and the "
            f"journal beside it aside by renaming them; then the store opens without the events that only these have."
        )
    if "Could not read enough bytes" in text or isinstance(error, (duckdb.FatalException, duckdb.SerializationException)):
        return StoreError(f"{path} is damaged: {text} Restore it from a backup.")
    return StoreError(f"{path} cannot be opened: {text}")
