"""What keeps a store fast: folding events into the catalogue, taking the log into the file, forgetting old EventIDs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from falcon_events.settings import Settings
from falcon_events.store.database import catalogue
from falcon_events.store.engine.meters import Meters
from falcon_events.store.engine.recall import Knowledge
from falcon_events.store.engine.tables import Tables

logger = logging.getLogger(__name__)

IDLE_FOLD_SHARE = 10
"""The part of `fold_events` from which on an idle store is folded."""
REPLAY_COMMIT_S = 50e-6
REPLAY_BYTE_S = 5e-9
"""What opening the store costs for each commit and each byte in its log, in seconds: measured on 2.0 and 1.5."""
RESTART_S = 0.5
IDLE_RESTART_S = 0.1
"""How long a successor may need to take the log in, before a checkpoint makes it shorter: under load, and when idle."""
CHECKPOINT_SHARE = 20
"""Under load a checkpoint may take this part of the time, so that those of a large file do not follow upon each other."""
LEAST_PAUSE_S = 2.0
EXPIRY_INTERVAL_S = 600.0


class Upkeep:
    """Looks after an open database, in the writer's thread; each method raises duckdb.Error where it could not.

    Args:
        connection: the writing one.
        tables: know how far the events go.
        knowledge: knows the bindings that only events tell of.
        wal: the path of the log.
        settings: how far the catalogue may lag behind.
        clock: the current time in seconds since 1970.
        meters: count the folds.
        opening_s: how long it took to open the database, log and all.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: Tables,
        knowledge: Knowledge,
        wal: Path,
        settings: Settings,
        clock: Callable[[], float],
        meters: Meters,
        opening_s: float,
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._knowledge = knowledge
        self._wal = wal
        self._settings = settings
        self._clock = clock
        self._meters = meters
        self._next_expiry = self._next_checkpoint = 0.0
        self._replayed_s = opening_s if wal.exists() else 0.0
        self._commits = 0
        self.folded_seq = catalogue.folded_seq(connection)
        """The catalogue's watermark."""

    @property
    def last_seq(self) -> int:
        """The seq of the last event that the tables have."""
        seq: int = self._tables.last_seq
        return seq

    def committed(self) -> None:
        """Counts a commit that a successor would find in the log."""
        self._commits += 1

    def when_idle(self) -> None:
        """Does what is due by now."""
        self.fold(max(1, self._settings.fold_events // IDLE_FOLD_SHARE))
        self._checkpoint(IDLE_RESTART_S)
        if (now := time.monotonic()) >= self._next_expiry:
            self._next_expiry = now + EXPIRY_INTERVAL_S
            self._tables.forget_event_ids(int((self._clock() - self._settings.event_id_window_s) * 1e6))

    def after_commit(self) -> None:
        """Does what can wait no longer."""
        self.committed()
        self.fold(self._settings.fold_events)
        self._checkpoint(RESTART_S)

    def at_the_end(self) -> None:
        """Leaves nothing to do for the next opening."""
        self.fold(1)
        self._next_checkpoint = 0.0
        self._checkpoint(0.0)

    def fold(self, least: int) -> None:
        """Takes the new events into the catalogue, if there are at least so many; very large ones in smaller portions."""
        last = self._tables.last_seq
        while last - self.folded_seq >= least:
            began = time.perf_counter()
            try:
                if bindings := self._knowledge.unfolded_bindings(last):
                    self._tables.fold_bindings(bindings)
                    self._knowledge.folded(bindings)
                catalogue.fold(self._connection, last)
            except duckdb.OutOfMemoryException:
                if last - self.folded_seq == 1:
                    raise
                last = self.folded_seq + (last - self.folded_seq) // 2
                least = 1
            else:
                self.folded_seq, last = last, self._tables.last_seq
                self._meters.folded(time.perf_counter() - began)

    def _checkpoint(self, most_s: float) -> None:
        """Takes the log into the file, where opening the store would otherwise take longer than this, in seconds."""
        replay_s = self._replayed_s + self._commits * REPLAY_COMMIT_S
        began = time.monotonic()
        if began < self._next_checkpoint or not self._wal.exists():
            return
        size = self._wal.stat().st_size
        if not size or replay_s + size * REPLAY_BYTE_S < most_s:
            return
        self._next_checkpoint = began + LEAST_PAUSE_S
        self._connection.execute("checkpoint")
        self._replayed_s = self._commits = 0
        self._next_checkpoint = began + max(LEAST_PAUSE_S, CHECKPOINT_SHARE * (time.monotonic() - began))
