"""Writer: the thread that owns the database. It applies the journal to the tables, runs tasks and does the upkeep."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from falcon_events.errors import StoreClosed, StoreError, StoreUnavailable
from falcon_events.files.paths import FileState, WatchedFile, journals_of
from falcon_events.model.events import CANNOT_NOW
from falcon_events.model.reports import FilterState
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb
from falcon_events.store.database.errors import INVALIDATING
from falcon_events.store.database.wal import put_back, report_copies
from falcon_events.store.engine.apply import OpenJournal, apply_with_room, open_journal, refused_path
from falcon_events.store.engine.backlog import Backlog
from falcon_events.store.engine.checkpoints import Checkpoints, Reserve, WithoutReads
from falcon_events.store.engine.database_log import DatabaseLog
from falcon_events.store.engine.meters import Meters
from falcon_events.store.engine.name_limits import NameLimits
from falcon_events.store.engine.recall import Recall
from falcon_events.store.engine.shared_file import SharedFile
from falcon_events.store.engine.tables import Tables
from falcon_events.store.engine.upkeep import Upkeep

logger = logging.getLogger(__name__)

Task = Callable[[duckdb.DuckDBPyConnection], Any]

FAILED = "The event store has failed: {}"
IDLE_S = 1.0
"""How long after the last event a store counts as idle, so that the writer does its upkeep, even between queries."""
PAUSE_S = 0.02
"""How long the writer waits for other work, in seconds, before it goes on with long upkeep of an idle store."""
READS_S = 5.0
"""How long a recovery waits for reads of the failed database, in seconds, before it is put off."""
RECOVERY_INTERVAL_S = 0.5
"""How long the writer waits between attempts to recover a failed store."""


class Writer:
    """Thread that owns the writing connection.

    Args:
        connect: opens the store's file and returns a connection; called again when the database has failed.
        path: the store's file; its logs are beside it.
        settings: the limits of cache and catalogue.
        clock: returns the current time in seconds since 1970.
        without_reads: holds back all reads, because an open cursor would keep a closed database alive. Its arguments: how long
            to wait for the running reads, in seconds, and whether to interrupt them.
        replaced: called when another file has replaced the store's file.
        open_journal: applies the entries of the existing journal to the tables and returns a new one.

    Raises:
        StoreError: the file cannot be opened, or its journal cannot be applied.
    """

    def __init__(
        self,
        connect: Callable[[], duckdb.DuckDBPyConnection],
        path: Path,
        settings: Settings,
        clock: Callable[[], float],
        without_reads: WithoutReads,
        *,
        replaced: Callable[[], object] = lambda: None,
        open_journal: OpenJournal = open_journal,
    ) -> None:
        self._connect = connect
        self._path = path
        self._without_reads = without_reads
        self._replaced = replaced
        self._settings = settings
        self._clock = clock
        self.meters = Meters()
        self.backlog = Backlog()
        self.intake_lock = threading.RLock()
        """Held while events are committed, and while tables change that decide what the next events store."""
        self.failure: str | None = None
        """Why the store accepts no events at present, or None if it does."""
        self._file_state, self._reserve = FileState.UNCHANGED, Reserve()
        self._journal_failed = self._closing = False
        self._next_recovery = 0.0
        self._idle_at = time.monotonic() + IDLE_S
        self._tasks: deque[tuple[Task, Future[Any]]] = deque()
        began_ns = time.time_ns()
        has_journal = any(journal.exists() for journal in journals_of(path))
        self._open()
        applied = self._tables.applied
        try:
            with self._reserve.whole():  # a checkpoint that failed now would keep the store from opening
                self.journal = open_journal(path, self.connection, self._tables, self.checkpoints.make_room)
            self.number = self._tables.applied
            """The number of the newest journal entry."""
            self.recall = Recall(self.connection, self._tables, settings)
            self.limits = NameLimits(settings, self._load_names)
            self.limits.recount(self.connection)
            self._start_upkeep()
        except BaseException as error:
            if is_unchanged := self._tables.applied == applied:
                self.connection.execute("pragma disable_checkpoint_on_shutdown")
            self._close_database()
            if is_unchanged and (logs := put_back(path, began_ns)):
                raise StoreError(f"{logs[0]} is damaged, and the journal does not have what it had: {error}") from error
            raise
        report_copies(path, began_ns, has_journal=has_journal)
        self._thread = threading.Thread(target=self._run, name="falcon-events-writer", daemon=True)
        self._thread.start()

    def run(self, task: Task) -> Future[Any]:
        """Queue a task for the writing connection. The future gets what it returns or raises.

        Raises:
            StoreClosed: close() was called.
        """
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self.backlog.changed:
            if self._closing:
                raise StoreClosed
            self._tasks.append((task, future))
            self.backlog.changed.notify_all()
        return future

    def run_exclusively(self, task: Task) -> Future[Any]:
        """Queue a task that runs once every event is in the tables, and while no events are committed. Raises as run() does."""

        def work(_: duckdb.DuckDBPyConnection) -> Any:
            with self.intake_lock:
                self._apply_all()
                return task(self.connection)

        return self.run(work)

    def empty_logs(self) -> None:
        """Remove rows that were deleted from the journal and from the database's log. Call it in a task of run_exclusively()."""
        try:
            self.journal.start(self._tables.applied)
        except StoreError as error:
            self._journal_failed = True
            self.fail(str(error))
        self._run_deferrable(self.checkpoints.empty_log)

    def wait_until_applied(self) -> None:
        """Wait until the tables have every event journaled so far. Raises StoreUnavailable if the store has failed."""
        self.backlog.wait_until_applied(lambda: self.failure is not None)

    def wait_for_room(self) -> None:
        """Wait until the backlog has room for more. Raises StoreUnavailable if it has none for a second."""
        self.backlog.wait_for_room(lambda: self.failure is not None)

    def filters(self) -> dict[str, FilterState]:
        """Return the state of the filters, by table."""
        return {"event_ids": self._tables.event_ids.state(), "bindings": self._tables.bindings.state()}

    def fail_journal(self, error: Exception, reason: str = "the journal cannot be written") -> None:
        """Stop journaling until the journal files have been created again, because their content is unknown."""
        self._journal_failed = True
        self.fail(f"{reason}: {getattr(error, 'strerror', None) or error}")

    def close(self) -> None:
        """Apply the journal, fold, checkpoint and end the thread. The intake must be closed before."""
        with self.backlog.changed:
            self._closing = True
            self.backlog.changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def reopen(self, between: Callable[[], object], wait_s: float, *, interrupt: bool = False) -> None:
        """Close the database, call `between`, and open the database again.

        Call it in the writer thread, holding intake_lock. If the database cannot be opened again, the store fails until it can.

        Args:
            between: called while the database is closed. What it raises is raised once the database is open again.
            wait_s: how long to wait for the running reads to end, in seconds.
            interrupt: whether to interrupt them.

        Raises:
            TimeoutError: the reads did not end in time. Nothing was closed.
            duckdb.Error, StoreError, OSError: the database cannot be opened again.
        """
        with self._without_reads(wait_s, interrupt):
            self.recall.close()
            self._close_database()
            try:
                between()
                self._file = WatchedFile(self._path)  # `between` may have replaced the file, which is then the store's
            finally:
                try:
                    self._open()
                    self.recall.reconnect(self.connection, self._tables)
                    self._start_upkeep()
                except (duckdb.Error, StoreError, OSError) as error:
                    self.fail(str(error))
                    raise

    def _load_names(self, list_id: int) -> list[tuple[str, Iterable[str]]]:
        """Return the property names of a list by event type, those of journaled events included, for the intake thread."""
        journaled = self.backlog.property_names(list_id)  # first: an event leaves it only after it is in the tables
        return [*journaled.items(), *self.recall.read_names(list_id)]

    def check_file(self) -> bool:
        """Return whether the path still leads to the open file. If not, the store fails, so that nothing more is written."""
        state = self._file.check()
        if state is FileState.UNCHANGED:
            return True
        self.failure = self._file.describe(state)
        if state is not self._file_state:
            self._file_state = state
            logger.critical("%s", self.failure)
            if state is FileState.REPLACED:
                self._replaced()
        return False

    def _check_logs(self) -> bool:
        """Return whether the logs are in their places. If not, the store fails, and recovers with new ones."""
        try:
            self.journal.check()
        except OSError as error:
            self.fail_journal(error)
            return False
        try:
            self._log.secure(self.connection)
        except (OSError, duckdb.Error) as error:
            self.fail_journal(error, "the database's log cannot be used")
        return self.failure is None

    def _open(self) -> None:
        began = time.monotonic()
        self.connection = self._connect()
        opening_s = time.monotonic() - began
        self._file = WatchedFile(self._path)
        shared_file = self.shared_file = SharedFile(self._path, self.connection, self._settings)
        self._log = DatabaseLog(self._path)
        self._tables: Tables = Tables(self.connection, (self._settings.filter_mb << 20) // 2)
        self.checkpoints: Checkpoints = Checkpoints(
            self.connection, self._tables, self._path, self._settings, opening_s, shared_file, self._without_reads, self._reserve
        )

    def _start_upkeep(self) -> None:
        self.upkeep = Upkeep(
            self.connection, self._tables, self.recall, self.limits, self._settings, self._clock, self.meters, self.checkpoints
        )

    def _close_database(self) -> None:
        self._tables.close()
        self.connection.close()
        self.shared_file.close()

    def _run(self) -> None:
        while True:
            task = self._wait_for_task()
            if self.failure is not None:
                self._recover()
            elif self.backlog.is_due():
                self._apply()
            elif task is None and not self._closing:
                more = self.check_file() and self._check_logs() and self._run_deferrable(self.upkeep.run_when_idle)
                self._idle_at = time.monotonic() + (PAUSE_S if more else IDLE_S)
            if task is not None:
                self._run_task(*task)
            elif self._closing:
                break
        self._finish()

    def _wait_for_task(self) -> tuple[Task, Future[Any]] | None:
        """Return the next task, or None if other work is due first: the backlog's, a recovery, or the upkeep of an idle store."""
        with self.backlog.changed:
            while not self._closing:
                left_s = (self._idle_at if self.failure is None else self._next_recovery) - time.monotonic()
                due_s = None if self.failure is not None else self.backlog.due_s()
                if self._tasks and (self.failure is not None or left_s > 0):
                    break
                if left_s <= 0 or due_s == 0:
                    return None
                self.backlog.changed.wait(left_s if due_s is None else min(due_s, left_s))
            return self._tasks.popleft() if self._tasks else None

    def _finish(self) -> None:
        for _ in range(3):  # when the memory runs out, the next try opens the database again
            self._next_recovery = 0.0
            if self.failure is not None:
                self._recover()
            if self.failure is None:
                self._run_deferrable(self._apply_all)
        if self.failure is None:
            self._run_deferrable(self.upkeep.run_at_close)
            self.journal.close()
            self.recall.close()
            self._close_database()

    def _apply(self) -> None:
        """Apply the next entries of the backlog to the tables."""
        if not self.check_file():
            return
        began = time.perf_counter()
        try:
            apply_with_room(self._tables, self.backlog.peek(), refused_path(self._path), self.checkpoints.make_room)
            self.meters.observe_apply(time.perf_counter() - began)
            self._release_applied()
        except (duckdb.Error, OSError) as error:
            self.fail(str(error))
            return
        self._run_deferrable(self.upkeep.run_after_commit)
        self._idle_at = time.monotonic() + IDLE_S

    def _release_applied(self) -> None:
        """Release the entries that the tables have now."""
        self._log.secure(self.connection, committed=True)
        self.journal.mark_applied(self._tables.applied)
        if entries := self.backlog.remove_applied(self._tables.applied):
            self.recall.forget_applied(entries)

    def _apply_all(self) -> None:
        while self.failure is None and self.backlog.peek():
            self._apply()
        if self.failure is not None:
            raise StoreUnavailable(CANNOT_NOW)

    def fail(self, reason: str) -> None:
        """Refuse events until the store has recovered. The writer tries that at once, and then every RECOVERY_INTERVAL_S."""
        self.failure = FAILED.format(reason)
        logger.error("%s", self.failure)
        self._next_recovery = 0.0
        with self.backlog.changed:
            self.backlog.changed.notify_all()

    def _recover(self) -> None:
        """Try to recover the failed store, at most once per RECOVERY_INTERVAL_S."""
        if time.monotonic() < self._next_recovery:
            return
        self._next_recovery = time.monotonic() + RECOVERY_INTERVAL_S
        if not self.check_file():
            return
        if self._file_state is not FileState.UNCHANGED:
            logger.warning("%s is back in its place", self._path)
            self._file_state = FileState.UNCHANGED
        with self.intake_lock:
            try:
                self._recover_database()
                if self._journal_failed:
                    self._tables.skip_to(self.number)  # an entry whose write failed was not acknowledged: never apply it
                    self.journal.start(self._tables.applied)
                    self._journal_failed = False
                self.failure = None
                logger.warning("The store has recovered and accepts events again")
            except (duckdb.Error, StoreError, OSError) as error:
                self.failure = FAILED.format(error)

    def _recover_database(self) -> None:
        """Apply the backlog. If the database cannot be read, or has no memory for it, open it again first."""
        try:
            self._tables.end_transaction()
            self._tables.refresh_applied()
        except duckdb.Error as error:
            self._open_again(error)
        try:
            self._apply_backlog()
        except (duckdb.OutOfMemoryException, *INVALIDATING) as error:
            self._open_again(error)
            self._apply_backlog()

    def _open_again(self, error: duckdb.Error) -> None:
        logger.error("The database has failed and is opened again: %s", error)
        self.reopen(lambda: None, READS_S, interrupt=True)

    def _apply_backlog(self) -> None:
        self._release_applied()
        while entries := self.backlog.peek():
            apply_with_room(self._tables, entries, refused_path(self._path), self.checkpoints.make_room)
            self._release_applied()

    def _run_task(self, task: Task, future: Future[Any]) -> None:
        try:
            result = task(self.connection)
            self._log.secure(self.connection, committed=True)
            future.set_result(result)
        except Exception as error:
            self._tables.end_transaction()
            future.set_exception(error)

    def _run_deferrable(self, work: Callable[[], object]) -> object:
        """Run work that is tried again later if it fails now, and return its result; None if it has failed."""
        try:
            return work()
        except (duckdb.Error, StoreUnavailable) as error:
            self._tables.end_transaction()
            logger.warning("Work on the store was put off: %s", error)
            if isinstance(error, INVALIDATING):
                self.fail(str(error))
        return None
