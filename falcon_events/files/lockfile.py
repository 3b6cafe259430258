"""Lock file beside a store: its path, its format, and the process, socket and secret that it names."""

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
"""The longest path of a socket. Linux allows 107 bytes, macOS 103."""
SHORT_FOLDERS = ("/tmp", "/var/tmp")

_DENIED = "{} cannot be read: permission denied for this user. Run as the user who owns the store."


class OwnerAddress(NamedTuple):
    """Owner process of a store: its pid, the path of its socket, and the secret that clients must know."""

    pid: int
    address: str
    secret: bytes


def lock_path(db: Path) -> Path:
    """Return the path of a store's lock file."""
    return db.with_name(db.name + ".lock")


def find(db: Path) -> OwnerAddress | None:
    """Read the owner that the lock file names; the process may have ended. None: it names no owner.

    Raises:
        StoreError: the lock file belongs to another user.
    """
    try:
        pid, address, secret = lock_path(db).read_text().splitlines()
        return OwnerAddress(int(pid), address, bytes.fromhex(secret))
    except PermissionError:
        raise StoreError(_DENIED.format(lock_path(db))) from None
    except (OSError, ValueError):
        return None


def holder(db: Path) -> int | None:
    """Read the pid of the process that holds the lock, or held it last. None: the lock file names none."""
    try:
        return _parse_pid(lock_path(db).read_text())
    except OSError:
        return None


def is_held(db: Path) -> bool:
    """Whether a process holds the lock.

    Raises:
        StoreError: the lock file belongs to another user.
    """
    try:
        descriptor = os.open(lock_path(db), os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        raise StoreError(_DENIED.format(lock_path(db))) from None
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
    """Return the path of the owner's socket: beside the store, or in a private folder for temporary files if that is too long.

    Raises:
        StoreError: there is no such folder, or it belongs to another user or is open to other users.
    """
    beside = f"{db}.sock"
    if _fits(beside):
        return beside
    name = f"{hashlib.sha256(os.fsencode(beside)).hexdigest()[:24]}.sock"
    for temporary in (tempfile.gettempdir(), *SHORT_FOLDERS):  # macOS has long paths in TMPDIR
        folder = Path(temporary) / f"falcon-events-{os.geteuid()}"
        if _fits(str(folder / name)):
            break
    else:
        raise StoreError(f"The path of {db} is too long for a socket beside it, and TMPDIR, too. Set TMPDIR to a shorter path.")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The path of {db} is too long for a socket beside it, and {folder} cannot be created: {error.strerror}. "
            "Set TMPDIR to a folder with a short path."
        ) from None
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StoreError(f"{folder} is not a private folder of this user. Remove it, or set TMPDIR to another folder.")
    return str(folder / name)


def _fits(path: str) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH


class FileLock:
    """Lock on `<database>.lock`, so that only one store at a time uses a file, even within one process.

    Args:
        path: the database's path.
        wait_s: how long to wait for another holder to release the lock, in seconds.
        descriptor: the descriptor of the lock file, if the caller has opened it.

    Raises:
        StoreLocked: the other holder did not release the lock in time.
        StoreError: the lock file cannot be created.
    """

    def __init__(self, path: Path, wait_s: float, descriptor: int | None = None) -> None:
        self._path = path
        self._descriptor = self._open() if descriptor is None else descriptor
        deadline = time.monotonic() + wait_s
        try:
            while not self._try_lock():
                if time.monotonic() >= deadline:
                    raise StoreLocked(str(path), self._read_holder())
                time.sleep(0.02)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._write(str(os.getpid()))

    def publish(self, address: str, secret: bytes) -> None:
        """Write the socket's path and the secret that clients must know into the lock file, which only this user can read."""
        self._write(f"{os.getpid()}\n{address}\n{secret.hex()}\n")

    def restore(self, address: str, secret: bytes) -> bool:
        """Make the lock file anew if it was deleted or replaced.

        Args:
            address: the path of the socket to publish.
            secret: the secret to publish.

        Returns:
            Whether the lock file is in its place; false if another process holds the lock of the file that is there now.

        Raises:
            OSError: the lock file cannot be created.
        """
        try:
            if os.path.samestat(os.lstat(lock_path(self._path)), os.fstat(self._descriptor)):
                return True
        except FileNotFoundError:
            pass
        fresh = os.open(lock_path(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fresh, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fresh)
            return False
        before, self._descriptor = self._descriptor, fresh
        os.close(before)
        self.publish(address, secret)
        return True

    def release(self) -> None:
        """Release the lock. The lock file stays: if it were removed, two processes could lock two files of the same name."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def _open(self) -> int:
        try:
            return os.open(lock_path(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            path = lock_path(self._path)
            advice = f"Give it to the user of the store: chown --reference={self._path} {path}"
            raise StoreError(f"{path} cannot be opened: {error.strerror}. {advice if path.exists() else WRITABLE}") from None

    def _try_lock(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _read_holder(self) -> int | None:
        return _parse_pid(os.pread(self._descriptor, 20, 0).decode(errors="replace"))

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


def _parse_pid(text: str) -> int | None:
    """Return the pid in the lock file's first line."""
    first = text.split("\n")[0]
    return int(first) if first.isdigit() else None
