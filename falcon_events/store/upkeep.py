"""What keeps a store fast: folding events into the catalogue, taking the log into the file, forgetting old EventIDs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from falcon_events.settings import Settings
from falcon_events.store import catalogue
from falcon_events.store.batch import BatchCommitter
from falcon_events.store.meters import Meters

logger = logging.getLogger(__name__)

IDLE_FOLD_SHARE = 10
"""The part of `fold_events` from which on an idle store is folded."""
IDLE_CHECKPOINT_BYTES = 16 << 20
EXPIRY_INTERVAL_S = 600.0


class Upkeep:
    """Looks after an open database, in the writer's thread; each method raises duckdb.Error where it could not.

    Args:
        connection: the writing one.
        committer: knows how far the events go, and the bindings that only events tell of.
        wal: the path of the log.
        settings: how far the catalogue may lag behind.
        clock: the current time in seconds since 1970.
        meters: count the folds.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        committer: BatchCommitter,
        wal: Path,
        settings: Settings,
        clock: Callable[[], float],
        meters: Meters,
    ) -> None:
        self._connection = connection
        self._committer = committer
        self._wal = wal
        self._settings = settings
        self._clock = clock
        self._meters = meters
        self._next_expiry = 0.0
        self.folded_seq = catalogue.folded_seq(connection)
        """The catalogue's watermark."""

    def when_idle(self) -> None:
        """Does what is due by now."""
        self.fold(max(1, self._settings.fold_events // IDLE_FOLD_SHARE))
        self._checkpoint(IDLE_CHECKPOINT_BYTES)
        if (now := time.monotonic()) >= self._next_expiry:
            self._next_expiry = now + EXPIRY_INTERVAL_S
            self._committer.forget_expired_event_ids(int(self._clock() * 1e6))

    def at_the_end(self) -> None:
        """Leaves nothing to do for the next opening."""
        self.fold(1)
        self._checkpoint(1)

    def fold(self, least: int) -> None:
        """Takes the new events into the catalogue, if there are at least so many; very large ones in smaller portions."""
        last = self._committer.last_seq
        while last - self.folded_seq >= least:
            began = time.perf_counter()
            try:
                self._committer.fold_bindings()
                catalogue.fold(self._connection, last)
            except duckdb.OutOfMemoryException:
                if last - self.folded_seq == 1:
                    raise
                last = self.folded_seq + (last - self.folded_seq) // 2
                least = 1
            else:
                self.folded_seq, last = last, self._committer.last_seq
                self._meters.folded(time.perf_counter() - began)

    def _checkpoint(self, least_bytes: int) -> None:
        if self._wal.exists() and self._wal.stat().st_size >= least_bytes:
            self._connection.execute("checkpoint")
