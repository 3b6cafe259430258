"""Readers: threads for short, slow and webhook reads, each with a cursor of its own beside the writer's connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import duckdb

from falcon_events.errors import StoreClosed, StoreUnavailable
from falcon_events.model.events import CANNOT_NOW
from falcon_events.store.database.errors import INVALIDATING

T = TypeVar("T")
SHORT_READERS = 2
SLOW_READERS = 4
"""The number of threads for slow work, so that property queries do not wait for it."""


class Readers:
    """The threads that read a store."""

    def __init__(self) -> None:
        self._short = ThreadPoolExecutor(SHORT_READERS, thread_name_prefix="falcon-events-reader")
        self._slow = ThreadPoolExecutor(SLOW_READERS, thread_name_prefix="falcon-events-slow-reader")
        self._webhooks = ThreadPoolExecutor(1, thread_name_prefix="falcon-events-outbox")
        self._lock = SharedLock()
        self._local = threading.local()
        self._cursors: list[duckdb.DuckDBPyConnection] = []

    def read(
        self,
        connection: Callable[[], duckdb.DuckDBPyConnection],
        read: Callable[[duckdb.DuckDBPyConnection], T],
        *,
        before: Callable[[], object] = lambda: None,
        slow: bool = False,
        for_webhooks: bool = False,
    ) -> Future[T]:
        """Run a read with a cursor of the connection.

        Args:
            connection: returns the writer's current connection.
            read: reads with the cursor and returns the result.
            before: called first, to wait for the data to be read.
            slow: whether the read may take long.
            for_webhooks: whether a webhook worker reads. These reads have a thread of their own, so that no other read waits
                for them.
        """

        def job() -> T:
            before()  # outside the lock: the work that it waits for may need the exclusive lock
            with self._lock.shared():
                try:
                    return read(self._cursor(connection()))
                except (*INVALIDATING, duckdb.ConnectionException) as error:
                    raise StoreUnavailable(CANNOT_NOW) from error  # until the writer has opened the database again

        return self._submit(self._webhooks if for_webhooks else self._slow if slow else self._short, job)

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Run a function without a cursor in one of the threads for slow reads."""
        return self._submit(self._slow, work)

    def close_cursors(self) -> None:
        """Close all cursors once no read is running, because an open cursor keeps its database alive."""
        with self._lock.exclusive():
            while self._cursors:
                self._cursors.pop().close()

    def close(self) -> None:
        """Wait for the running reads, cancel the queued ones and close the cursors."""
        for pool in (self._webhooks, self._slow, self._short):
            pool.shutdown(cancel_futures=True)
        while self._cursors:
            self._cursors.pop().close()

    def _submit(self, pool: ThreadPoolExecutor, job: Callable[[], T]) -> Future[T]:
        try:
            return pool.submit(job)
        except RuntimeError:
            raise StoreClosed from None

    def _cursor(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Return this thread's cursor, creating one if the writer has opened the database again."""
        if getattr(self._local, "connection", None) is not connection:
            self._local.connection = connection
            self._local.cursor = connection.cursor()
            self._cursors.append(self._local.cursor)
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor


class SharedLock:
    """Lock that any number of threads share or one thread holds exclusively."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._exclusive = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with others. Waits while a thread holds or wants it exclusively."""
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone, once all others have released it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive)
            self._exclusive = True
            self._changed.wait_for(lambda: self._sharing == 0)
        try:
            yield
        finally:
            with self._changed:
                self._exclusive = False
                self._changed.notify_all()
