"""Checks for `falcon-events doctor`: the lock file, the socket, and the process that they name."""

from __future__ import annotations

import stat
from pathlib import Path

from falcon_events.files.lockfile import find, lock_path
from falcon_events.model.reports import Check


def examine(db: Path) -> list[Check]:
    """Check the lock file and the socket of an open store."""
    owner = find(db)
    if owner is None:
        return [Check("owner", False, f"{lock_path(db)} does not name the process that holds the store; restart the servers")]
    checks = [Check("owner", True, f"process {owner.pid} holds the store")]
    for name, path in (("lock", lock_path(db)), ("socket", Path(owner.address))):
        try:
            found = path.lstat()
        except OSError:
            checks.append(Check(name, False, f"{path} is missing, probably deleted; restart the servers"))
            continue
        open_to_others = bool(stat.S_IMODE(found.st_mode) & 0o077)
        advice = f"; other users can reach it: chmod 600 {path}" if open_to_others else ""
        checks.append(Check(name, not open_to_others, f"{path}, mode {stat.S_IMODE(found.st_mode):04o}{advice}"))
    return checks
