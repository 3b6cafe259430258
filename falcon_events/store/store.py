"""Store: opens its file on first use, commits events and runs queries."""

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
from falcon_events.files.checks import check_names
from falcon_events.files.lockfile import FileLock
from falcon_events.files.paths import log_of, resolve, sync
from falcon_events.files.targets import check_target
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
    """Events in a DuckDB file with a journal in front of it: one intake thread, one writer thread and several readers.

    The constructor opens no file and starts no thread. open(), or the first use, does both.

    Args:
        path: the database file.
        settings: the limits of memory, queue and batches.
        create: whether to create a missing file.
        lock: the lock beside the file, if the caller already holds it. None: open() takes it, and close() releases it.
        clock: returns the current time in seconds since 1970.
        replaced: called when another file replaces the store's file while the store is open.
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
        self.path = resolve(path)
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
        """The events to post to webhooks."""
        self.uuid_namespace = b""
        """The 16 secret bytes from which visitors' UUIDs are derived. Empty until the store is open."""

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._writer is not None and not self._closed

    def open(self) -> None:
        """Open the file and start the threads. Do nothing if the store is already open.

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
                # Only the first attempt waits. Later every request tries to open the store, and a wait would block the others.
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
        """Commit the accepted events, checkpoint and release the file. Later calls do nothing."""
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
        """Whether the database is unusable at present. Closing it may then write to a file that is gone."""
        return self._writer is not None and self._writer.failure is not None

    def submit(self, events: Sequence[NewEvent]) -> Future[list[Outcome]]:
        """Queue events, all of them or none.

        Returns:
            A future of their outcomes, in the same order. It completes once the events are committed and synced to disk.

        Raises:
            StoreUnavailable: the store cannot take the events now; none were kept.
        """
        self._open_writer()
        assert self._intake is not None
        return self._intake.submit(events)

    def properties(self, list_id: int) -> Future[dict[str, list[str]]]:
        """Return the property names of a list by event type, both in code-point order, exact at this moment."""
        writer = self._open_writer()

        def read(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
            journaled = writer.backlog.property_names(
                list_id
            )  # first: an event leaves the backlog only after it is in the tables
            return catalogue.merge_names(self._names.read(connection, list_id, writer.upkeep.folded_seq), journaled)

        return self._readers.read(lambda: writer.connection, read)

    def recount(self, list_id: int) -> Future[Recount]:
        """Count the property names again from every event of the list, and tell whether the catalogue differs."""
        return self._read(lambda connection: catalogue.recount(connection, list_id), slow=True)

    def stats(self) -> Future[Stats]:
        """Return the number of events by list and event type, and the sizes of the files."""
        return self._read(lambda connection: stats.read_stats(connection, self.path))

    def observed_properties(self, list_id: int | None) -> Future[list[ObservedProperty]]:
        """Count events by type, property and type of value, of one list or of all."""
        return self._read(lambda connection: observed.observed_properties(connection, list_id), slow=True)

    def export(self, selection: Selection, target: Path, form: str) -> Future[int]:
        """Write events to a file and return their number.

        Args:
            selection: which events.
            target: the file to write; an existing one is replaced.
            form: `parquet` (the columns of the table) or `ndjson` (one request body a line).
        """
        path = check_target(target, self.path)
        return self._read(lambda connection: export.export(connection, selection, path, form), slow=True)

    def measures(self) -> tuple[Measures, int, int]:
        """Return the meters, the number of events waiting for their commit, and the number that the tables still lack."""
        writer = self._open_writer()
        assert self._intake is not None
        return writer.meters.snapshot(), self._intake.count_waiting(), len(writer.backlog)

    def run(self, task: Task) -> Future[Any]:
        """Run a task on the writing connection, such as a change of the access tables."""
        return self._open_writer().run(task)

    def delete_list(self, list_id: int) -> Future[object]:
        """Delete a list with its events, bindings and catalogue, in one transaction."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> None:
            access_rows.delete_list(connection, list_id)
            writer.recall.load_bindings()

        return writer.run_exclusively(task)

    def personal_data(self, visitor: Visitor) -> Future[bytes]:
        """Return everything stored about a person, as PersonalData in JSON, which keeps numbers of any size exact."""
        return self._read(lambda connection: persons.read_personal_data(connection, visitor), slow=True)

    def latest(self, list_id: int, after_seq: int, most: int) -> Future[bytes]:
        """Return the last `most` events of a list whose seq is above `after_seq`: a JSON array of [seq, StoredEvent]."""
        return self._read(lambda connection: event_json.read_latest(connection, list_id, after_seq, most))

    def erase(self, visitor: Visitor) -> Future[Erased]:
        """Remove a person from a list."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> Erased:
            writer.upkeep.fold(1)
            erased = persons.erase(connection, visitor)
            writer.recall.load_bindings()
            return erased

        return writer.run_exclusively(task)

    def sql(self, query: str) -> Future[Table]:
        """Return the rows of one read-only SQL statement."""
        return self._read(lambda connection: maintenance.run_sql(connection, query), slow=True)

    def check(self) -> Future[list[Check]]:
        """Check the store by reading every row."""
        return self._read(lambda connection: check.run_checks(connection, self.path), slow=True)

    def backup(self, target: Path) -> Future[int]:
        """Write a copy of the store as it is at this moment, and return the size of the copy in bytes."""
        path = check_target(target, self.path, is_backup=True)
        return self._read(lambda connection: maintenance.copy_to(connection, path), slow=True)

    def compact(self) -> Future[Sizes]:
        """Free the disk space of deleted rows by rewriting the file. Events and queries wait until it is done."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> Sizes:
            check_names(self.path)  # the other name would keep the old file
            before = self.path.stat().st_size
            fresh = self.path.with_name(self.path.name + ".compact")
            maintenance.copy_to(connection, fresh)
            writer.reopen(lambda: self._replace_with(fresh))
            return Sizes(before, self.path.stat().st_size)

        return writer.run_exclusively(task)

    def _replace_with(self, fresh: Path) -> None:
        """Replace the file of the closed database."""
        self._readers.close_cursors()
        if log_of(self.path).exists():  # it would belong to the replaced file
            fresh.unlink()
            raise EventsError(
                f"{self.path} cannot be compacted now: its write-ahead log could not be merged into it. Try again later."
            )
        fresh.replace(self.path)
        sync(self.path.parent)

    def purge_list(self, list_id: int) -> Future[object]:
        """Delete the events that arrived for a list after it was deleted."""
        return self._open_writer().run_exclusively(lambda connection: access_rows.purge_list(connection, list_id))

    def run_in_thread(self, work: Callable[[], T]) -> Future[T]:
        """Run a function that waits for the store, in one of the threads for slow reads."""
        self._open_writer()
        return self._readers.run(work)

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
        # An open cursor keeps a failed database alive, and connect() would return that one again.
        self._readers.close_cursors()
        deadline = time.monotonic() + self._settings.lock_wait_s
        while True:
            try:
                return open_database(self.path, self._settings, create=self._create)
            except StoreLocked:  # by a foreign program: this package takes the lock file first
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.02)

    def _read(self, read: Callable[[duckdb.DuckDBPyConnection], T], *, slow: bool = False) -> Future[T]:
        """Read the tables, once they have every event acknowledged so far."""
        writer = self._open_writer()
        return self._readers.read(lambda: writer.connection, read, before=writer.wait_until_applied, slow=slow)


def _close(store: weakref.ref[Store]) -> None:
    """Close a store at exit if it is still open."""
    if (left := store()) is not None:
        left.close()
