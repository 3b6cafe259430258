"""Paths of a store's file and of the logs beside it, and checks of their permissions."""

from __future__ import annotations

import contextlib
import enum
import glob
import os
import time
from pathlib import Path

from falcon_events.errors import StoreError, StoreMissing

WRITABLE = "Make its folder writable for this user, or give another path."


def log_of(path: Path) -> Path:
    """Return the path of a store's write-ahead log."""
    return path.with_name(f"{path.name}.wal")


def journals_of(path: Path) -> tuple[Path, Path]:
    """Return the paths of the two files that a store's journal alternates between."""
    return path.with_name(f"{path.name}.journal-a"), path.with_name(f"{path.name}.journal-b")


def logs_of(path: Path) -> tuple[Path, ...]:
    """Return the paths of the files that a store's file needs as long as they exist: the write-ahead log and the journal."""
    return log_of(path), *journals_of(path)


def compacted_copy(path: Path) -> Path:
    """Return the path of the copy that a compaction writes before it replaces the store's file with it."""
    return path.with_name(f"{path.name}.compact")


def unfinished_copy(target: Path) -> Path:
    """Return the path where a copy of the store is written until it is complete."""
    return target.with_name(f"{target.name}.unfinished")


def unfinished_store(path: Path) -> Path:
    """Return the path where a new store is written until it is complete."""
    return path.with_name(f"{path.name}.new")


def spill_folder(path: Path) -> Path:
    """Return the folder to which the database writes what does not fit into its memory."""
    return path.with_name(f"{path.name}.tmp")


def remove_leftovers(path: Path) -> list[Path]:
    """Remove the unfinished copies beside a store that a killed process left there, and return their paths.

    They hold events, which must not outlive the erasure of a person. Call it while no database is open at these paths.
    """
    copy = compacted_copy(path)
    files = [file for base in (copy, unfinished_copy(copy), unfinished_store(path)) for file in (base, log_of(base))]
    removed = []
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
            removed.append(file)
    return removed


def remove_spilled(path: Path) -> None:
    """Remove what databases that are no longer open have spilled beside a store."""
    for folder in path.parent.glob(f"{glob.escape(path.name)}.*tmp"):
        for spilled in folder.glob("duckdb_temp_*"):
            with contextlib.suppress(OSError):
                spilled.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()


def sync(path: Path) -> None:
    """Sync a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileState(enum.Enum):
    """State of the file at a path, compared with the file that was opened there."""

    UNCHANGED = "unchanged"
    MISSING = "missing"
    REPLACED = "replaced"


class WatchedFile:
    """An open file that may be deleted or replaced. Writes to it would then still succeed, but be lost.

    Args:
        path: the file's path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._read_identity()

    def check(self) -> FileState:
        """Return whether the path still leads to the same file."""
        found = self._read_identity()
        if found == self._identity:
            return FileState.UNCHANGED
        return FileState.MISSING if found is None else FileState.REPLACED

    def describe(self, state: FileState) -> str:
        """Describe a state other than UNCHANGED, for logs and health checks."""
        if state is FileState.MISSING:
            return f"{self._path} was deleted or moved while it was in use. Put it back, or restart all servers for a new store."
        return f"{self._path} was replaced by another file while it was in use."

    def _read_identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  # runs before each commit; Path.stat() takes three times as long
        except OSError:
            return None
        return found.st_dev, found.st_ino


def rename_logs(path: Path) -> list[Path]:
    """Rename the logs of a store whose file has been replaced, because they belong to the old file. Return their new paths."""
    renamed = []
    for log in logs_of(path):
        target = log.with_name(f"{log.name}.replaced-{time.time_ns()}")
        with contextlib.suppress(FileNotFoundError):
            log.rename(target)
            renamed.append(target)
    return renamed


def check_access(path: Path, *, create: bool) -> None:
    """Check that this user can read and write the store, or create it, without changing anything.

    Args:
        path: the file's path.
        create: whether a missing file will be created.

    Raises:
        StoreMissing: there is no file, and `create` is false.
        StoreError: the file or its folder cannot be read or written.
    """
    if not path.exists():
        if log := next((log for log in logs_of(path) if log.exists()), None):
            raise StoreError(f"{path} is missing, but its log {log.name} exists. Put the file back, or move the log away.")
        if not create:
            raise StoreMissing(f"{path} does not exist. Give the path of a store, or start `falcon-events serve` to create one.")
        if not path.parent.is_dir():
            raise StoreError(f"{path} cannot be created: there is no folder {path.parent}. Create the folder first.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise StoreError(f"{path} cannot be created: permission denied for this user. {WRITABLE}")
        return
    for need, what in ((os.R_OK, "read"), (os.W_OK, "written")):
        if not os.access(path, need):
            raise StoreError(f"{path} cannot be {what}: permission denied for this user. Change its permissions.")
    if not os.access(path.parent, os.W_OK | os.X_OK):  # DuckDB would fail only when it creates the log for the first event
        raise StoreError(f"{path} cannot be written: its log is created in the same folder, which is not writable. {WRITABLE}")
