"""The writer thread: takes whatever waits, commits it as one transaction, then answers; looks after the file when idle."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb

from falcon_events.errors import EventsError, StoreClosed, StoreError, StoreUnavailable
from falcon_events.settings import Settings
from falcon_events.store import catalogue
from falcon_events.store.batch import BatchCommitter
from falcon_events.store.pending import Pending, Turnstile
from falcon_events.store.records import NewEvent, Receipt

logger = logging.getLogger(__name__)

CANNOT_NOW = "The event store cannot take the event now. Try again later."
IDLE_S = 1.0
"""How long nothing must come before the writer folds and checkpoints."""
IDLE_FOLD_EVENTS = 500
IDLE_CHECKPOINT_BYTES = 16 << 20
EXPIRY_INTERVAL_S = 600.0
# After these every further statement fails until the database is opened anew (DuckDB calls it "invalidated").
_DEADLY = (duckdb.FatalException, duckdb.InternalException)
# The disk's, the memory's or the engine's doing: a later try may succeed.
_PASSING = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.FatalException)
# Of these, the ones that fewer events at once would not mend.
_NOBODYS_FAULT = (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException)

Task = Callable[[duckdb.DuckDBPyConnection], Any]


class Waiting(Pending[Receipt]):
    """An event that waits for its commit, and then has its receipt."""

    __slots__ = ("event",)

    def __init__(self, event: NewEvent, turnstile: Turnstile) -> None:
        super().__init__(turnstile)
        self.event = event


class Writer:
    """Owns the writing connection, in a thread of its own.

    Args:
        connect: opens the store's file and returns a connection; called again when the database has failed.
        path: the store's file, for the size of the log beside it.
        settings: the limits of queue, batches and catalogue.
        clock: the current time in seconds since 1970.
    """

    def __init__(
        self, connect: Callable[[], duckdb.DuckDBPyConnection], path: Path, settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._connect = connect
        self._wal = path.with_name(path.name + ".wal")
        self._settings = settings
        self._clock = clock
        self._queue: deque[Waiting | tuple[Task, Future[Any]]] = deque()
        self._queued_bytes = 0
        self._turnstile = Turnstile()
        self._changed = threading.Condition(threading.Lock())
        self._sleeping = False
        self._closing = False
        self._open(connect())
        self.failure: str | None = None
        """Why the store takes no events at present, or None while it does."""
        self._next_expiry = 0.0
        self._thread = threading.Thread(target=self._run, name="falcon-events-writer", daemon=True)
        self._thread.start()

    def _open(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._committer = BatchCommitter(connection, self._settings.event_id_window_s, self._settings.binding_cache)
        self.folded_seq = catalogue.folded_seq(connection)

    def submit(self, events: Sequence[NewEvent]) -> list[Pending[Receipt]]:
        """Queues events for the next commit, all or none; there is a receipt for each once it is synced to disk.

        Raises:
            StoreUnavailable: the queue is full, or the store has failed.
            StoreClosed: close() was called.
        """
        with self._changed:
            if self._closing:
                raise StoreClosed
            if self.failure is not None:
                raise StoreUnavailable(CANNOT_NOW)  # the reason is for the host, in its log and in health()
            if len(self._queue) >= self._settings.queue_events or self._queued_bytes >= self._settings.queue_bytes:
                raise StoreUnavailable("The event store's queue is full. Try again later.")
            queued: list[Pending[Receipt]] = []
            for event in events:
                if self._turnstile.left == self._settings.batch_events:
                    self._turnstile = Turnstile()  # the next batch's
                waiting = Waiting(event, self._turnstile)
                self._queued_bytes += event.size
                self._queue.append(waiting)
                queued.append(waiting)
            if self._sleeping:
                self._changed.notify()
        return queued

    def run(self, task: Task) -> Future[Any]:
        """Queues a piece of work on the writing connection; the future gets what it returns or raises.

        Raises:
            StoreClosed: close() was called.
        """
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                raise StoreClosed
            self._queue.append((task, future))
            self._changed.notify()
        return future

    def waiting(self) -> int:
        """How many events and tasks wait."""
        return len(self._queue)

    def close(self) -> None:
        """Commits what waits, folds, checkpoints and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def reload_bindings(self) -> None:
        """Fills the cache of known bindings anew; to be called from within a task that deleted some."""
        self._committer.load_bindings()

    def reopen(self, between: Callable[[], object]) -> None:
        """Closes the database, does something to its file, and opens it again; to be called from within a task."""
        self._committer.close()
        self.connection.close()
        try:
            between()
        finally:
            self._open(self._connect())

    def _run(self) -> None:
        while True:
            batch, task = self._next()
            if batch:
                self._commit(batch)
                self._fold(self._settings.fold_events)
            elif task is not None:
                self._do(*task)
            elif self._closing:
                break
            else:
                self._tidy()
        if self.failure is None:
            self._fold(1)
            self._checkpoint(1)
            self._committer.close()
            self.connection.close()

    def _next(self) -> tuple[list[Waiting], tuple[Task, Future[Any]] | None]:
        """The events that wait, as many as one batch takes, or else the next task; neither after an idle while."""
        batch: list[Waiting] = []
        queue = self._queue
        with self._changed:
            if not queue and not self._closing:
                self._sleeping = True
                self._changed.wait(IDLE_S)
                self._sleeping = False
            while queue and len(batch) < self._settings.batch_events:
                first = queue[0]
                if isinstance(first, tuple):
                    if not batch:
                        queue.popleft()
                        return [], first
                    break
                queue.popleft()
                self._queued_bytes -= first.event.size
                batch.append(first)
            self._turnstile = Turnstile()  # what waits now is answered together
        return batch, None

    def _commit(self, batch: list[Waiting]) -> None:
        try:
            receipts = self._committer.commit([waiting.event for waiting in batch])
        except Exception as error:
            recovered = self._recover(error)
            if recovered is None:
                self._refuse(batch, error)
                return
            receipts = recovered
        for waiting, receipt in zip(batch, receipts, strict=True):
            waiting.set_result(receipt)

    def _refuse(self, batch: list[Waiting], error: Exception) -> None:
        """Nothing of the batch was stored: halves it until the culprit stands alone, unless nobody is to blame."""
        if len(batch) > 1 and self.failure is None and not isinstance(error, _NOBODYS_FAULT):
            middle = len(batch) // 2
            self._commit(batch[:middle])
            self._commit(batch[middle:])
            return
        logger.error(
            "%d events cannot be stored, %s first", len(batch), batch[0].event.id or "one without EventID", exc_info=error
        )
        passing = self.failure is not None or isinstance(error, _PASSING)
        for waiting in batch:
            waiting.set_exception(
                StoreUnavailable(CANNOT_NOW)
                if passing
                else EventsError("The database refuses this event; the log has the details.")
            )

    def _recover(self, error: Exception) -> list[Receipt] | None:
        """Makes the connection usable again; the batch's receipts if its commit took place after all, else None."""
        unconfirmed = self._committer.unconfirmed
        if isinstance(error, _DEADLY):
            logger.error("the database has failed and is opened anew: %s", error)
            self._reopen()
        if unconfirmed is None or self.failure is not None:
            return None
        last_seq, receipts = unconfirmed
        self._committer.unconfirmed = None
        if self._committer.stored_seq() < last_seq:
            return None
        self._committer.last_seq = last_seq
        return receipts

    def _reopen(self) -> None:
        """Opens the failed database anew; where that fails too, `failure` says why, and it is tried again when idle."""
        try:
            self._committer.close()
            self.connection.close()
            self._open(self._connect())
            self.failure = None
        except (duckdb.Error, StoreError) as error:
            self.failure = f"The event store has failed: {error}"
            logger.critical("the store cannot be opened anew: %s", error)

    def _do(self, task: Task, future: Future[Any]) -> None:
        try:
            future.set_result(task(self.connection))
        except Exception as error:
            future.set_exception(error)

    def _tidy(self) -> None:
        """Nothing waits: a good moment for what would otherwise make somebody wait."""
        if self.failure is not None:
            self._reopen()
            return
        self._fold(IDLE_FOLD_EVENTS)
        self._checkpoint(IDLE_CHECKPOINT_BYTES)
        if (now := time.monotonic()) >= self._next_expiry:
            self._next_expiry = now + EXPIRY_INTERVAL_S
            self._guarded(lambda: self._committer.forget_expired_event_ids(int(self._clock() * 1e6)))

    def _fold(self, least: int) -> None:
        last = self._committer.last_seq
        if last - self.folded_seq >= least and self._guarded(lambda: self._fold_up_to(last)):
            self.folded_seq = last

    def _fold_up_to(self, last: int) -> None:
        self._committer.fold_bindings()
        catalogue.fold(self.connection, last)

    def _checkpoint(self, least_bytes: int) -> None:
        if self._wal.exists() and self._wal.stat().st_size >= least_bytes:
            self._guarded(lambda: self.connection.execute("checkpoint"))

    def _guarded(self, work: Callable[[], object]) -> bool:
        """Does what can as well be done later; whether it was done."""
        try:
            work()
        except duckdb.Error as error:
            logger.warning("put off: %s", error)
            self._recover(error)
            return False
        return True
