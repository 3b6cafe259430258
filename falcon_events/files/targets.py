"""Files that a command or a call may write: never one of a store, under any name."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from falcon_events.errors import EventsError
from falcon_events.files.lockfile import is_held
from falcon_events.files.paths import logs_of, resolve

_BESIDE = re.compile(
    r"\.(wal(\.checkpoint|\.recovery)?|journal-[ab]|lock|sock|refused\.ndjson|compact)((\.torn|\.replaced)-\d+|\.new)?$"
)
"""Endings of the names of the files beside a store, after the name of the store's file."""
_DATABASE, _DATABASE_AT = b"DUCK", 8
_LOG_STARTS = (b"falcon-events journal ", b"\x64\x00\x62\x65\x00")
"""The beginnings of a journal and of the database's log."""


def check_target(given: str | Path, db: Path | None = None, *, is_backup: bool = False) -> Path:
    """Check that writing a file does not destroy a store, and return the file's path without symbolic links.

    Args:
        given: the path of the file to write.
        db: the store that is open.
        is_backup: whether a store is written, which may replace another one that no process uses.

    Raises:
        EventsError: the file belongs to a store.
    """
    target = resolve(given)
    if db is not None and target == db:
        raise EventsError(f"{given} is the store itself; give another path.")
    if (store := find_store_beside(target, db)) is not None:
        raise EventsError(f"{given} belongs to the store {store}; give another path.")
    try:
        found = target.stat()
    except OSError:
        return target
    if db is not None and (name := _find_same(found, db)) is not None:
        raise EventsError(f"{given} is another name of {name}; give another path.")
    if stat.S_ISSOCK(found.st_mode) or stat.S_ISBLK(found.st_mode):
        raise EventsError(f"{given} is a socket or a disk; give the path of a file.")
    if not stat.S_ISREG(found.st_mode):
        return target
    start = _read_start(target)
    if start.startswith(_LOG_STARTS):
        raise EventsError(f"{given} is the log of a store; give another path.")
    if _is_database(start):
        if not is_backup:
            raise EventsError(f"{given} is a database; give another path.")
        if is_held(target) or any(log.exists() for log in logs_of(target)):
            raise EventsError(f"{given} is a store that is in use, or has logs that belong to it; give another path.")
    return target


def find_store_beside(target: Path, db: Path | None = None) -> Path | None:
    """Return the store that a file belongs to according to its name, such as events.duckdb for events.duckdb.wal.

    Args:
        target: the file's path, without symbolic links; there may be no such file.
        db: a store that is open.
    """
    if (ending := _BESIDE.search(target.name)) is None:
        return None
    store = target.with_name(target.name[: ending.start()])
    if store == db or _is_database(_read_start(store)):
        return store
    return None


def _find_same(found: os.stat_result, db: Path) -> Path | None:
    """Return the file of a store, beside it, that a file is a hard link to."""
    for path in db.parent.iterdir():
        if path.name == db.name or (path.name.startswith(db.name) and _BESIDE.fullmatch(path.name[len(db.name) :])):
            try:
                own = path.stat()
            except OSError:
                continue
            if os.path.samestat(own, found):
                return path
    return None


def _is_database(start: bytes) -> bool:
    return start[_DATABASE_AT : _DATABASE_AT + len(_DATABASE)] == _DATABASE


def _read_start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(32) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""
