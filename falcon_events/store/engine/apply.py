"""Journaled entries into the tables, come what may: one that the database refuses keeps no other back, and is not lost."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import msgspec

from falcon_events.errors import StoreError
from falcon_events.files.paths import sync
from falcon_events.store.database.errors import PASSING
from falcon_events.store.engine.backlog import Backlog
from falcon_events.store.engine.entry import Entry, decode_entry, decode_rows, encode, encoded
from falcon_events.store.engine.journal import MARK_BYTES, Journal
from falcon_events.store.engine.tables import Tables

logger = logging.getLogger(__name__)

TakeIn = Callable[[Path, duckdb.DuckDBPyConnection, Tables], Journal]
"""Gives the journal of a store that is being opened, as taken_in() does."""


def refused_of(path: Path) -> Path:
    """Where rows are kept that the database refused after their events had been acknowledged."""
    return path.with_name(f"{path.name}.refused.ndjson")


def apply(tables: Tables, entries: Sequence[Entry], aside: Path) -> None:
    """Writes entries into the tables.

    Args:
        tables: the tables.
        entries: the ones that follow upon the last.
        aside: the file to which rows that the database refuses are appended.

    Raises:
        duckdb.Error: the disk's, the memory's or the engine's doing; some or all of it may have been written.
        OSError: refused rows could not be kept.
    """
    try:
        tables.apply(entries)
    except duckdb.Error as error:
        if len(entries) > 1 and (isinstance(error, duckdb.OutOfMemoryException) or not isinstance(error, PASSING)):
            tables.look()  # an error of the commit itself does not say that it did not take place
            left = [entry for entry in entries if entry.number > tables.applied]
            for part in (left[: len(left) // 2], left[len(left) // 2 :]):
                if part:
                    apply(tables, part, aside)
        elif isinstance(error, PASSING):
            raise
        else:
            _apply_without_culprits(tables, entries[0], aside, error)


def taken_in(path: Path, connection: duckdb.DuckDBPyConnection, tables: Tables) -> Journal:
    """The journal of a store that is being opened; what an earlier process left in it is in the tables.

    Args:
        path: the store's file.
        connection: to it.
        tables: its tables.

    Raises:
        StoreError: the journal is damaged, or cannot be taken in or made.
    """
    ((namespace,),) = connection.execute("select uuid_namespace from meta").fetchall()
    journal = Journal(path, hashlib.sha256(namespace.bytes).digest()[:MARK_BYTES])
    backlog = Backlog()
    for entry in journal.read(tables.applied):
        backlog.add(decode_entry(entry), len(entry))
    if len(backlog):
        logger.info("taking in %d events of the journal of %s", len(backlog), path)
    try:
        while entries := backlog.first():
            apply(tables, entries, refused_of(path))
            backlog.stored(tables.applied)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"The journal of {path} cannot be taken in: {str(error).splitlines()[0]}") from error
    journal.start()
    return journal


def _apply_without_culprits(tables: Tables, entry: Entry, aside: Path, error: duckdb.Error) -> None:
    logger.critical("the database refuses what was acknowledged; it is kept in %s", aside, exc_info=error)
    if culprits := tables.refused(entry):
        _keep(aside, culprits)  # first: kept twice is better than lost
        left = [row for row in decode_rows(entry.events) if row not in culprits]
        try:
            tables.apply([msgspec.structs.replace(entry, events=encoded(left), count=len(left))])
        except PASSING:
            raise
        except duckdb.Error:
            logger.exception("the rest of the entry is refused, too")
        else:
            return
    _keep(aside, [msgspec.Raw(encode(entry))])
    tables.skip(entry.number)


def _keep(aside: Path, rows: Sequence[msgspec.Raw]) -> None:
    descriptor = os.open(aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(bytes(row) + b"\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())
    sync(aside.parent)
