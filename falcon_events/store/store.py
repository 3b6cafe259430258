"""Store: opens its file on first use, commits events and runs queries."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from falcon_events.errors import EventsError, StoreClosed, StoreError, StoreLocked, StoreUnavailable
from falcon_events.files.lockfile import FileLock
from falcon_events.files.paths import hold_database_lock, remove_leftovers, remove_spilled, resolve
from falcon_events.files.targets import check_target
from falcon_events.model.events import CANNOT_NOW, NewEvent, Outcome
from falcon_events.model.persons import Erased, Visitor
from falcon_events.model.reports import (
    HEALTHY,
    QUEUE_FULL,
    Check,
    FilterState,
    Health,
    HealthState,
    Measures,
    ObservedProperty,
    PruneReport,
    Recount,
    SeenEvents,
    SeenProperties,
    Selection,
    Sizes,
    Stats,
)
from falcon_events.settings import Settings
from falcon_events.store import pruning, sql_process
from falcon_events.store.compaction import compact
from falcon_events.store.database import catalogue, duckdb
from falcon_events.store.database.connect import open_database
from falcon_events.store.engine.intake import Intake
from falcon_events.store.engine.readers import NO_MEMORY, Readers
from falcon_events.store.engine.shared_reads import SharedReads
from falcon_events.store.engine.writer import Task, Writer
from falcon_events.store.queries import access_rows, check, event_json, export, maintenance, observed, persons, stats
from falcon_events.store.questions import StoreQuestions
from falcon_events.store.set_aside import find_left
from falcon_events.store.webhooks.outbox import Outbox

logger = logging.getLogger(__name__)

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
        self._swept = False
        self._lock: FileLock | None = None
        self._locked = lock is not None
        self._lock_wait_s = settings.lock_wait_s
        self._writer: Writer | None = None
        self._intake: Intake | None = None
        self._readers = Readers(settings.query_slots)
        self._names = catalogue.PropertyNames()
        self._shared_names = SharedReads(self._start_names, self._read_names)
        self.outbox = Outbox(self._open_writer, self._readers, clock)
        """The events to post to webhooks."""
        self.questions = StoreQuestions(self._open_writer, self._readers, settings)
        """Questions about events, and what is saved of them."""
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

    def properties(self, list_id: int, until: float | None = None) -> Future[dict[str, list[str]]]:
        """Return the property names of a list by event type, both in code-point order, exact at this moment.

        Args:
            list_id: the list.
            until: until when the answer is of use, by time.monotonic(); None: for ever.

        Raises:
            StoreUnavailable: in the future: there was no time, the memory ran out, or there are too many names to answer.
        """
        self._open_writer()
        return self._shared_names.ask(list_id, until)

    def _start_names(self, read: Callable[[duckdb.DuckDBPyConnection], None]) -> Future[None]:
        writer = self._open_writer()
        return self._readers.read(lambda: writer.connection, read)

    def _read_names(self, connection: duckdb.DuckDBPyConnection, list_id: int) -> dict[str, list[str]]:
        writer = self._open_writer()
        journaled = writer.backlog.property_names(list_id)  # first: an event leaves the backlog only after it is in the tables
        try:
            return catalogue.merge_names(self._names.read(connection, list_id, writer.upkeep.folded_seq), journaled)
        except duckdb.OutOfMemoryException as error:
            raise StoreUnavailable(CANNOT_NOW) from error

    def recount(self, list_id: int) -> Future[Recount]:
        """Count the property names again from every event of the list, and tell whether the catalogue differs."""
        return self._read(lambda connection: catalogue.recount(connection, list_id), slow=True)

    def stats(self) -> Future[Stats]:
        """Return the number of events by list and event type, and the sizes of the files."""
        return self._read(lambda connection: stats.read_stats(connection, self.path))

    def observed_properties(self, list_id: int | None) -> Future[list[ObservedProperty]]:
        """Count events by type, property and type of value, of one list or of all."""
        return self._read(lambda connection: observed.observed_properties(connection, list_id), slow=True)

    def seen_events(self, list_id: int, events: list[str], search: str) -> Future[SeenEvents]:
        """Return event types of a list, and how many of its types have a text in their names."""
        return self._read(lambda connection: observed.seen_events(connection, list_id, events, search))

    def seen_properties(self, list_id: int, event: str, search: str, most: int, skipped: int) -> Future[SeenProperties]:
        """Return a page of an event type's properties that have a text in their names."""
        return self._read(lambda connection: observed.seen_properties(connection, list_id, event, search, most, skipped))

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

    def filters(self) -> dict[str, FilterState]:
        """Return the state of the filters, by table."""
        return self._open_writer().filters()

    def run(self, task: Task) -> Future[Any]:
        """Run a task on the writing connection, such as a change of the access tables."""
        return self._open_writer().run(task)

    def look(self, read: Callable[[duckdb.DuckDBPyConnection], T]) -> Future[T]:
        """Read rows that no events change, without waiting for the writer."""
        writer = self._open_writer()
        return self._readers.read(lambda: writer.connection, read)

    def delete_list(self, list_id: int) -> Future[object]:
        """Delete a list with its events, bindings and catalogue, in one transaction."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> None:
            access_rows.delete_list(connection, list_id)
            writer.recall.load_bindings()
            writer.limits.reset(connection)
            writer.empty_logs()

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
            writer.limits.reset(connection)
            writer.empty_logs()
            return erased

        def work() -> Erased:
            try:
                erased: Erased = writer.run_exclusively(task).result()
            except duckdb.OutOfMemoryException:
                raise EventsError(NO_MEMORY) from None
            return msgspec.structs.replace(erased, left_in=find_left(self.path, visitor, erased))  # events need not wait for it

        return self._readers.run(work)

    def sql(self, query: str) -> Future[bytes]:
        """Return the rows of one SELECT, as a Table in MessagePack. It runs in a process of its own (see sql_process.py)."""
        return self._select(query, arrow=False)

    def sql_arrow(self, query: str) -> Future[bytes]:
        """Return the rows of one SELECT, as an Arrow IPC stream. It runs as that of sql() does."""
        return self._select(query, arrow=True)

    def _select(self, query: str, *, arrow: bool) -> Future[bytes]:
        writer = self._open_writer()
        return self._readers.run_beside(
            lambda read: sql_process.run_beside(self.path, query, self._settings, writer, read, arrow=arrow),
            before=writer.wait_until_applied,
        )

    def check(self) -> Future[list[Check]]:
        """Check the store by reading every row."""
        return self._read(lambda connection: check.run_checks(connection, self.path, self.filters()), slow=True)

    def backup(self, target: Path) -> Future[int]:
        """Write a copy of the store as it is at this moment, and return the size of the copy in bytes."""
        path = check_target(target, self.path, is_backup=True)
        return self._read(lambda connection: maintenance.copy_to(connection, path), slow=True)

    def compact(self) -> Future[Sizes]:
        """Free the disk space of deleted rows by rewriting the file (see compaction.py)."""
        writer = self._open_writer()
        return self._readers.run_compaction(lambda: compact(self.path, writer, self._readers))

    def prune(self, list_id: int | None, dry_run: bool, keep_days: int | None) -> Future[list[PruneReport]]:
        """Delete the events of a list, or of all, that are older than their lists keep them, or only report which these are.

        `keep_days` is for a report only: the rule that the list shall have instead of its own.
        """
        if dry_run:
            return self._read(lambda connection: pruning.report_due(connection, list_id, keep_days, self._clock()), slow=True)
        writer = self._open_writer()
        return self._readers.run(lambda: pruning.prune(writer, list_id, self._clock))

    def purge_list(self, list_id: int) -> Future[object]:
        """Delete the events that arrived for a list after it was deleted."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> None:
            access_rows.purge_list(connection, list_id)
            writer.empty_logs()

        return writer.run_exclusively(task)

    def run_in_thread(self, work: Callable[[], T]) -> Future[T]:
        """Run a function that waits for a change of the store."""
        self._open_writer()
        return self._readers.run(work)

    def abandon(self, future: Future[Any]) -> None:
        """Interrupt a read whose result nobody waits for any more. Other work goes on."""
        self._readers.abandon(future)

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
        return Writer(self._connect, self.path, self._settings, self._clock, self._readers.without_reads, replaced=self._replaced)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self._settings.lock_wait_s
        while True:
            try:
                self._sweep()
                return open_database(self.path, self._settings, create=self._create)
            except StoreLocked:  # by a foreign program: this package takes the lock file first
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.02)

    def _sweep(self) -> None:
        """Remove what killed processes left, once, and not while a database is open: its owner may have lost its lock file."""
        if self._swept:
            return
        with hold_database_lock(self.path) as self._swept:
            if not self._swept:
                return
            for left in remove_leftovers(self.path):
                logger.warning("%s was left by a process that was killed, and is removed", left)
            remove_spilled(self.path)

    def _read(self, read: Callable[[duckdb.DuckDBPyConnection], T], *, slow: bool = False) -> Future[T]:
        """Read the tables, once they have every event acknowledged so far."""
        writer = self._open_writer()
        return self._readers.read(lambda: writer.connection, read, before=writer.wait_until_applied, slow=slow)


def _close(store: weakref.ref[Store]) -> None:
    """Close a store at exit if it is still open."""
    if (left := store()) is not None:
        left.close()
