"""The writer: owns the database in a thread of its own; takes the journal into the tables, does tasks, looks after the file."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb

from falcon_events.errors import StoreClosed, StoreError, StoreUnavailable
from falcon_events.files.paths import Watched, log_of
from falcon_events.model.events import CANNOT_NOW
from falcon_events.settings import Settings
from falcon_events.store.database.errors import DEADLY
from falcon_events.store.engine.apply import TakeIn, apply, refused_of, taken_in
from falcon_events.store.engine.backlog import Backlog
from falcon_events.store.engine.meters import Meters
from falcon_events.store.engine.recall import Knowledge
from falcon_events.store.engine.tables import Tables
from falcon_events.store.engine.upkeep import Upkeep

logger = logging.getLogger(__name__)

Task = Callable[[duckdb.DuckDBPyConnection], Any]

FAILED = "The event store has failed: {}"
IDLE_S = 1.0
"""How long nothing must come before the writer looks after the file."""
MEND_S = 0.5
"""How long to wait before a failed store is tried again, in seconds."""


class Writer:
    """Owns the writing connection.

    Args:
        connect: opens the store's file and returns a connection; called again when the database has failed.
        path: the store's file; its logs are beside it.
        settings: the limits of cache and catalogue.
        clock: the current time in seconds since 1970.
        replaced: called when another file stands in the place of the store's.
        take_in: gives the journal, once the tables have what it had.

    Raises:
        StoreError: the file cannot be opened, or its journal not be taken in.
    """

    def __init__(
        self,
        connect: Callable[[], duckdb.DuckDBPyConnection],
        path: Path,
        settings: Settings,
        clock: Callable[[], float],
        replaced: Callable[[], object] = lambda: None,
        take_in: TakeIn = taken_in,
    ) -> None:
        self._connect = connect
        self._path = path
        self._replaced = replaced
        self._settings = settings
        self._clock = clock
        self.meters = Meters()
        self.backlog = Backlog()
        self.turn = threading.RLock()
        """Held by whoever takes events in, and by whoever changes what the next ones lead to."""
        self.failure: str | None = None
        """Why the store takes no events at present, or None while it does."""
        self._misplaced = self._journal_failed = self._closing = False
        self._next_mend = 0.0
        self._tasks: deque[tuple[Task, Future[Any]]] = deque()
        opening_s = self._open()
        try:
            self.journal = take_in(path, self.connection, self._tables)
            self.number = self._tables.applied
            """The number of the newest entry of the journal."""
            self.knowledge = Knowledge(self.connection, self._tables.last_seq, settings)
            self._look_after(opening_s)
        except BaseException:
            self._let_go()
            raise
        self._thread = threading.Thread(target=self._run, name="falcon-events-writer", daemon=True)
        self._thread.start()

    def run(self, task: Task) -> Future[Any]:
        """Queues a piece of work on the writing connection; the future gets what it returns or raises.

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

    def alone(self, task: Task) -> Future[Any]:
        """Queues a piece of work that finds every event in the tables, while no new ones are taken in. Raises as run() does."""

        def work(_: duckdb.DuckDBPyConnection) -> Any:
            with self.turn:
                self._apply_everything()
                return task(self.connection)

        return self.run(work)

    def take_in(self) -> None:
        """Returns once the tables have every event that is journaled by now; raises StoreUnavailable where they cannot."""
        self.backlog.take_in(lambda: self.failure is not None)

    def wait_for_room(self) -> None:
        """Returns once not too much is journaled that the tables do not have."""
        self.backlog.wait_for_room(lambda: self.failure is not None)

    def journal_failed(self, error: OSError) -> None:
        """Nothing more is journaled before the files have been made anew: it is not known what is in them."""
        self._journal_failed = True
        self.fail(f"the journal cannot be written: {error.strerror or error}")

    def close(self) -> None:
        """Takes the journal in, folds, checkpoints and ends the thread; no event may be taken in any more."""
        with self.backlog.changed:
            self._closing = True
            self.backlog.changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def reopen(self, between: Callable[[], object]) -> None:
        """Closes the database, does something to its file, and opens it again; to be called from within alone()."""
        self.knowledge.close()
        self._let_go()
        try:
            between()
        finally:
            opening_s = self._open()
            self.knowledge.reconnect(self.connection)
            self._look_after(opening_s)

    def stands(self) -> bool:
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

    def _open(self) -> float:
        """Opens the database; how long that took, in seconds."""
        began = time.monotonic()
        self.connection = self._connect()
        opening_s = time.monotonic() - began
        self._file = Watched(self._path)
        self._tables = Tables(self.connection)
        return opening_s

    def _look_after(self, opening_s: float) -> None:
        log = log_of(self._path)
        self.upkeep = Upkeep(
            self.connection, self._tables, self.knowledge, log, self._settings, self._clock, self.meters, opening_s
        )

    def _let_go(self) -> None:
        self._tables.close()
        self.connection.close()

    def _run(self) -> None:
        while True:
            task = self._next()
            if self.failure is not None:
                self._mend()
            elif self.backlog.is_due():
                self._apply()
            elif task is None and not self._closing and self.stands():
                self._guarded(self.upkeep.when_idle)  # a good moment for what would otherwise make somebody wait
            if task is not None:
                self._do(*task)
            elif self._closing:
                break
        self._end()

    def _next(self) -> tuple[Task, Future[Any]] | None:
        """The next task, or None when something else is to be done, or nothing has come for a while."""
        idle_at = time.monotonic() + IDLE_S
        with self.backlog.changed:
            while not (self._tasks or self._closing):
                left_s = (idle_at if self.failure is None else self._next_mend) - time.monotonic()
                due_s = None if self.failure is not None else self.backlog.due_s()
                if left_s <= 0 or due_s == 0:
                    return None
                self.backlog.changed.wait(left_s if due_s is None else min(due_s, left_s))
            return self._tasks.popleft() if self._tasks else None

    def _end(self) -> None:
        self._next_mend = 0.0
        if self.failure is not None:
            self._mend()
        if self.failure is None:
            self._guarded(self._apply_everything)
        if self.failure is None:
            self._guarded(self.upkeep.at_the_end)
            self.journal.close()
            self.knowledge.close()
            self._let_go()

    def _apply(self) -> None:
        """Writes the next entries of the backlog into the tables."""
        if not self.stands():
            return
        began = time.perf_counter()
        try:
            apply(self._tables, self.backlog.first(), refused_of(self._path))
        except (duckdb.Error, OSError) as error:
            self.fail(str(error))
            return
        self.meters.applied(time.perf_counter() - began)
        self._applied()
        self._guarded(self.upkeep.after_commit)

    def _applied(self) -> None:
        """Lets go of what the tables have by now."""
        self.journal.stored(self._tables.applied)
        if entries := self.backlog.stored(self._tables.applied):
            self.knowledge.stored(entries, self.connection)

    def _apply_everything(self) -> None:
        while self.failure is None and self.backlog.first():
            self._apply()
        if self.failure is not None:
            raise StoreUnavailable(CANNOT_NOW)

    def fail(self, reason: str) -> None:
        """Nothing more is taken in before the store has been mended, which is tried at once, and then now and then."""
        self.failure = FAILED.format(reason)
        logger.error("%s", self.failure)
        self._next_mend = 0.0
        with self.backlog.changed:
            self.backlog.changed.notify_all()

    def _mend(self) -> None:
        """Tries again what has failed, every now and then, however many wait."""
        if time.monotonic() < self._next_mend:
            return
        self._next_mend = time.monotonic() + MEND_S
        if not self.stands():
            return
        if self._misplaced:
            logger.warning("%s is back", self._path)
            self._misplaced = False
        with self.turn:
            try:
                self._mend_database()
                if self._journal_failed:
                    self._tables.skip(self.number)  # what could not be written for sure must not turn up later
                    self.journal.start()
                    self._journal_failed = False
                self.failure = None
                logger.warning("the store takes events again")
            except (duckdb.Error, StoreError, OSError) as error:
                self.failure = FAILED.format(error)

    def _mend_database(self) -> None:
        """Opens the database anew where it cannot be read, and writes into it what is journaled."""
        try:
            self._tables.look()
        except duckdb.Error as error:
            logger.error("the database is opened anew: %s", error)
            self.reopen(lambda: None)
        self._applied()
        while entries := self.backlog.first():
            apply(self._tables, entries, refused_of(self._path))
            self._applied()

    def _do(self, task: Task, future: Future[Any]) -> None:
        try:
            future.set_result(task(self.connection))
        except Exception as error:
            future.set_exception(error)

    def _guarded(self, work: Callable[[], object]) -> None:
        """Does what can as well be done later."""
        try:
            work()
        except (duckdb.Error, StoreUnavailable) as error:
            logger.warning("put off: %s", error)
            if isinstance(error, DEADLY):
                self.fail(str(error))
