"""A store without a file, for tests: the same tables and statements, which end with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import duckdb

from falcon_events.errors import EventsError
from falcon_events.model.reports import Sizes
from falcon_events.settings import Settings
from falcon_events.store.database.connect import MEMORY, open_memory
from falcon_events.store.engine.journal import MARK_BYTES, Journal
from falcon_events.store.engine.tables import Tables
from falcon_events.store.engine.writer import Writer
from falcon_events.store.store import Store


class MemoryStore(Store):
    """Events in memory.

    Args:
        settings: limits of memory, queue and batches.
        clock: the current time in seconds since 1970.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        super().__init__(MEMORY, settings, clock=clock)
        self._locked = True  # there is no file that another process might have

    def compact(self) -> Future[Sizes]:
        """Raises EventsError: there is no disk space to give back."""
        raise EventsError("A store in memory has no file to compact.")

    def _start(self) -> Writer:
        return Writer(self._connect, self.path, self._settings, self._clock, take_in=_no_journal)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        self._readers.close_cursors()
        return open_memory(self._settings)


class _NoJournal(Journal):
    """What is acknowledged is gone with the process anyway."""

    def read(self, after: int) -> list[bytes]:
        return []

    def start(self) -> None:
        pass

    def append(self, number: int, entry: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def _no_journal(path: Path, connection: duckdb.DuckDBPyConnection, tables: Tables) -> Journal:
    return _NoJournal(path, bytes(MARK_BYTES))
