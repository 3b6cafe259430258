"""The store: opens on first use, commits events, answers named reads, closes once."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import duckdb

from falcon_events.errors import StoreClosed, StoreError, StoreUnavailable
from falcon_events.settings import Settings
from falcon_events.store import catalogue, reads
from falcon_events.store.opening import FileLock, open_database
from falcon_events.store.pending import Pending
from falcon_events.store.records import NewEvent, Receipt, Recount, Stats
from falcon_events.store.writer import Task, Writer

T = TypeVar("T")
READERS = 2


class Store:
    """Events in a DuckDB file: one writer, short reads beside it.

    Constructing it touches nothing; the file is opened and threads start with open(), or with the first use.

    Args:
        path: the database file.
        settings: limits of memory, queue and batches.
        create: whether a missing file is made.
        clock: the current time in seconds since 1970.
    """

    def __init__(
        self, path: str | Path, settings: Settings, *, create: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self._settings = settings
        self._create = create
        self._clock = clock
        self._opening = threading.Lock()
        self._closed = False
        self._lock: FileLock | None = None
        self._lock_wait_s = settings.lock_wait_s
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reader = threading.local()
        self._cursors: list[duckdb.DuckDBPyConnection] = []
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
            if self._create or self.path.exists():
                # Only the first attempt waits: afterwards every request is one, and none shall stand in the way of others.
                wait_s, self._lock_wait_s = self._lock_wait_s, 0.0
                self._lock = FileLock(self.path, wait_s)
            try:
                writer = Writer(self._connect, self.path, self._settings, self._clock)
            except BaseException:
                if self._lock is not None:
                    self._lock.release()
                    self._lock = None
                raise
            ((namespace,),) = writer.run(lambda c: c.execute("select uuid_namespace from meta").fetchall()).result()
            self.uuid_namespace = namespace.bytes
            self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="falcon-events-reader")
            self._writer = writer
            atexit.register(_close, weakref.ref(self))

    def close(self) -> None:
        """Commits what was accepted, checkpoints and lets go of the file; does nothing the second time."""
        with self._opening:
            if self._closed:
                return
            self._closed = True
            if self._readers is not None:
                self._readers.shutdown()
            while self._cursors:
                self._cursors.pop().close()
            if self._writer is not None:
                self._writer.close()
            if self._lock is not None:
                self._lock.release()

    def submit(self, event: NewEvent) -> Pending[Receipt]:
        """Queues an event; there is a receipt once it is committed and synced to disk.

        Raises:
            StoreUnavailable: the store cannot take it now; nothing was kept.
        """
        return self._open_writer().submit(event)

    def properties(self, list_id: int) -> Future[dict[str, list[str]]]:
        """The names of a list's properties by event type, both in code-point order, exact at this moment."""
        hint = self._open_writer().folded_seq
        return self._read(lambda connection: catalogue.read_properties(connection, list_id, hint))

    def recount(self, list_id: int) -> Future[Recount]:
        """The same counted afresh from every event of the list, and whether the catalogue differs from it."""
        return self._read(lambda connection: catalogue.recount(connection, list_id))

    def stats(self) -> Future[Stats]:
        """What the store holds."""
        return self._read(lambda connection: reads.stats(connection, self.path))

    def export(self, selection: reads.Selection, target: Path, form: str) -> Future[int]:
        """Writes events to a file and gives their number.

        Args:
            selection: which events.
            target: the file to write; it is replaced.
            form: `parquet` (the columns of the table) or `ndjson` (one request body a line).
        """
        return self._read(lambda connection: reads.export(connection, selection, target, form))

    def run(self, task: Task) -> Future[object]:
        """Runs a piece of work of the access tables on the writing connection."""
        return self._open_writer().run(task)

    def delete_list(self, list_id: int) -> Future[object]:
        """Deletes a list with its events, bindings and catalogue, in one transaction."""
        writer = self._open_writer()

        def task(connection: duckdb.DuckDBPyConnection) -> None:
            reads.delete_list(connection, list_id)
            writer.reload_bindings()

        return writer.run(task)

    def health(self) -> str | None:
        """Why the store takes no events at present, or None while it does."""
        try:
            writer = self._open_writer()
        except (StoreUnavailable, StoreError) as error:
            return error.failures[0].message if isinstance(error, StoreUnavailable) else str(error)
        if writer.failure is None and writer.waiting() >= self._settings.queue_events:
            return "The event store's queue is full."
        return writer.failure

    def _open_writer(self) -> Writer:
        if self._closed:
            raise StoreClosed
        if self._writer is None:
            self.open()
        assert self._writer is not None
        return self._writer

    def _connect(self) -> duckdb.DuckDBPyConnection:
        # A cursor keeps its database alive; opened again beside one, a failed database would still be the failed one.
        while self._cursors:
            self._cursors.pop().close()
        return open_database(self.path, self._settings, create=self._create)

    def _read(self, read: Callable[[duckdb.DuckDBPyConnection], T]) -> Future[T]:
        writer = self._open_writer()
        assert self._readers is not None

        def job() -> T:
            return read(self._cursor(writer.connection))

        try:
            future = self._readers.submit(job)
        except RuntimeError:
            raise StoreClosed from None
        return future

    def _cursor(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """This thread's cursor; a new one where the writer had to open the database anew."""
        if getattr(self._reader, "of", None) is not connection:
            self._reader.of = connection
            self._reader.cursor = connection.cursor()
            self._cursors.append(self._reader.cursor)
        cursor: duckdb.DuckDBPyConnection = self._reader.cursor
        return cursor


def _close(store: weakref.ref[Store]) -> None:
    """Closes at exit what nobody closed before, however it was opened."""
    if (left := store()) is not None:
        left.close()
