"""Checkpoints of an open database: when the log is written into the file, and what they wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from falcon_events.files.paths import log_of
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb
from falcon_events.store.database.errors import INVALIDATING
from falcon_events.store.engine.shared_file import SharedFile
from falcon_events.store.engine.tables import Tables

WithoutReads = Callable[[float, bool], AbstractContextManager[None]]

REPLAY_COMMIT_S = 50e-6
REPLAY_BYTE_S = 5e-9
"""How long opening the store takes for each commit and each byte in its log, measured with DuckDB 2.0 and 1.5."""
RESTART_S = 0.5
IDLE_RESTART_S = 0.1
"""A checkpoint is due when the next process would need longer than this to replay the log: under load, and when idle."""
CHECKPOINT_SHARE = 20
"""Checkpoints take at most one twentieth of the time, so that those of a large file do not run back to back."""
MIN_PAUSE_S = 2.0
MOST_UPDATED = 1_000_000
MOST_UPDATED_BYTES = 64 << 20
"""How many values, and bytes of the log, are filled between two checkpoints. Until then, DuckDB keeps the values in memory."""
READS_S = 1.0
"""How long a checkpoint waits for the running reads where memory is scarce, in seconds."""
MORE_MEMORY, MOST_MEMORY, GROWTH = 1.5, 24.0, 4
"""How much of the memory limit a checkpoint may use where memory is scarce: at first, at most, and how it grows if it fails."""
_SET_LIMIT = "set memory_limit = '{:.0f}MB'"
MEASURE_HELD = "select coalesce(sum(memory_usage_bytes), 0)::bigint from duckdb_memory() where tag != 'BASE_TABLE'"
"""The memory that the database holds, in bytes, without the blocks of the file, which it can read again."""


class Reserve:
    """How much of the memory limit a checkpoint may use where memory is scarce. It stays when the database is opened again.

    A checkpoint takes the properties of up to 2,048 events at once, so that those of large events need more than any limit.
    """

    def __init__(self) -> None:
        self.share = MORE_MEMORY

    def grow(self) -> None:
        """Note that it did not suffice."""
        self.share = min(GROWTH * self.share, MOST_MEMORY)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Let it be the most meanwhile."""
        before, self.share = self.share, MOST_MEMORY
        try:
            yield
        finally:
            self.share = before


class Checkpoints:
    """Checkpoints the log of an open database when that is due. For the writer thread only.

    A checkpoint that runs out of memory fails the whole database, while a read that does so fails alone. So, when new rows and
    running statements hold more than half of the memory, the reads end first, and others begin after the checkpoint. It frees
    the memory of the new rows. So it is not put off for reads that take long, and may use more memory than the limit.

    Args:
        connection: the writing connection.
        tables: know whether filters are being built.
        path: the store's file; the database's log is beside it.
        settings: the memory limit.
        opening_s: how long it took to open the database, including its log.
        shared_file: knows whether a checkpoint must wait for a process that reads the file.
        without_reads: holds back all reads; see Writer.
        reserve: how much memory a checkpoint may use.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: Tables,
        path: Path,
        settings: Settings,
        opening_s: float,
        shared_file: SharedFile,
        without_reads: WithoutReads,
        reserve: Reserve,
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._wal = log_of(path)
        self._memory_mb = settings.memory_limit_mb
        self._has_more_memory = False
        self._shared_file = shared_file
        self._without_reads = without_reads
        self._reserve = reserve
        self._next = 0.0
        self._replayed_s = opening_s if self._wal.exists() else 0.0
        self._commits = 0
        self._updated = 0
        self._emptying = False

    def count_commit(self, updated: int = 0) -> None:
        """Count a commit, which lengthens the log that the next process would replay, and the values that it updated."""
        self._commits += 1
        self._updated += updated

    def has_updated_much(self) -> bool:
        """Whether so many values were updated since the last checkpoint that no more should be before the next one."""
        if self._updated >= MOST_UPDATED:
            return True
        return self._updated > 0 and self._wal.exists() and self._wal.stat().st_size >= MOST_UPDATED_BYTES

    def empty_log(self) -> None:
        """Checkpoint, so that the log does not keep rows that were deleted. If it cannot be done now, it is done later."""
        self._emptying = True
        self.run_when_due(0.0)

    def make_room(self, now: bool = False) -> None:
        """Checkpoint if memory is scarce and new rows hold a part of it, so that more fit. `now`: however much they hold."""
        if not self._can_run():
            return
        if now or (self._wal.stat().st_size > self._memory_mb * 1_000_000 // 4 and self._is_memory_scarce()):
            self._run()

    def run_at_close(self) -> None:
        """Checkpoint, if there is a log."""
        self._next = 0.0
        self.run_when_due(0.0)

    def run_when_due(self, most_s: float) -> None:
        """Checkpoint the log if replaying it would take longer than `most_s` seconds."""
        if self._has_more_memory:
            self._restore_limit()
        if (time.monotonic() < self._next and not self._emptying) or not self._can_run():
            return
        replay_s = self._replayed_s + self._commits * REPLAY_COMMIT_S + self._wal.stat().st_size * REPLAY_BYTE_S
        if self._emptying or replay_s >= most_s:
            self._run()

    def _can_run(self) -> bool:
        if self._shared_file.in_use or self._tables.reads or not self._wal.exists():
            return False
        return self._wal.stat().st_size > 0

    def _run(self) -> None:
        began = time.monotonic()
        self._next = began + MIN_PAUSE_S
        is_scarce = self._is_memory_scarce()
        try:
            with ExitStack() as room:
                if is_scarce:
                    with suppress(TimeoutError):
                        room.enter_context(self._without_reads(READS_S, False))
                    self._connection.execute(_SET_LIMIT.format(self._reserve.share * self._memory_mb))
                    self._has_more_memory = True
                    room.callback(self._restore_limit)
                began = time.monotonic()
                self._connection.execute("checkpoint")
        except duckdb.TransactionException:  # a question still reads a row that was changed: after it, the next try succeeds
            return
        except INVALIDATING:
            if is_scarce:
                self._reserve.grow()
            raise
        self._emptying = False
        self._updated = 0
        self._replayed_s = self._commits = 0
        self._next = began + max(MIN_PAUSE_S, CHECKPOINT_SHARE * (time.monotonic() - began))

    def _is_memory_scarce(self) -> bool:
        ((held,),) = self._connection.execute(MEASURE_HELD).fetchall()
        return bool(held > self._memory_mb * 1_000_000 // 2)

    def _restore_limit(self) -> None:
        with suppress(duckdb.Error):  # more than the limit is in use: the next call tries again
            self._connection.execute(_SET_LIMIT.format(self._memory_mb))
            self._has_more_memory = False
