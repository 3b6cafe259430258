"""Shared reads: all who ask for the same thing and wait get the result of one read, which began after each had asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.store.database import duckdb

T = TypeVar("T")

LATE = "The event store had no time for the question within its deadline. Try again later."
Read = Callable[[duckdb.DuckDBPyConnection], None]
Start = Callable[[Read], Future[None]]
Asked = tuple[Future[T], float | None]


class SharedReads(Generic[T]):
    """Reads by list. One read of a list runs at a time, so that questions about other lists do not wait for all of them.

    Args:
        start: starts a function with a cursor of the store in a thread, and returns the future of its end.
        read: reads with the cursor what is asked about a list.
    """

    def __init__(self, start: Start, read: Callable[[duckdb.DuckDBPyConnection, int], T]) -> None:
        self._start = start
        self._read = read
        self._changing = threading.Lock()
        self._waiting: dict[int, list[Asked[T]]] = {}
        self._running: set[int] = set()

    def ask(self, list_id: int, until: float | None) -> Future[T]:
        """Ask about a list.

        Args:
            list_id: the list.
            until: until when the answer is of use, by time.monotonic(); None: for ever. What nobody waits for is not read.
        """
        future: Future[T] = Future()
        with self._changing:
            self._waiting.setdefault(list_id, []).append((future, until))
            if list_id in self._running:
                return future
            self._running.add(list_id)
        self._begin(list_id)
        return future

    def _begin(self, list_id: int) -> None:
        asked: list[Asked[T]] = []
        found: list[T] = []

        def read(connection: duckdb.DuckDBPyConnection) -> None:
            asked.extend(self._take(list_id))
            now = time.monotonic()
            if any(until is None or now < until for _, until in asked):
                found.append(self._read(connection, list_id))

        try:
            self._start(read).add_done_callback(lambda done: self._finish(list_id, asked, found, done))
        except EventsError as error:  # the store is closed
            failed: Future[None] = Future()
            failed.set_exception(error)
            self._finish(list_id, asked, found, failed)

    def _finish(self, list_id: int, asked: list[Asked[T]], found: list[T], done: Future[None]) -> None:
        """Answer those who asked before the read, then begin the read for those who asked since."""
        if done.cancelled() or done.exception() is not None:
            asked.extend(self._take(list_id))  # also those that asked while it ran
        for future, _ in asked:
            if done.cancelled():
                future.cancel()
            elif (error := done.exception()) is not None:
                future.set_exception(error)
            elif found:
                future.set_result(found[0])
            else:
                future.set_exception(StoreUnavailable(LATE))
        with self._changing:
            if list_id not in self._waiting:
                self._running.discard(list_id)
                return
        self._begin(list_id)

    def _take(self, list_id: int) -> list[Asked[T]]:
        with self._changing:
            return self._waiting.pop(list_id, [])
