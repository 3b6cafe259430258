"""Readers: threads for short, slow and webhook reads, beside the writer's connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from falcon_events.errors import EventsError, StoreClosed, StoreUnavailable
from falcon_events.model.events import CANNOT_NOW
from falcon_events.store.database import duckdb
from falcon_events.store.database.errors import INVALIDATING
from falcon_events.store.engine.open_read import OpenRead, ReadInterrupted
from falcon_events.store.engine.question_queue import QuestionQueue, Waited
from falcon_events.store.engine.shared_lock import SharedLock

T = TypeVar("T")
SHORT_READERS = 2
SLOW_READERS = 4
"""The number of threads for slow work, so that property queries do not wait for it."""
WAITING_READERS = 2
"""The number of threads for short reads that wait for the tables first, which the writer may be busy with for seconds."""
TASKS = 4
"""The number of threads for functions that wait for changes, such as the revocation of a key."""


NO_MEMORY = (
    "This needs more memory than the database may use (setting memory_limit_mb). Raise the setting for all processes that use the"
    " store, and restart them."
)


class Readers:
    """The threads that read a store."""

    def __init__(self, query_slots: int = 2) -> None:
        self._questions = QuestionQueue(query_slots)
        self._short = ThreadPoolExecutor(SHORT_READERS, thread_name_prefix="falcon-events-reader")
        self._waiting = ThreadPoolExecutor(WAITING_READERS, thread_name_prefix="falcon-events-waiting-reader")
        self._tasks = ThreadPoolExecutor(TASKS, thread_name_prefix="falcon-events-task")
        self._slow = ThreadPoolExecutor(SLOW_READERS, thread_name_prefix="falcon-events-slow-reader")
        self._webhooks = ThreadPoolExecutor(1, thread_name_prefix="falcon-events-outbox")
        self._compaction = ThreadPoolExecutor(1, thread_name_prefix="falcon-events-compaction")
        self._lock = SharedLock()
        self._open_reads: dict[Future[Any], OpenRead] = {}

    def read(
        self,
        connection: Callable[[], duckdb.DuckDBPyConnection],
        read: Callable[[duckdb.DuckDBPyConnection], T],
        *,
        before: Callable[[], object] | None = None,
        slow: bool = False,
        for_webhooks: bool = False,
    ) -> Future[T]:
        """Run a read with a cursor of the connection.

        Args:
            connection: returns the writer's current connection.
            read: reads with the cursor and returns the result.
            before: called first, to wait for the data to be read. Reads that wait keep no other short read waiting.
            slow: whether the read may take long.
            for_webhooks: whether a webhook worker reads. These reads have a thread of their own, so that no other read waits
                for them.
        """

        def job(state: OpenRead) -> T:
            return self._read(state, connection, read, before, slow=slow)

        short = self._short if before is None else self._waiting
        return self._start(self._webhooks if for_webhooks else self._slow if slow else short, job)

    def query(
        self,
        connection: Callable[[], duckdb.DuckDBPyConnection],
        read: Callable[[duckdb.DuckDBPyConnection], T],
        *,
        before: Callable[[], object],
        waits: Waited,
        then: Callable[[T], Future[T] | None] | None = None,
    ) -> Future[T]:
        """Answer a question as a slow read, in one of the threads for questions.

        Args:
            connection: returns the writer's current connection.
            read: reads with the cursor and returns the result.
            before: called first, to wait for the data to be read.
            waits: how the question waits for its turn.
            then: called with the result in the same thread, which it must not block. The question's result is that of the future
                that it returns, if it returns one.
        """
        return self._questions.submit(lambda state: self._read(state, connection, read, before, slow=True), waits, then)

    def run_beside(self, work: Callable[[OpenRead], T], *, before: Callable[[], object]) -> Future[T]:
        """Run a slow read that uses no cursor, such as one in another process. It can be interrupted like other reads."""

        def job(state: OpenRead) -> T:
            before()
            with self._lock.shared(slow=True):
                return work(state)

        return self._start(self._slow, job)

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Run a function that waits for a change, and needs no cursor."""
        return self._submit(self._tasks, work)

    def run_compaction(self, work: Callable[[], T]) -> Future[T]:
        """Run a function in a thread that waits for slow reads, and so cannot be one of theirs."""
        return self._submit(self._compaction, work)

    def abandon(self, future: Future[Any]) -> None:
        """Interrupt a read until it ends, because nobody waits for its result any more."""
        if self._questions.abandon(future):
            return
        if (found := self._open_reads.get(future)) is not None and not future.cancel():
            threading.Thread(target=found.interrupt_until_done, name="falcon-events-interrupt", daemon=True).start()

    @contextlib.contextmanager
    def without_slow_reads(self, wait_s: float) -> Iterator[None]:
        """Hold back slow reads. Raises TimeoutError if the running ones do not end within `wait_s` seconds."""
        with self._lock.without_slow(wait_s):
            yield

    @contextlib.contextmanager
    def without_reads(self, wait_s: float, interrupt: bool) -> Iterator[None]:
        """Hold back all reads, because the cursor of each keeps its database alive.

        Args:
            wait_s: how long to wait for the running reads, in seconds.
            interrupt: whether to interrupt them.

        Raises:
            TimeoutError: the running reads did not end within `wait_s` seconds.
        """
        if interrupt:
            for found in [*self._open_reads.values(), *self._questions.list_running()]:
                found.interrupt()
        with self._lock.exclusive(wait_s):
            yield

    def close(self) -> None:
        """Complete a compaction, interrupt the slow reads, cancel the queued ones, and wait for the others."""
        self._compaction.shutdown(cancel_futures=True)
        pools = self._webhooks, self._slow, self._waiting, self._short, self._tasks
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        self._questions.close()
        for found in list(self._open_reads.values()):
            if found.slow:
                found.interrupt_until_done()
        for pool in pools:
            pool.shutdown()

    def _read(
        self,
        state: OpenRead,
        connection: Callable[[], duckdb.DuckDBPyConnection],
        read: Callable[[duckdb.DuckDBPyConnection], T],
        before: Callable[[], object] | None,
        *,
        slow: bool,
    ) -> T:
        if before is not None:
            before()  # outside the lock: the work that it waits for may need the exclusive lock
        with self._lock.shared(slow=slow):
            try:
                # A cursor of its own: an interrupt may end even a rollback, and the next read must find no transaction open.
                with contextlib.closing(connection().cursor()) as cursor, state.running(cursor.interrupt):
                    return read(cursor)
            except duckdb.InterruptException:
                raise ReadInterrupted from None
            except duckdb.OutOfMemoryException:
                raise EventsError(NO_MEMORY) from None
            except (*INVALIDATING, duckdb.ConnectionException) as error:
                raise StoreUnavailable(CANNOT_NOW) from error  # until the writer has opened the database again

    def _start(self, pool: ThreadPoolExecutor, job: Callable[[OpenRead], T]) -> Future[T]:
        state = OpenRead(slow=pool is self._slow)
        future = self._submit(pool, lambda: job(state))
        self._open_reads[future] = state
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Any]) -> None:
        if (state := self._open_reads.pop(future, None)) is not None:
            state.done.set()

    def _submit(self, pool: ThreadPoolExecutor, job: Callable[[], T]) -> Future[T]:
        try:
            return pool.submit(job)
        except RuntimeError:
            raise StoreClosed from None
