"""The store: opens on first use, commits events, answers named reads, closes once."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from falcon_events.errors import EventsError, StoreClosed, StoreError, StoreLocked, StoreUnavailable
from falcon_events.files.lockfile import FileLock
from falcon_events.files.paths import log_of, sync
from falcon_events.model.events import NewEvent, Outcome
from falcon_events.model.persons import Erased, Visitor
from falcon_events.model.reports import (
    HEALTHY,
    QUEUE_FULL,
    Check,
    Health,
    HealthState,
    Measures,
    ObservedProperty,
    Recount,
    Selection,
    Sizes,
    Stats,
    Table,
)
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue
from falcon_events.store.database.connect import open_database
from falcon_events.store.engine.intake import Intake
from falcon_events.store.engine.readers import Readers
from falcon_events.store.engine.writer import Task, Writer
from falcon_events.store.queries import access_rows, check, event_json, export, maintenance, observed, persons, stats
from falcon_events.store.webhooks.outbox import Outbox

T = TypeVar("T")


class Store:
    """Events in a DuckDB file with a journal before it: one intake, one writer, short reads beside them.

    Constructing it touches nothing; the file is opened and threads start with open(), or with the first use.

    Args:
        path: the database file.
        settings: limits of memory, queue and batches.
        create: whether a missing file is made.
        lock: the lock beside the file, where the caller holds it and keeps it; None to take it with open().
        clock: the current time in seconds since 1970.
        replaced: called when another file stands in the place of the store's while it is open.
    """

    def __init__(
        self,
        path: str | Path,
        settings: Settings,
        *,
        create: bool = True,
        lock: FileLock | None = None,
        clock: Callable[[], float] = time.time,
        replaced: Callable[[], object] = lambda: None,
    ) -> None:
        self.path = Path(path)
        self._settings = settings
        self._create = create
        self._clock = clock
        self._replaced = replaced
        self._opening = threading.Lock()
        self._closed = False
        self._lock: FileLock | None = None
        self._locked = lock is not None
        self._lock_wait_s = settings.lock_wait_s
        self._writer: Writer | None = None
        self._intake: Intake | None = None
        self._readers = Readers()
        self._names = catalogue.PropertyNames()
        self.outbox = Outbox(self._open_writer, self._readers, clock)
        """What is to be posted to webhooks."""
        self.uuid_namespace = b""
        """The 16 secret bytes under which visitors' uuids are derived; known once the store is open."""

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._writer is not None and not self._closed

    def open(self) -> None:
        """Opens the file and starts the threads; does nothing where that is done.

        Raises:
            StoreClosed: close() was called.
            StoreError: the file cannot be opened; the message says why.
        """
        with self._opening:
            if self._closed:
                raise StoreClosed
            if self._writer is not None:
                return
            if not self._locked and (self._create or self.path.exists()):
                # Only the first attempt waits: afterwards every request is one, and none shall stand in the way of others.
                wait_s, self._lock_wait_s = self._lock_wait_s, 0.0
                self._lock = FileLock(self.path, wait_s)
            try:
                writer = self._start()
            except BaseException:
                if self._lock is not None:
                    self._lock.release()
                    self._lock = None
                raise
            ((namespace,),) = writer.run(lambda c: c.execute("select uuid_namespace from meta").fetchall()).result()
            self.uuid_namespace = namespace.bytes
            self._writer, self._intake = writer, Intake(writer, self._settings)
            atexit.register(_close, weakref.ref(self))

    def close(self) -> None:
        """Commits what was accepted, checkpoints and lets go of the file; does nothing the second time."""
        with self._opening:
            if self._closed:
                return
            self._closed = True
            if self._writer is not None and self._intake is not None:
                self._intake.close()
                self._readers.close()
                self._writer.close()
            else:
                self._readers.close()
            if self._lock is not None:
                self._lock.release()

    @property
    def failed(self) -> bool:
        """Whether the database cannot be used at present; closing it might then write into a file that is not there."""
        return self._writer is not None and self._writer.failure is not None

    def submit(self, events: Sequence[NewEvent]) -> Future[list[Outcome]]:
        """Queues events, all of them or none; they have their outcomes, in order, once they are committed and synced to disk.

        Raises:
            StoreUnavailable: the store cannot take them now; nothing was kept.
        """
        self._open_writer()
        assert self._intake is not None
        return self._intake.submit(events)

    def properties(self, list_id: int) -> Future[dict[str, list[str]]]:
        """The names of a list's properties by event type, both in code-point order, exact at this moment."""
        writer = self._open_writer()

        def read(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
            journaled = writer.backlog.names(list_id)  # before the tables: what is in neither now is in the tables by then
            return catalogue.with_names(self._names.read(connection, list_id, writer.upkeep.folded_seq), journaled)

        return self._readers.read(lambda: writer.connection, read)

    def recount(self, list_id: int) -> Future[Recount]:
        """The same counted afresh from every event of the list, and whether the catalogue differs from it."""
        return self._read(lambda connection: catalogue.recount(connection, list_id), aside=True)

    def stats(self) -> Future[Stats]:
        """What the store holds."""
        return self._read(lambda connection: stats.stats(connection, self.path))

    def observed_properties(self, list_id: int | None) -> Future[list[ObservedProperty]]:
        """Count events by type, property and type of value, of one list or of all."""
        return self._read(lambda connection: observed.observed_properties(connection, list_id), aside=True)

    def export(self, selection: Selection, target: Path, form: str) -> Future[int]:
        """Writes events to a file and gives their number.

        Args:
            selection: which events.
            target: the file to write; it is replaced.
            form: `parquet` (the columns of the table) or `ndjson` (one request body a line).
        """
        return self._read(lambda connection: export.export(connection, selection, target, form), aside=True)

    def measures(self) -> tuple[Measures, int, int]:
        """What has been done, how many events wait for their commit, and how many the tables do not have yet."""
        writer = self._open_writer()
        assert self._intake is not None
        return writer.meters.state(), self._intake.waiting(), len(writer.backlog)

    def run(self, task: Task) -> Future[Any]:
        """Runs a piece of work of the access tables on the writing connection."""
        return self._open_writer().run(task)

    def delete_list(self, list_id: int) -> Future[object]:
        """Deletes a list with its events, bindings and catalogue, in one transaction."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> None:
            access_rows.delete_list(connection, list_id)
            writer.knowledge.load_bindings()

        return writer.alone(task)

    def personal_data(self, visitor: Visitor) -> Future[bytes]:
        """All that is stored of a person, as PersonalData in JSON: properties may have numbers that nothing else can hold."""
        return self._read(lambda connection: persons.personal_data(connection, visitor), aside=True)

    def latest(self, list_id: int, after_seq: int, most: int) -> Future[bytes]:
        """A list's last events after a number of sequence, in JSON: an array of [seq, StoredEvent]."""
        return self._read(lambda connection: event_json.latest(connection, list_id, after_seq, most))

    def erase(self, visitor: Visitor) -> Future[Erased]:
        """Removes a person from a list."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> Erased:
            writer.upkeep.fold(1)
            erased = persons.erase(connection, visitor)
            writer.knowledge.load_bindings()
            return erased

        return writer.alone(task)

    def sql(self, query: str) -> Future[Table]:
        """The rows of one statement that only looks."""
        return self._read(lambda connection: maintenance.run_sql(connection, query), aside=True)

    def check(self) -> Future[list[Check]]:
        """What is right and wrong with the store; reads every row of it."""
        return self._read(lambda connection: check.check(connection, self.path), aside=True)

    def backup(self, target: Path) -> Future[int]:
        """Writes a copy of the store as it is at this moment, and gives its size in bytes."""
        return self._read(lambda connection: maintenance.copy_to(connection, target), aside=True)

    def compact(self) -> Future[Sizes]:
        """Gives back the disk space of what was deleted: writes the file anew while everybody waits."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> Sizes:
            before = self.path.stat().st_size
            fresh = self.path.with_name(self.path.name + ".compact")
            maintenance.copy_to(connection, fresh)
            writer.reopen(lambda: self._replace_with(fresh))
            return Sizes(before, self.path.stat().st_size)

        return writer.alone(task)

    def _replace_with(self, fresh: Path) -> None:
        """Puts another file in the closed store's place."""
        self._readers.close_cursors()
        if log_of(self.path).exists():  # it would belong to a file that is gone
            fresh.unlink()
            raise EventsError(f"{self.path} cannot be compacted now: its log could not be taken in. Try again later.")
        fresh.replace(self.path)
        sync(self.path.parent)

    def purge_list(self, list_id: int) -> Future[object]:
        """Deletes what came in for a list after it was deleted."""
        return self._open_writer().alone(lambda connection: access_rows.purge_list(connection, list_id))

    def aside(self, work: Callable[[], T]) -> Future[T]:
        """Runs something that waits for the store in a thread of its own."""
        self._open_writer()
        return self._readers.aside(work)

    def health(self) -> Health:
        """Return whether the store takes events and, where it does not, why."""
        try:
            writer = self._open_writer()
        except (StoreUnavailable, StoreError) as error:
            reason = error.failures[0].message if isinstance(error, StoreUnavailable) else str(error)
            return Health(HealthState.FAILED, reason)
        if writer.failure is not None:
            return Health(HealthState.FAILED, writer.failure)
        return QUEUE_FULL if self._intake is not None and self._intake.is_full() else HEALTHY

    def _open_writer(self) -> Writer:
        if self._closed:
            raise StoreClosed
        if self._writer is None:
            self.open()
        assert self._writer is not None
        return self._writer

    def _start(self) -> Writer:
        return Writer(self._connect, self.path, self._settings, self._clock, self._replaced)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        # A cursor keeps its database alive; opened again beside one, a failed database would still be the failed one.
        self._readers.close_cursors()
        deadline = time.monotonic() + self._settings.lock_wait_s
        while True:
            try:
                return open_database(self.path, self._settings, create=self._create)
            except StoreLocked:  # by another program: ours hold the lock beside it
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.02)

    def _read(self, read: Callable[[duckdb.DuckDBPyConnection], T], *, aside: bool = False) -> Future[T]:
        """Reads what the tables have once every event that is acknowledged by now is in them."""
        writer = self._open_writer()
        return self._readers.read(lambda: writer.connection, read, before=writer.take_in, aside=aside)


def _close(store: weakref.ref[Store]) -> None:
    """Closes at exit what nobody closed before, however it was opened."""
    if (left := store()) is not None:
        left.close()
