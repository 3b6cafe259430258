"""Compaction: writes a copy of the store without the space of deleted rows, and puts it in the file's place."""

from __future__ import annotations

from pathlib import Path

from falcon_events.errors import EventsError, StoreError, StoreUnavailable
from falcon_events.files.checks import check_names
from falcon_events.files.paths import compacted_copy, log_of, remove_leftovers, sync
from falcon_events.model.events import CANNOT_NOW
from falcon_events.model.reports import Sizes
from falcon_events.store.database import duckdb
from falcon_events.store.engine.readers import Readers
from falcon_events.store.engine.writer import Writer
from falcon_events.store.queries.maintenance import copy_to, count_rows

SLOW_READS_S = 10.0
"""How long a compaction waits for reads that take long, in seconds. Events and property queries go on meanwhile."""
SHORT_READS_S = 2.0
"""How long it waits for property queries just before it replaces the file, in seconds. Events and queries wait for it then."""
BUSY = (
    "The store cannot be compacted now, because a long read is running (sql, export, backup, doctor or another compaction). "
    "Nothing was changed. Try again when it has ended."
)


def compact(path: Path, writer: Writer, readers: Readers) -> Sizes:
    """Rewrite the store's file. Until the copy is complete, events are journaled and property queries are answered.

    Args:
        path: the store's file.
        writer: the open writer.
        readers: the readers, whose long reads wait until the compaction has ended.

    Returns:
        The size of the file before and after.

    Raises:
        EventsError: a read took too long, or the copy could not be made. The store is as it was, and no copy remains.
    """

    def task(connection: duckdb.DuckDBPyConnection) -> Sizes:
        if writer.failure is not None:
            raise StoreUnavailable(CANNOT_NOW)
        check_names(path)  # another name would keep the old file
        before = path.stat().st_size
        copy = compacted_copy(path)
        try:
            copy_to(connection, copy)
            _compare(connection, copy)
            with writer.intake_lock:
                writer.reopen(lambda: _replace(path, copy), SHORT_READS_S)
        except TimeoutError:
            raise EventsError(BUSY) from None
        except (duckdb.Error, OSError, StoreError) as error:
            raise EventsError(f"{path} cannot be compacted: {' '.join(str(error).split())} Try again later.") from error
        finally:
            remove_leftovers(path)
        return Sizes(before, path.stat().st_size)

    try:
        with readers.without_slow_reads(SLOW_READS_S):
            sizes: Sizes = writer.run(task).result()
            return sizes
    except TimeoutError:
        raise EventsError(BUSY) from None


def _compare(connection: duckdb.DuckDBPyConnection, copy: Path) -> None:
    """Raise EventsError if the copy lacks rows, which would be a defect of the copying."""
    if (wrong := count_rows(connection, copy)) is not None:
        raise EventsError(f"Nothing was changed, because the copy has other numbers of rows: {wrong}. Please report this.")


def _replace(path: Path, copy: Path) -> None:
    """Replace the file of the closed database."""
    if log_of(path).exists():  # it would belong to the replaced file
        raise OSError("its write-ahead log could not be merged into it.")
    copy.replace(path)
    sync(path.parent)
