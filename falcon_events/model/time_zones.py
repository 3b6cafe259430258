"""Time zones by their names in the IANA database of this machine or, where it has none, of the package tzdata."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo


def find_time_zone(name: str) -> tzinfo | None:
    """Return the time zone of a name such as `Europe/Berlin`; None if there is none. `UTC` needs no database."""
    if name == "UTC":
        return UTC
    if name == "localtime":  # a file of the machine, not a name
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown; a folder of the database; a name that is no relative path
        return None
