"""Paths of a store's file and of the logs beside it."""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

WRITABLE = "Make its folder writable for this user, or give another path."

_LEFTOVER = re.compile(r"\.(compact(\.unfinished-[0-9a-f]{32})?|new-[0-9a-f]{32})(\.wal)?")
"""Endings of the names of a store's unfinished copies, after the store's name."""
_CUT_JOURNAL = re.compile(r"\.journal-[ab]\.cut-")
_SPILL = re.compile(r"\..*tmp", re.DOTALL)
"""Endings of the names of the folders that its databases spill to."""


def resolve(db: str | Path) -> Path:
    """Return the absolute path of a store's file, with every symbolic link followed, also one that leads to no file yet.

    The logs, the lock and the socket are beside the file itself, whatever name leads to it.
    """
    return Path(os.path.realpath(db))


def list_links(db: str | Path) -> list[Path]:
    """Return the symbolic links that lead from a store's name to its file, without links of folders on the way."""
    links: list[Path] = []
    path = Path(os.path.realpath(Path(db).parent), Path(db).name)
    while path.is_symlink() and path not in links:
        links.append(path)
        target = path.parent / path.readlink()
        path = Path(os.path.realpath(target.parent), target.name)
    return links


def log_of(path: Path) -> Path:
    """Return the path of a store's write-ahead log."""
    return path.with_name(f"{path.name}.wal")


def wals_of(path: Path) -> tuple[Path, Path]:
    """Return the paths of a store's write-ahead log, and of the one that the database writes during a checkpoint."""
    log = log_of(path)
    return log, log.with_name(f"{log.name}.checkpoint")


def journals_of(path: Path) -> tuple[Path, Path]:
    """Return the paths of the two files that a store's journal alternates between."""
    return path.with_name(f"{path.name}.journal-a"), path.with_name(f"{path.name}.journal-b")


def logs_of(path: Path) -> tuple[Path, ...]:
    """Return the paths of the files that a store's file needs as long as they exist: the database's logs and the journal."""
    log = log_of(path)
    # The database writes the third one while it recovers from a checkpoint that was interrupted.
    return *wals_of(path), log.with_name(f"{log.name}.recovery"), *journals_of(path)


def compacted_copy(path: Path) -> Path:
    """Return the path of the copy that a compaction writes before it replaces the store's file with it."""
    return path.with_name(f"{path.name}.compact")


def unfinished_copy(target: Path) -> Path:
    """Return a new path where a copy of the store is written until it is complete."""
    return target.with_name(f"{target.name}.unfinished-{uuid.uuid4().hex}")


def unfinished_store(path: Path) -> Path:
    """Return a new path where a new store is written until it is complete."""
    return path.with_name(f"{path.name}.new-{uuid.uuid4().hex}")


def spill_folder(path: Path) -> Path:
    """Return the folder to which the database writes what does not fit into its memory."""
    return path.with_name(f"{path.name}.tmp")


def cut_journals_of(path: Path) -> list[Path]:
    """Return the files that a journal was set aside as because another program had cut or overwritten it."""
    return sorted(path.with_name(path.name + ending) for ending in list_endings(path) if _CUT_JOURNAL.match(ending))


def list_endings(path: Path) -> list[str]:
    """List how the names of files that begin with a file's name go on. Path.glob() would take a millisecond for its pattern."""
    with contextlib.suppress(OSError), os.scandir(path.parent) as beside:
        return [file.name.removeprefix(path.name) for file in beside if file.name.startswith(path.name)]
    return []


@contextlib.contextmanager
def hold_database_lock(db: Path) -> Iterator[bool]:
    """Try to hold DuckDB's own lock on a file, and yield whether that worked, or there is no file.

    Call it while this process does not have the database open, because the lock is the process's.
    """
    try:
        file = db.open("r+b")
    except OSError:
        yield not db.exists()
        return
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def remove_leftovers(path: Path) -> list[Path]:
    """Remove the unfinished copies beside a store that a killed process left there, and return their paths.

    They hold events, which must not outlive the erasure of a person. Call it while no database is open at these paths.
    """
    files = [path.with_name(path.name + ending) for ending in list_endings(path) if _LEFTOVER.fullmatch(ending)]
    removed = []
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
            removed.append(file)
    return removed


def remove_spilled(path: Path) -> None:
    """Remove what databases that are no longer open have spilled beside a store."""
    for folder in [path.with_name(path.name + ending) for ending in list_endings(path) if _SPILL.fullmatch(ending)]:
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
    MOVED = "moved"
    """The path is a symbolic link to the same file now."""


class WatchedFile:
    """An open file that may be deleted or replaced. Writes to it would then still succeed, but be lost.

    Args:
        path: the file's path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = 0
        """The file's size at the last check."""
        self._identity = self._read_identity()

    def check(self) -> FileState:
        """Return whether the path still leads to the same file."""
        found = self._read_identity()
        if found == self._identity:
            return FileState.UNCHANGED
        if found is None:
            return FileState.MISSING
        with contextlib.suppress(OSError):
            if _identify(self._path.stat()) == self._identity:
                return FileState.MOVED
        return FileState.REPLACED

    def describe(self, state: FileState) -> str:
        """Describe a state other than UNCHANGED, for logs and health checks."""
        if state is FileState.MOVED:
            return (
                f"{self._path} was moved to {resolve(self._path)} while it was in use, without its logs. Move it back, stop all"
                " servers, and then move it."
            )
        if state is FileState.MISSING:
            return f"{self._path} was deleted or moved while it was in use. Put it back, or restart all servers for a new store."
        return f"{self._path} was replaced by another file while it was in use."

    def _read_identity(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self._path)  # runs before each commit; Path.lstat() takes three times as long
        except OSError:
            return None
        self.size = found.st_size
        return found.st_dev, found.st_ino


def _identify(found: os.stat_result) -> tuple[int, int]:
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
