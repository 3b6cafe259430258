"""Sharing the file of an open store with processes that read it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from falcon_events.errors import EventsError
from falcon_events.files.paths import log_of
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb

_NEVER = "1TB"


class SharedFile:
    """Lets other processes open the store's file for reading. For the writer thread only.

    DuckDB locks its file for itself (fcntl, the whole file). While a process reads, that lock is turned into a shared one, which
    still keeps every other writer out. The reader sees the file and its log as they are when it opens them. Later commits go to
    the log, and blocks that the last checkpoint knows are not overwritten before the next one. So there is no checkpoint while a
    process reads.

    Args:
        path: the store's file.
        connection: the writing connection.
        settings: the size of the log at which the database checkpoints by itself.
    """

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        self._path = path
        self._connection = connection
        self._threshold_mb = settings.checkpoint_wal_mb
        self._readers: set[object] = set()
        self._descriptor: int | None = None

    @property
    def in_use(self) -> bool:
        """Whether a process reads the file, so that there must be no checkpoint."""
        return bool(self._readers)

    def share(self) -> object:
        """Let a process open the file, and return a token for release().

        Raises:
            EventsError: so many processes have read that the log must be checkpointed first.
            OSError: the lock cannot be shared.
            duckdb.Error: checkpoints cannot be held back.
        """
        log = log_of(self._path)
        if self._readers and log.exists() and log.stat().st_size > self._threshold_mb << 20:
            raise EventsError(
                "Other queries are running, and the store's log has to be saved first. Try again when they have ended."
            )
        if not self._readers:
            if self._descriptor is None:
                # To close it would drop the database's own lock. So it stays open as long as the database.
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self._connection.execute(f"set checkpoint_threshold = '{_NEVER}'")
        token = object()
        self._readers.add(token)
        return token

    def release(self, token: object) -> None:
        """Note that a process reads no more. A token of a database that has been closed since has no effect."""
        if token not in self._readers:
            return
        self._readers.remove(token)
        if not self._readers:
            assert self._descriptor is not None
            with contextlib.suppress(OSError):  # another program reads the file; the next release tries again
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(duckdb.Error):  # a failed database is opened again, with its own threshold
                self._connection.execute(f"set checkpoint_threshold = '{self._threshold_mb}MB'")

    def close(self) -> None:
        """Close the file, after the database has been closed."""
        self._readers.clear()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
