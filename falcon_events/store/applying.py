"""Journaled entries into the tables, come what may: one that the database refuses keeps no other back, and is not lost."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import duckdb
import msgspec

from falcon_events.store.entry import Entry, decode_entry, decode_rows, encode
from falcon_events.store.faults import PASSING
from falcon_events.store.files import sync
from falcon_events.store.journal import MARK_BYTES, Journal
from falcon_events.store.tables import Tables

TAKEN_AT_ONCE = 1_000
"""How many entries are taken in at once when a store is opened."""

logger = logging.getLogger(__name__)


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
            middle = len(entries) // 2
            apply(tables, entries[:middle], aside)
            apply(tables, entries[middle:], aside)
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
        StoreError: the journal is damaged, or cannot be made.
        duckdb.Error, OSError: as apply().
    """
    ((namespace,),) = connection.execute("select uuid_namespace from meta").fetchall()
    journal = Journal(path, hashlib.sha256(namespace.bytes).digest()[:MARK_BYTES])
    if entries := [decode_entry(entry) for entry in journal.read(tables.applied)]:
        logger.info("taking in %d entries of the journal of %s", len(entries), path)
        for start in range(0, len(entries), TAKEN_AT_ONCE):
            apply(tables, entries[start : start + TAKEN_AT_ONCE], refused_of(path))
    journal.start()
    return journal


def _apply_without_culprits(tables: Tables, entry: Entry, aside: Path, error: duckdb.Error) -> None:
    culprits = tables.refused(entry)
    _keep(aside, culprits or [msgspec.Raw(encode(entry))])
    logger.critical("the database refuses what was acknowledged; it is kept in %s", aside, exc_info=error)
    if culprits:
        left = [row for row in decode_rows(entry.events) if row not in culprits]
        tables.apply([msgspec.structs.replace(entry, events=msgspec.Raw(encode(left)), count=len(left))])
    else:
        tables.skip(entry.number)


def _keep(aside: Path, rows: Sequence[msgspec.Raw]) -> None:
    descriptor = os.open(aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(bytes(row) + b"\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())
    sync(aside.parent)
