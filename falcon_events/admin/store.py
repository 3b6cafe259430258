"""Administration of a store's data: counts, exports, backups, checks, and personal data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from falcon_events.access.validation import check_keep_days
from falcon_events.admin.metrics import render_metrics
from falcon_events.admin.sql import SqlResult
from falcon_events.errors import EventsError
from falcon_events.link.link import Link
from falcon_events.model import operations
from falcon_events.model.frames import load_library
from falcon_events.model.persons import Erased, PersonalData, StoredEvent, build_visitor
from falcon_events.model.reports import (
    EVERYTHING,
    Check,
    ObservedProperty,
    OwnerState,
    PruneReport,
    Recount,
    SeenEvents,
    SeenProperties,
    Selection,
    Sizes,
    Stats,
    Table,
)

if TYPE_CHECKING:
    import pyarrow


class StoreAdmin:
    """Administration of a store's data, as `tracking.admin`.

    The calls wait for the result. From a coroutine, make them in a thread.

    Args:
        store: the link to the store.
    """

    def __init__(self, store: Link) -> None:
        self._store = store

    def recount(self, list_id: int) -> Recount:
        """Recount the properties of a list from all its events, and report whether the catalogue differs."""
        return self._store.call(operations.RECOUNT, list_id)

    def observed_properties(self, list_id: int | None = None) -> list[ObservedProperty]:
        """Count the events of a list, or of all lists, by event type, property and type of value.

        Args:
            list_id: the list; None: all lists.
        """
        return self._store.call(operations.OBSERVED_PROPERTIES, list_id)

    def seen_events(self, list_id: int, events: Sequence[str] = (), *, search: str = "") -> SeenEvents:
        """Return when events of some types happened first and last, whatever the range of time, and how many types there are.

        Args:
            list_id: the list.
            events: the event types to report. Those that the list does not have are left out.
            search: count only the types whose names contain this, without regard to case.
        """
        return self._store.call(operations.SEEN_EVENTS, list_id, list(events), search)

    def seen_properties(self, list_id: int, event: str, *, search: str = "", most: int = 100, skipped: int = 0) -> SeenProperties:
        """Return the properties of an event type with the types of their values.

        The most frequent come first, but those whose names begin with `$`, which trackers add, come last.

        Args:
            list_id: the list.
            event: the event type.
            search: only properties whose names contain this, without regard to case.
            most: how many properties to return at most.
            skipped: how many to skip.
        """
        return self._store.call(operations.SEEN_PROPERTIES, list_id, event, search, most, skipped)

    def stats(self) -> Stats:
        """Return what the store holds: counts, sizes and versions."""
        return self._store.call(operations.STATS)

    def export(self, target: str | Path, form: str, selection: Selection = EVERYTHING) -> int:
        """Write events to a file and return how many were written.

        Args:
            target: the file to write. An existing file is replaced, unless it belongs to a store or is a database.
            form: `parquet` (the columns of the table) or `ndjson` (one request body per line).
            selection: which events to write; all by default.

        Raises:
            EventsError: the file cannot be written.
        """
        path = str(Path(target).absolute())
        return self._store.call(operations.EXPORT, selection, path, form)

    def personal_data(
        self, list_id: int, *, email: str | None = None, id: str | None = None, uuid: str | None = None
    ) -> PersonalData:
        """Return everything that is stored about a person within a list, for a request of access to personal data.

        Exactly one of `email`, `id` and `uuid` is needed. An event belongs to the address that it carries. Else it belongs to the
        address of the visitor's last earlier event that has one, or of the first later one. So a browser that several people
        share is no obstacle: `shared_visitors` names it, and the others' data is left out.

        Args:
            list_id: the list.
            email: the person's address, in upper or lower case.
            id: the person's ID in the sender's system.
            uuid: the visitor's UUID.

        Raises:
            NotFound: nothing is stored about the person.
            EventsError: none, or more than one, of the three is given; or `uuid` is a visitor that several people share.
        """
        person = build_visitor(list_id, email, id, uuid)
        data = self._store.call(operations.PERSONAL_DATA, person)
        return msgspec.json.decode(data, type=PersonalData)

    def erase(self, list_id: int, *, email: str | None = None, id: str | None = None, uuid: str | None = None) -> Erased:
        """Erase a person from a list: events, bindings, EventIDs, and what the catalogue counts of them.

        The rows are removed at once, also from the journal and the write-ahead log, and their bytes from the file with the next
        compact(). Arguments and errors are those of personal_data(). `left_in` names files beside the store that were set aside
        and still contain the person.
        """
        return self._store.call(operations.ERASE, build_visitor(list_id, email, id, uuid))

    def latest(self, list_id: int, *, after: int = 0, most: int = 20) -> list[tuple[int, StoredEvent]]:
        """Return the last events of a list, in order of arrival, each with its sequence number in the store.

        Args:
            list_id: the list.
            after: return only events after this sequence number.
            most: how many events to return at most.
        """
        data = self._store.call(operations.LATEST, list_id, after, most)
        return msgspec.json.decode(data, type=list[tuple[int, StoredEvent]])

    def sql(self, query: str) -> SqlResult:
        """Run one SELECT, and return its rows. docs/database.md describes the tables.

        The query sees what was stored before the call. It runs in a process of its own, which reads the store's tables and
        nothing else. The settings `sql_time_s`, `sql_rows`, `sql_bytes` and `sql_memory_mb` limit it. The store accepts events
        meanwhile.

        The rows have types that JSON has. For others, such as decimals and times, and for data frames, the result has
        to_arrow(), to_pandas() and to_polars(). These run the query again, once; sql_arrow() runs it only once.

        Args:
            query: the SELECT.

        Raises:
            EventsError: the query is not one SELECT, exceeds a limit, or the database refuses it.
            StoreUnavailable: the store's owner died before it answered.
        """
        table = msgspec.msgpack.decode(self._store.call(operations.SQL, query), type=Table)
        return SqlResult(table.columns, table.rows, partial(self.sql_arrow, query))

    def sql_arrow(self, query: str) -> pyarrow.Table:
        """Run one SELECT as sql() does, and return its rows as a table of Arrow. This needs the extra `arrow`.

        The columns have the types that DuckDB exports. A type that Arrow lacks, such as UNION or BIT, is text. Each field's
        metadata has DuckDB's type as `duckdb_type`.

        Args:
            query: the SELECT.

        Raises:
            EventsError: as sql(), or pyarrow is not installed, here or where the store's owner process runs.
            StoreUnavailable: the store's owner died before it answered.
        """
        pyarrow = load_library("pyarrow", "sql_arrow()", "arrow")
        table: Any = pyarrow.ipc.open_stream(self._store.call(operations.SQL_ARROW, query)).read_all()
        return table

    def backup(self, target: str | Path) -> int:
        """Write a copy of the store as it is at this moment, and return its size in bytes.

        The store accepts events meanwhile. To restore the copy, put it in place of the store's file while no process uses
        the store.

        Raises:
            EventsError: the copy cannot be written, or would replace a store that is in use.
        """
        return self._store.call(operations.BACKUP, str(Path(target).absolute()))

    def compact(self) -> Sizes:
        """Rewrite the file without the space of deleted events.

        The store accepts events and answers property queries meanwhile. Other reads wait until the compaction has ended. If one
        is running already, the compaction waits for it for up to 10 seconds.

        Returns:
            The size of the file before and after.

        Raises:
            EventsError: a long read is running, or the disk has no space for the new file beside the old one. Nothing changed.
        """
        return self._store.call(operations.COMPACT)

    def prune(self, list_id: int | None = None, *, dry_run: bool = False, keep_days: int | None = None) -> list[PruneReport]:
        """Delete the events that are older than their lists keep them, and return a report for each such list.

        The store does so by itself, in the background. This call returns when all of them are deleted. The store accepts events
        and answers meanwhile. Daily totals stay, and what other answers need; see docs/answers.md.

        Args:
            list_id: the list; None: all lists whose rules have `keep_days`.
            dry_run: whether to delete nothing, and only report what would be deleted.
            keep_days: with a list and `dry_run`, report what this rule would delete; None: the list's own rule.

        Raises:
            EventsError: the events of this list are kept for ever, or `keep_days` is wrong, or is not for a report about a list.
        """
        if keep_days is not None:
            check_keep_days(keep_days)
            if list_id is None or not dry_run:
                raise EventsError("keep_days is only for a report about one list: prune(list_id, dry_run=True, keep_days=N).")
        return self._store.call(operations.PRUNE, list_id, dry_run, keep_days)

    def check(self) -> list[Check]:
        """Check the store and return the result of each check. This reads every row."""
        return self._store.call(operations.CHECK)

    def rebuild_columns(self) -> None:
        """Write the typed columns, which questions read, anew from all events, and return when it is done.

        The store accepts events and answers questions meanwhile. Questions read the events themselves, which takes longer. If
        the owner process dies, the next one begins anew.

        Raises:
            EventsError: the memory does not suffice.
        """
        self._store.call(operations.REBUILD_COLUMNS)

    def metrics(self) -> bytes:
        """Return metrics of all processes that use the store in Prometheus' text format (docs/metrics.md).

        This needs the extra `metrics`.

        Raises:
            EventsError: prometheus_client is not installed.
        """
        return render_metrics(self._store.call(operations.METRICS))

    def owner(self) -> OwnerState:
        """Return the process that holds the store's file, and the processes that use it."""
        return self._store.call(operations.OWNER)
