"""The database's log beside an open store: its name is synced to disk, and a log that is taken away loses nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from falcon_events.files.paths import log_of, sync
from falcon_events.store.database import duckdb
from falcon_events.store.database.wal import read_identity

logger = logging.getLogger(__name__)


class DatabaseLog:
    """Watches the log of an open database. DuckDB creates it with a commit, syncs it but not its name, and keeps it open.

    Args:
        db: the store's file; without a file, there is no log.
    """

    def __init__(self, db: Path) -> None:
        self._folder = db.parent
        self._path = log_of(db)
        self._has_file = db.exists()
        self._seen: tuple[int, int, bytes] | None = None

    def secure(self, connection: duckdb.DuckDBPyConnection, *, committed: bool = False) -> None:
        """Make sure that the next process finds what was committed. Call it before a commit is acknowledged.

        Args:
            connection: the writing connection.
            committed: whether something was committed since the last call.

        Raises:
            OSError: the folder cannot be synced.
            duckdb.Error: the log is missing, and the database cannot take its content into the file.
        """
        if not self._has_file:
            return
        found = read_identity(self._path)
        if found == self._seen and not (found is None and committed):
            return
        # A checkpoint removes the log, and the next log has another header. Otherwise somebody else has removed it.
        is_replaced = found is not None and self._seen is not None and found[2] == self._seen[2]
        if is_replaced:
            logger.warning("%s was replaced while it was in use; its content is written to the database's file", self._path)
        if found is None or is_replaced:
            connection.execute("checkpoint")
            found = read_identity(self._path)
        if found is not None:
            sync(self._folder)
        self._seen = found
