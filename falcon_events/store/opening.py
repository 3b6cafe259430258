"""Opening the store's file: the lock beside it, the database's limits, and errors that say what to do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path

import duckdb

from falcon_events.errors import StoreError, StoreLocked, StoreMissing
from falcon_events.settings import Settings
from falcon_events.store.migrations import migrate

STORAGE_VERSION = "v1.5.0"
"""The oldest DuckDB whose files this package writes, whatever the installed one would prefer."""

_WRITABLE = "Make its folder writable for this user, or give another path."


class FileLock:
    """Holds `<database>.lock`, so that one tracker at a time uses a file; also within one process.

    Args:
        path: the database's path.
        wait_s: how long to wait for another holder to let go, in seconds.

    Raises:
        StoreLocked: it did not.
        StoreError: the lock file cannot be made.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self._path = path
        self._descriptor = self._open()
        deadline = time.monotonic() + wait_s
        try:
            while not self._take():
                if time.monotonic() >= deadline:
                    raise StoreLocked(str(path), self._holder())
                time.sleep(0.02)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._write(str(os.getpid()))

    def publish(self, address: str, secret: bytes) -> None:
        """Writes down where this process listens, and what whoever connects has to know: only this user can read it."""
        self._write(f"{os.getpid()}\n{address}\n{secret.hex()}\n")

    def release(self) -> None:
        """Lets go. The lock file stays: removing it would let two processes hold two files of one name."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def _open(self) -> int:
        try:
            return os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{self._path}.lock cannot be opened: {error.strerror}. {_WRITABLE}") from None

    def _take(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _holder(self) -> int | None:
        first = os.pread(self._descriptor, 20, 0).split(b"\n")[0]
        return int(first) if first.isdigit() else None

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


def open_database(path: Path, settings: Settings, *, create: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection to the store's file at today's schema; the file is made where there is none.

    Args:
        path: the file's path.
        settings: memory, threads and checkpoints are limited as they say.
        create: whether a missing file is made.

    Raises:
        StoreMissing: there is no file, and none is to be made.
        StoreLocked: another process holds the file.
        StoreError: the file cannot be read or written, is no store, is damaged or from a newer release.
    """
    if not create and not path.exists():
        raise StoreMissing(f"{path} does not exist. Give the path of a store, or start `falcon-events serve` to make one.")
    if path.exists():
        for need, what in ((os.R_OK, "read"), (os.W_OK, "written")):
            if not os.access(path, need):
                raise StoreError(f"{path} cannot be {what}: permission denied for this user. Change its permissions.")
        if not os.access(path.parent, os.W_OK | os.X_OK):  # where DuckDB keeps the log; else the first event would find out
            raise StoreError(f"{path} cannot be written: its log would stand beside it. {_WRITABLE}")
    else:
        _make(path, settings)
    return _connect(path, settings)


def _connect(path: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(
            str(path),
            config={
                "memory_limit": f"{settings.memory_limit_mb}MB",
                "threads": settings.threads,
                "checkpoint_threshold": f"{settings.checkpoint_wal_mb}MB",
                "storage_compatibility_version": STORAGE_VERSION,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
    except duckdb.Error as error:
        raise _explained(path, error) from error
    try:
        migrate(connection, str(path))
    except duckdb.Error as error:
        connection.close()
        raise _explained(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path, settings: Settings) -> None:
    """Makes a new store, readable for its owner only, whole or not at all."""
    unfinished = path.with_name(path.name + ".new")
    try:
        unfinished.unlink(missing_ok=True)
        # DuckDB's own words for a folder without permission are an internal error.
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        unfinished.unlink()
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}. {_WRITABLE}") from None
    _connect(unfinished, settings).close()
    unfinished.chmod(0o600)
    unfinished.rename(path)


def _explained(path: Path, error: duckdb.Error) -> StoreError:
    text = str(error).splitlines()[0]
    if "Could not set lock" in text:
        pid = re.search(r"PID (\d+)", str(error))
        return StoreLocked(str(path), int(pid[1]) if pid else None)
    if "not a valid DuckDB database" in text:
        return StoreError(f"{path} is not a DuckDB database. Give the path of a store, or of a file that does not exist yet.")
    if "newer" in text or "version number" in text:
        return StoreError(f"{path} was written by a newer DuckDB than {duckdb.__version__}; upgrade with: pip install -U duckdb")
    if "Could not read enough bytes" in text or isinstance(error, (duckdb.FatalException, duckdb.SerializationException)):
        return StoreError(f"{path} is damaged: {text} Restore it from a backup.")
    return StoreError(f"{path} cannot be opened: {text}")
