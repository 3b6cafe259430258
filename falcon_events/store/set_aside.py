"""Files that were set aside beside a store, such as logs of a replaced file: which of them still contain an erased person."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import UUID

from falcon_events.files.lockfile import lock_path
from falcon_events.files.paths import logs_of
from falcon_events.model.persons import Erased, Visitor

READ_BYTES = 1 << 20


def find_left(path: Path, visitor: Visitor, erased: Erased) -> list[str]:
    """Return the names of the files beside a store that contain an erased person.

    These are files that the store does not use any more, and so does not change: logs that were set aside, and rows that the
    database has refused.

    Args:
        path: the store's file.
        visitor: how the person was named.
        erased: what was erased. Visitors that other people use are not searched for.
    """
    own = [uuid for uuid in erased.visitors if uuid not in erased.shared_visitors]
    names = {name.lower().encode() for name in (*erased.emails, *own, visitor.email, visitor.external_id) if name}
    names |= {((UUID(uuid).int ^ (1 << 127)).to_bytes(16, "little")).lower() for uuid in own}  # as the database's logs hold them
    used = {path, lock_path(path), *logs_of(path)}
    left = []
    for file in sorted(path.parent.glob("*")):
        if file.name.startswith(f"{path.name}.") and file not in used and file.is_file() and not file.is_symlink():
            with contextlib.suppress(OSError):
                if _contains(file, names):
                    left.append(file.name)
    return left


def _contains(file: Path, names: set[bytes]) -> bool:
    """Whether a file contains one of the names, in upper or lower case."""
    longest = max(map(len, names), default=0)
    kept = b""
    with file.open("rb") as source:
        while part := source.read(READ_BYTES):
            searched = kept + part.lower()
            if any(name in searched for name in names):
                return True
            kept = searched[-longest:]
    return False
