"""Checks of a store's file before it is opened: permissions, and names under which its logs would be missed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from falcon_events.errors import StoreError, StoreMissing
from falcon_events.files.paths import WRITABLE, log_of, logs_of
from falcon_events.files.targets import find_store_beside

MOUNTS = Path("/proc/self/mountinfo")
"""The mounts of this process, on Linux (proc_pid_mountinfo(5))."""
_OCTAL = re.compile(rb"\\([0-7]{3})")


def check_access(path: Path, *, create: bool) -> None:
    """Check that this user can read and write the store, or create it, without changing anything.

    Args:
        path: the file's path.
        create: whether a missing file will be created.

    Raises:
        StoreMissing: there is no file, and `create` is false.
        StoreError: the file or its folder cannot be read or written, or the file has several names.
    """
    if path.is_symlink():
        raise StoreError(f"{path} is a symbolic link that was made meanwhile, or that leads in a circle. Remove it.")
    if not path.exists():
        if log := next((log for log in logs_of(path) if log.exists()), None):
            raise StoreError(f"{path} is missing, but its log {log.name} exists. Put the file back, or move the log away.")
        if (store := find_store_beside(path)) is not None:
            raise StoreError(f"{path} is a file of the store {store}. Give the path of that store, or another one.")
        if not create:
            raise StoreMissing(f"{path} does not exist. Give the path of a store, or start `falcon-events serve` to create one.")
        if not path.parent.is_dir():
            raise StoreError(f"{path} cannot be created: there is no folder {path.parent}. Create the folder first.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise StoreError(f"{path} cannot be created: permission denied for this user. {WRITABLE}")
        return
    check_names(path)
    for need, what in ((os.R_OK, "read"), (os.W_OK, "written")):
        if not os.access(path, need):
            raise StoreError(f"{path} cannot be {what}: permission denied for this user. Change its permissions.")
    if not os.access(path.parent, os.W_OK | os.X_OK):  # DuckDB would fail only when it creates the log for the first event
        raise StoreError(f"{path} cannot be written: its log is created in the same folder, which is not writable. {WRITABLE}")


def check_names(path: Path) -> None:
    """Check that the file has one name only: under another one, its logs would be missed.

    Raises:
        StoreError: there is a second hard link, or the file alone is mounted.
    """
    found = path.stat()
    if found.st_nlink > 1 and path.is_file():
        raise StoreError(
            f"{path} has {found.st_nlink} names (hard links), but its log {log_of(path).name} would be beside one of them only."
            f" Remove the other names; this finds them: find / -xdev -samefile {path}"
        )
    if _is_mounted_alone(path, found):
        raise StoreError(
            f"{path} is mounted as a single file, so its logs would be lost where only the file is kept. Mount its folder"
            " instead, with all files of the store."
        )


def check_links(db: Path, links: Sequence[Path]) -> None:
    """Check that no log is beside a symbolic link to the store, where earlier releases wrote the journal.

    Args:
        db: the store's file.
        links: the symbolic links that lead to it.

    Raises:
        StoreError: there is a log that belongs beside the file.
    """
    own = logs_of(db)
    for link in links:
        for log, place in zip(logs_of(link), own, strict=True):
            if log.exists() and Path(os.path.realpath(log)) not in own:
                raise StoreError(
                    f"{log} is beside a symbolic link, but the store's file is {db}, which may lack the events of that log."
                    f" Stop all servers, and move it to the file: mv -n {log} {place}"
                )


def _is_mounted_alone(path: Path, found: os.stat_result) -> bool:
    """Return whether the file itself is a mount point, as with `docker run --volume FILE:FILE`."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:  # not Linux. Where there are mounts to read, overlays may give files another device than their folders.
        return found.st_dev != path.parent.stat().st_dev
    points = (_OCTAL.sub(lambda code: bytes([int(code[1], 8)]), line.split()[4]) for line in lines)
    return os.fsencode(path) in points
