"""Reading beside the writer: short reads, long ones and those of couriers in threads of their own, each with its own cursor."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import duckdb

from falcon_events.errors import StoreClosed, StoreUnavailable
from falcon_events.model.events import CANNOT_NOW
from falcon_events.store.database.errors import DEADLY

T = TypeVar("T")
READERS = 2
ASIDES = 4
"""Threads for what takes long, so that property queries need not wait for it."""


class Readers:
    """The threads that read a store."""

    def __init__(self) -> None:
        self._short = ThreadPoolExecutor(READERS, thread_name_prefix="falcon-events-reader")
        self._long = ThreadPoolExecutor(ASIDES, thread_name_prefix="falcon-events-aside")
        self._delivering = ThreadPoolExecutor(1, thread_name_prefix="falcon-events-outbox")
        self._lock = SharedLock()
        self._mine = threading.local()
        self._cursors: list[duckdb.DuckDBPyConnection] = []

    def read(
        self,
        connection: Callable[[], duckdb.DuckDBPyConnection],
        read: Callable[[duckdb.DuckDBPyConnection], T],
        *,
        before: Callable[[], object] = lambda: None,
        aside: bool = False,
        delivering: bool = False,
    ) -> Future[T]:
        """Reads with a cursor of the connection.

        Args:
            connection: the writer's present one.
            read: what to do with the cursor.
            before: waits for what has to be there to be read.
            aside: whether it may take long.
            delivering: whether a courier asks: however many there are, nobody else waits for them.
        """

        def job() -> T:
            before()  # outside the lock, which whoever has to do something first may want alone
            with self._lock.shared():
                try:
                    return read(self._cursor(connection()))
                except (*DEADLY, duckdb.ConnectionException) as error:
                    raise StoreUnavailable(CANNOT_NOW) from error  # the writer opens the database anew

        return self._submit(self._delivering if delivering else self._long if aside else self._short, job)

    def aside(self, work: Callable[[], T]) -> Future[T]:
        """Runs something that waits for the store in a thread of its own."""
        return self._submit(self._long, work)

    def close_cursors(self) -> None:
        """Closes the cursors, once nobody reads: each of them would keep its database alive."""
        with self._lock.exclusive():
            while self._cursors:
                self._cursors.pop().close()

    def close(self) -> None:
        """Waits for the reads under way, gives up the others and closes the cursors."""
        for pool in (self._delivering, self._long, self._short):
            pool.shutdown(cancel_futures=True)
        while self._cursors:
            self._cursors.pop().close()

    def _submit(self, pool: ThreadPoolExecutor, job: Callable[[], T]) -> Future[T]:
        try:
            return pool.submit(job)
        except RuntimeError:
            raise StoreClosed from None

    def _cursor(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """This thread's cursor; a new one where the writer had to open the database anew."""
        if getattr(self._mine, "of", None) is not connection:
            self._mine.of = connection
            self._mine.cursor = connection.cursor()
            self._cursors.append(self._mine.cursor)
        cursor: duckdb.DuckDBPyConnection = self._mine.cursor
        return cursor


class SharedLock:
    """Lets any number through, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Goes in beside others; waits while somebody is in there alone, or is about to be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Goes in once all others have come out."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
