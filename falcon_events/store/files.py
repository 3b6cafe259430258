"""The store's file and the lock beside it, as the system sees them; no database."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from falcon_events.errors import StoreError, StoreLocked, StoreMissing

WRITABLE = "Make its folder writable for this user, or give another path."


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
            raise StoreError(f"{self._path}.lock cannot be opened: {error.strerror}. {WRITABLE}") from None

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
