"""Where a store's owner is to be found: the lock file beside the store says its process, its socket and its secret."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from falcon_events.errors import StoreError

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
        first = lock_path(db).read_text().split("\n")[0]
    except OSError:
        return None
    return int(first) if first.isdigit() else None


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
