"""The lock file beside a store: its name, its format, and the process, socket and secret that it names."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from falcon_events.errors import StoreError, StoreLocked
from falcon_events.files.paths import WRITABLE

MAX_SOCKET_PATH = 100
"""Linux allows 107 bytes, macOS 103."""


class Place(NamedTuple):
    """A running owner."""

    pid: int
    address: str
    secret: bytes


def lock_path(db: Path) -> Path:
    """The lock file of a store."""
    return db.with_name(db.name + ".lock")


def find(db: Path) -> Place | None:
    """The owner that the lock file names, which may have gone; None where it names none.

    Raises:
        StoreError: the lock file belongs to another user.
    """
    try:
        pid, address, secret = lock_path(db).read_text().splitlines()
        return Place(int(pid), address, bytes.fromhex(secret))
    except PermissionError:
        raise StoreError(
            f"{lock_path(db)} cannot be read: permission denied for this user. Run as the user whose store it is."
        ) from None
    except (OSError, ValueError):
        return None


def holder(db: Path) -> int | None:
    """The process that holds the lock or is about to, where the lock file names one."""
    try:
        return _pid_of(lock_path(db).read_text())
    except OSError:
        return None


def is_held(db: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        descriptor = os.open(lock_path(db), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def socket_path(db: Path) -> str:
    """Where an owner listens: beside the store, or, where no socket can have that long a name, in a folder of the user's own.

    Raises:
        StoreError: that folder is not this user's alone.
    """
    beside = f"{db.resolve()}.sock"
    if len(os.fsencode(beside)) <= MAX_SOCKET_PATH:
        return beside
    folder = Path(tempfile.gettempdir()) / f"falcon-events-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StoreError(f"{folder} is not a folder of this user alone; remove it, or set TMPDIR to another folder.")
    return str(folder / f"{hashlib.sha256(os.fsencode(beside)).hexdigest()[:32]}.sock")


class FileLock:
    """Holds `<database>.lock`, so that one tracker at a time uses a file; also within one process.

    Args:
        path: the database's path.
        wait_s: how long to wait for another holder to let go, in seconds.
        descriptor: of the lock file, where the caller has opened it.

    Raises:
        StoreLocked: it did not.
        StoreError: the lock file cannot be made.
    """

    def __init__(self, path: Path, wait_s: float, descriptor: int | None = None) -> None:
        self._path = path
        self._descriptor = self._open() if descriptor is None else descriptor
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
            return os.open(lock_path(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{lock_path(self._path)} cannot be opened: {error.strerror}. {WRITABLE}") from None

    def _take(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _holder(self) -> int | None:
        return _pid_of(os.pread(self._descriptor, 20, 0).decode(errors="replace"))

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


def _pid_of(text: str) -> int | None:
    """The process that the lock file's first line names."""
    first = text.split("\n")[0]
    return int(first) if first.isdigit() else None
