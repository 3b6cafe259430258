"""Apply journal entries to the tables. An entry that the database refuses blocks no other entry and is kept in a file."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from falcon_events.errors import StoreError
from falcon_events.files.paths import sync
from falcon_events.store.database import duckdb
from falcon_events.store.database.errors import TRANSIENT
from falcon_events.store.engine.backlog import Backlog
from falcon_events.store.engine.entry import Entry, complete_entry, decode_entry, decode_rows, encode, encode_rows
from falcon_events.store.engine.journal import MARK_BYTES, Journal
from falcon_events.store.engine.tables import Tables

logger = logging.getLogger(__name__)

MakeRoom = Callable[[bool], None]
"""Makes room for new rows in memory: if it is scarce (False), or in any case (True)."""
OpenJournal = Callable[[Path, duckdb.DuckDBPyConnection, Tables, MakeRoom], Journal]
"""Signature of open_journal()."""


def refused_path(path: Path) -> Path:
    """Return the file for rows that the database refused after their events had been acknowledged."""
    return path.with_name(f"{path.name}.refused.ndjson")


def apply(tables: Tables, entries: Sequence[Entry], refused_file: Path) -> None:
    """Write entries into the tables.

    Args:
        tables: the tables.
        entries: the entries that follow the last applied one.
        refused_file: the file to which rows that the database refuses are appended.

    Raises:
        duckdb.Error: the disk, the memory or the engine failed; some or all of the entries may have been written.
        OSError: refused rows could not be written to their file.
    """
    try:
        tables.apply(entries)
    except duckdb.Error as error:
        if len(entries) > 1 and (isinstance(error, duckdb.OutOfMemoryException) or not isinstance(error, TRANSIENT)):
            tables.refresh_applied()  # after an error of the commit itself, the transaction may be committed all the same
            left = [entry for entry in entries if entry.number > tables.applied]
            for part in (left[: len(left) // 2], left[len(left) // 2 :]):
                if part:
                    apply(tables, part, refused_file)
        elif isinstance(error, TRANSIENT):
            raise
        else:
            _apply_accepted_rows(tables, entries[0], refused_file, error)


def apply_with_room(tables: Tables, entries: Sequence[Entry], refused_file: Path, make_room: MakeRoom) -> None:
    """Make room and write entries into the tables, as apply() does. If the memory does not suffice, do it once more."""
    make_room(False)
    try:
        apply(tables, entries, refused_file)
    except duckdb.OutOfMemoryException as error:
        logger.warning("Events are written into the tables after a checkpoint: %s", error)
        tables.end_transaction()
        tables.refresh_applied()
        make_room(True)
        if left := [entry for entry in entries if entry.number > tables.applied]:
            apply(tables, left, refused_file)


def open_journal(path: Path, connection: duckdb.DuckDBPyConnection, tables: Tables, make_room: MakeRoom) -> Journal:
    """Apply the entries that an earlier process left in the journal, then start a new journal.

    Args:
        path: the store's file.
        connection: a connection to it.
        tables: its tables.
        make_room: called before rows are written, to make room for them in memory.

    Returns:
        The journal, ready for new entries.

    Raises:
        StoreError: the journal is damaged, cannot be applied or cannot be created.
    """
    ((namespace,),) = connection.execute("select uuid_namespace from meta").fetchall()
    journal = Journal(path, hashlib.sha256(namespace.bytes).digest()[:MARK_BYTES])
    backlog = Backlog()
    for entry in journal.read(tables.applied):
        backlog.add(complete_entry(decode_entry(entry)), len(entry))
    if len(backlog):
        logger.info("Applying %d events from the journal of %s", len(backlog), path)
    try:
        while entries := backlog.peek():
            apply_with_room(tables, entries, refused_path(path), make_room)
            backlog.remove_applied(tables.applied)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"The journal of {path} cannot be applied: {str(error).splitlines()[0]}") from error
    journal.start(tables.applied)
    return journal


def _apply_accepted_rows(tables: Tables, entry: Entry, refused_file: Path, error: duckdb.Error) -> None:
    """Apply the rows of an entry that the database accepts, and append the others to the file for refused rows."""
    logger.critical("The database refuses acknowledged events; they are kept in %s", refused_file, exc_info=error)
    if refused := tables.find_refused(entry):
        _append(refused_file, refused)  # before the rest is applied: a row kept twice is better than a lost one
        left = [row for row in decode_rows(entry.events) if row not in refused]
        try:
            tables.apply([msgspec.structs.replace(entry, events=encode_rows(left), count=len(left))])
        except TRANSIENT:
            raise
        except duckdb.Error:
            logger.exception("The database refuses the rest of the journal entry too; the entry is kept in %s", refused_file)
        else:
            return
    _append(refused_file, [msgspec.Raw(encode(entry))])
    tables.skip_to(entry.number)


def _append(refused_file: Path, rows: Sequence[msgspec.Raw]) -> None:
    descriptor = os.open(refused_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(bytes(row) + b"\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())
    sync(refused_file.parent)
