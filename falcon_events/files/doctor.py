"""doctor's look at what makes a store reachable: the lock file, the socket, and the process behind them."""

from __future__ import annotations

import stat
from pathlib import Path

from falcon_events.files.lockfile import find, lock_path
from falcon_events.model.reports import Check


def examine(db: Path) -> list[Check]:
    """What is right and wrong with the lock file and the socket of a store that is open."""
    db = db.absolute()
    place = find(db)
    if place is None:
        return [Check("owner", False, f"{lock_path(db)} does not say which process holds the store; restart the servers")]
    checks = [Check("owner", True, f"process {place.pid} holds the store")]
    for name, path in (("lock", lock_path(db)), ("socket", Path(place.address))):
        try:
            found = path.lstat()
        except OSError:
            checks.append(Check(name, False, f"{path} is missing; somebody has deleted it: restart the servers"))
            continue
        open_to_others = bool(stat.S_IMODE(found.st_mode) & 0o077)
        advice = f"; others may reach it: chmod 600 {path}" if open_to_others else ""
        checks.append(Check(name, not open_to_others, f"{path}, mode {stat.S_IMODE(found.st_mode):04o}{advice}"))
    return checks
