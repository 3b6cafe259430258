"""The writer thread: takes whatever waits, commits it as one transaction, then answers; looks after the file when idle."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb

from falcon_events.errors import EventsError, StoreError, StoreUnavailable
from falcon_events.settings import Settings
from falcon_events.store.batch import BatchCommitter
from falcon_events.store.faults import DEADLY, NOBODYS_FAULT, PASSING
from falcon_events.store.files import Watched, log_of
from falcon_events.store.meters import Meters
from falcon_events.store.pending import Pending
from falcon_events.store.queue import Queue, Task, Waiting
from falcon_events.store.records import NewEvent, Receipt
from falcon_events.store.upkeep import Upkeep

logger = logging.getLogger(__name__)

CANNOT_NOW = "The event store cannot take the event now. Try again later."
IDLE_S = 1.0
"""How long nothing must come before the writer looks after the file."""
MEND_S = 0.5
"""How long to wait before a failed store is tried again, in seconds."""


class Writer:
    """Owns the writing connection, in a thread of its own.

    Args:
        connect: opens the store's file and returns a connection; called again when the database has failed.
        path: the store's file, for the size of the log beside it.
        settings: the limits of queue, batches and catalogue.
        clock: the current time in seconds since 1970.
        replaced: called when another file stands in the place of the store's.
    """

    def __init__(
        self,
        connect: Callable[[], duckdb.DuckDBPyConnection],
        path: Path,
        settings: Settings,
        clock: Callable[[], float],
        replaced: Callable[[], object] = lambda: None,
    ) -> None:
        self._connect = connect
        self._path = path
        self._wal = log_of(path)
        self._replaced = replaced
        self._settings = settings
        self._clock = clock
        self._queue = Queue(settings)
        self.meters = Meters()
        self._open()
        self.failure: str | None = None
        """Why the store takes no events at present, or None while it does."""
        self._next_mend = 0.0
        self._misplaced = False
        self._thread = threading.Thread(target=self._run, name="falcon-events-writer", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        began = time.monotonic()
        self.connection = connection = self._connect()
        opening_s = time.monotonic() - began
        self._file = Watched(self._path)
        self._committer = BatchCommitter(connection, self._settings.event_id_window_s, self._settings.binding_cache)
        self._upkeep = Upkeep(connection, self._committer, self._wal, self._settings, self._clock, self.meters, opening_s)

    def submit(self, events: Sequence[NewEvent]) -> list[Pending[Receipt]]:
        """Queues events for the next commit, all or none; there is a receipt for each once it is synced to disk.

        Raises:
            StoreUnavailable: the queue is full, or the store has failed.
            StoreClosed: close() was called.
        """
        if self.failure is not None:
            raise StoreUnavailable(CANNOT_NOW)  # the reason is for the host, in its log and in health()
        return self._queue.put(events)

    def run(self, task: Task) -> Future[Any]:
        """Queues a piece of work on the writing connection; the future gets what it returns or raises.

        Raises:
            StoreClosed: close() was called.
        """
        return self._queue.put_task(task)

    @property
    def folded_seq(self) -> int:
        """The catalogue's watermark."""
        return self._upkeep.folded_seq

    def waiting(self) -> int:
        """How many events and tasks wait."""
        return len(self._queue)

    def is_full(self) -> bool:
        """Whether the next event would be refused."""
        return self._queue.is_full()

    def close(self) -> None:
        """Commits what waits, folds, checkpoints and ends the thread."""
        self._queue.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def reload_bindings(self) -> None:
        """Fills the cache of known bindings anew; to be called from within a task that deleted some."""
        self._committer.load_bindings()

    def fold(self) -> None:
        """Takes every event into the catalogue; to be called from within a task."""
        self._upkeep.fold(1)

    def reopen(self, between: Callable[[], object]) -> None:
        """Closes the database, does something to its file, and opens it again; to be called from within a task."""
        self._committer.close()
        self.connection.close()
        try:
            between()
        finally:
            self._open()

    def _run(self) -> None:
        while True:
            if self.failure is not None:
                self._mend()
            batch, task = self._queue.next(IDLE_S)
            if batch:
                self._commit(batch)
                self._guarded(self._upkeep.after_commit)
            elif task is not None:
                self._do(*task)
            elif self._queue.closed:
                break
            elif self.failure is None:
                self._tidy()
        if self.failure is None:
            self._guarded(self._upkeep.at_the_end)
            self._committer.close()
            self.connection.close()

    def _stands(self) -> bool:
        """Whether the file still stands under its name; where not, nothing more is written to it."""
        trouble = self._file.trouble()
        if trouble is None:
            return True
        if self.failure != trouble:
            self.failure = trouble
            self._misplaced = True
            logger.critical("%s", trouble)
            if self._file.replaced:
                self._replaced()
        return False

    def _mend(self) -> None:
        """Tries again what has failed, every now and then, however many wait."""
        if time.monotonic() < self._next_mend:
            return
        self._next_mend = time.monotonic() + MEND_S
        if not self._misplaced:
            self._reopen()
        elif self._stands():
            logger.warning("%s is back", self._path)
            self._misplaced = False
            self.failure = None

    def _commit(self, batch: list[Waiting]) -> None:
        try:
            if not self._stands():
                raise StoreUnavailable(CANNOT_NOW)
            began = time.perf_counter()
            events = [waiting.event for waiting in batch]
            receipts = self._committer.commit(events)
            self.meters.committed(receipts, sum(event.dropped for event in events), time.perf_counter() - began)
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
        if len(batch) > 1 and self.failure is None and not isinstance(error, NOBODYS_FAULT):
            middle = len(batch) // 2
            self._commit(batch[:middle])
            self._commit(batch[middle:])
            return
        logger.error(
            "%d events cannot be stored, %s first", len(batch), batch[0].event.id or "one without EventID", exc_info=error
        )
        self.meters.failed(len(batch))
        passing = self.failure is not None or isinstance(error, PASSING)
        for waiting in batch:
            waiting.set_exception(
                StoreUnavailable(CANNOT_NOW)
                if passing
                else EventsError("The database refuses this event; the log has the details.")
            )

    def _recover(self, error: Exception) -> list[Receipt] | None:
        """Makes the connection usable again; the batch's receipts if its commit took place after all, else None."""
        unconfirmed = self._committer.unconfirmed
        if isinstance(error, DEADLY):
            logger.error("the database has failed and is opened anew: %s", error)
            self._reopen()
        if unconfirmed is None or self.failure is not None:
            return None
        last_seq, receipts = unconfirmed
        self._committer.unconfirmed = None
        try:
            stored = self._committer.stored_seq()
        except duckdb.Error as again:
            logger.error("the database cannot be read and is opened anew: %s", again)
            self._reopen()
            if self.failure is not None:
                return None
            stored = self._committer.last_seq
        if stored < last_seq:
            return None
        self._committer.last_seq = last_seq
        return receipts

    def _reopen(self) -> None:
        """Opens the failed database anew; where that fails too, `failure` says why, and it is tried again when idle."""
        try:
            self._committer.close()
            self.connection.close()
            self._open()
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
        if self._stands():
            self._guarded(self._upkeep.when_idle)

    def _guarded(self, work: Callable[[], object]) -> None:
        """Does what can as well be done later."""
        try:
            work()
        except duckdb.Error as error:
            logger.warning("put off: %s", error)
            self._recover(error)
