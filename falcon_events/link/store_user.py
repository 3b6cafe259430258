"""The user that owns a store. Root starts the owner process as this user, so that the files of the store stay this user's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import msgspec


class StoreUser(msgspec.Struct, frozen=True):
    """A user for the owner process.

    `required` is false for a new store: then the owner process runs as root if this user cannot run it.
    """

    uid: int
    gid: int
    name: str
    home: str
    required: bool


def find_user(db: Path) -> StoreUser | None:
    """Return the user that the owner process must run as: the file's owner, or that of the folder of a new file.

    Returns:
        The user; None if it is this process's own, or this process is not root, and cannot change its user.
    """
    if os.geteuid() != 0:
        return None
    required = db.exists()
    found = (db if required else db.parent).stat()
    if found.st_uid == 0:
        return None
    try:
        known = pwd.getpwuid(found.st_uid)
    except KeyError:
        return StoreUser(found.st_uid, found.st_gid, str(found.st_uid), "/", required)
    return StoreUser(known.pw_uid, known.pw_gid, known.pw_name, known.pw_dir, required)
