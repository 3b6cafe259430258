"""In-memory store for tests: the same tables and statements without a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from falcon_events.errors import EventsError
from falcon_events.model.reports import Sizes
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb
from falcon_events.store.database.connect import MEMORY, open_memory
from falcon_events.store.engine.apply import MakeRoom
from falcon_events.store.engine.journal import MARK_BYTES, Journal
from falcon_events.store.engine.tables import Tables
from falcon_events.store.engine.writer import Writer
from falcon_events.store.queries.arrow import check_pyarrow, read_arrow
from falcon_events.store.queries.sql import read_table, run_select
from falcon_events.store.sql_process import limits_of
from falcon_events.store.store import Store


class MemoryStore(Store):
    """Store that keeps its events in memory and loses them when it closes.

    Args:
        settings: the limits of memory, queue and batches.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        super().__init__(MEMORY, settings, clock=clock)
        self.path = Path(MEMORY)
        self._locked = True  # no file, so no other process can hold it

    def _select(self, query: str, *, arrow: bool) -> Future[bytes]:
        def run(connection: duckdb.DuckDBPyConnection) -> bytes:
            if arrow:
                check_pyarrow(sys.executable)
            return run_select(connection, query, limits_of(self._settings), read_arrow if arrow else read_table)

        return self._read(run, slow=True)

    def compact(self) -> Future[Sizes]:
        """Raise EventsError, because a store in memory uses no disk space."""
        raise EventsError("A store in memory has no file to compact. Compact a store that is in a file.")

    def _start(self) -> Writer:
        return Writer(
            self._connect,
            self.path,
            self._settings,
            self._clock,
            self._readers.without_reads,
            open_journal=_open_null_journal,
        )

    def _connect(self) -> duckdb.DuckDBPyConnection:
        return open_memory(self._settings)


class _NullJournal(Journal):
    """Journal that writes nothing: the events are lost with the process in any case."""

    def read(self, after: int) -> list[bytes]:
        return []

    def start(self, applied: int) -> None:
        pass

    def check(self) -> None:
        pass

    def append(self, number: int, entry: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def _open_null_journal(path: Path, connection: duckdb.DuckDBPyConnection, tables: Tables, make_room: MakeRoom) -> Journal:
    return _NullJournal(path, bytes(MARK_BYTES))
