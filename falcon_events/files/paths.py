"""A store's file and the logs beside it: their paths, and what the system says of them."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from falcon_events.errors import StoreError, StoreMissing

WRITABLE = "Make its folder writable for this user, or give another path."


def log_of(path: Path) -> Path:
    """The write-ahead log of a store."""
    return path.with_name(f"{path.name}.wal")


def journals_of(path: Path) -> tuple[Path, Path]:
    """The two files that the journal of a store is written to in turn."""
    return path.with_name(f"{path.name}.journal-a"), path.with_name(f"{path.name}.journal-b")


def logs_of(path: Path) -> tuple[Path, ...]:
    """What belongs to a store's file as long as it is there: the database's log, and the journal."""
    return log_of(path), *journals_of(path)


def sync(path: Path) -> None:
    """Has the system write a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Watched:
    """A file under its name: deleted or replaced while it is open, it is still written to, and nobody finds that again.

    Args:
        path: the file's path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._look()
        self.replaced = False
        """Whether another file stands in its place."""

    def trouble(self) -> str | None:
        """What has happened to the file, or None while it stands where it stood."""
        found = self._look()
        if found == self._identity:
            return None
        if found is None:
            return (
                f"{self._path} was deleted or moved while it was in use. Put it back, or restart all servers to make a new store."
            )
        self.replaced = True
        return f"{self._path} was replaced by another file while it was in use."

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  # before each commit: a third of Path.stat()'s time
        except OSError:
            return None
        return found.st_dev, found.st_ino


def set_logs_aside(path: Path) -> list[Path]:
    """Renames the logs of a store whose file has been replaced: they belong to the old one. Their new paths."""
    moved = []
    for log in logs_of(path):
        aside = log.with_name(f"{log.name}.replaced-{time.time_ns()}")
        with contextlib.suppress(FileNotFoundError):
            log.rename(aside)
            moved.append(aside)
    return moved


def check_access(path: Path, *, create: bool) -> None:
    """Raises what keeps this user from having the store, before anything is touched.

    Args:
        path: the file's path.
        create: whether a missing file is made.

    Raises:
        StoreMissing: there is no file, and none is to be made.
        StoreError: the file or its folder cannot be read or written.
    """
    if not path.exists():
        if log := next((log for log in logs_of(path) if log.exists()), None):
            raise StoreError(f"{path} is missing, but its log {log.name} is there. Put the file back, or move the log away.")
        if not create:
            raise StoreMissing(f"{path} does not exist. Give the path of a store, or start `falcon-events serve` to make one.")
        if not path.parent.is_dir():
            raise StoreError(f"{path} cannot be made: there is no folder {path.parent}.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise StoreError(f"{path} cannot be made: permission denied for this user. {WRITABLE}")
        return
    for need, what in ((os.R_OK, "read"), (os.W_OK, "written")):
        if not os.access(path, need):
            raise StoreError(f"{path} cannot be {what}: permission denied for this user. Change its permissions.")
    if not os.access(path.parent, os.W_OK | os.X_OK):  # where DuckDB keeps the log; else the first event would find out
        raise StoreError(f"{path} cannot be written: its log would stand beside it. {WRITABLE}")
