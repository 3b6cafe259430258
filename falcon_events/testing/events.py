"""Tracked events as tests see them, and their comparison with the expected ones."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TrackedEvent(msgspec.Struct, frozen=True):
    """An event in the store; `timestamp` is the time at which it happened."""

    event_id: str
    list_id: int
    event: str
    email: str | None
    id: str
    uuid: str
    timestamp: datetime
    properties: dict[str, Any]


class ExpectedEvent(msgspec.Struct, frozen=True):
    """The event that a test expects; None matches anything.

    With `exact`, the event may have no properties other than these.
    """

    event: str
    list_id: int | None = None
    email: str | None = None
    id: str | int | None = None
    uuid: str | None = None
    properties: Mapping[str, Any] | None = None
    exact: bool = False

    def compare(self, tracked: TrackedEvent) -> list[str]:
        """Return a line for each difference between a tracked event and the expected one."""
        lines = []
        for name in ("event", "list_id", "email", "id", "uuid"):
            wanted, found = getattr(self, name), getattr(tracked, name)
            if name == "id" and isinstance(wanted, int):  # track() also accepts an integer
                wanted = str(wanted)
            if wanted is not None and wanted != found:
                lines.append(f"{name}: {found!r}, expected {wanted!r}")
        if self.properties is not None:
            lines += _compare(self.properties, tracked.properties, "properties", self.exact)
        return lines

    def __str__(self) -> str:
        given = {name: getattr(self, name) for name in ("list_id", "email", "id", "uuid", "properties")}
        return ", ".join([repr(self.event), *(f"{name}={value!r}" for name, value in given.items() if value is not None)])

    def report(self, events: Sequence[TrackedEvent]) -> str:
        """Explain that none of these events is the expected one: show the closest event and its differences."""
        lines = [f"not tracked: {self}"]
        if not events:
            return "\n".join([*lines, "  nothing was tracked"])
        closest = min(reversed(events), key=self._measure_distance)
        lines.append(f"  the closest of {len(events)} events is {closest.event!r}, number {events.index(closest) + 1}:")
        lines += [f"    {line}" for line in self.compare(closest)]
        counts = Counter(event.event for event in events)
        lines.append("  tracked: " + ", ".join(f"{name} ({count})" for name, count in counts.items()))
        return "\n".join(lines)

    def _measure_distance(self, tracked: TrackedEvent) -> tuple[float, int]:
        likeness = difflib.SequenceMatcher(None, self.event, tracked.event).ratio()
        return 1 - likeness, len(self.compare(tracked))


def parse_event(row: Sequence[Any]) -> TrackedEvent:
    """Parse a row of TRACKED_EVENTS."""
    event_id, list_id, event, email, external_id, visitor, occurred, properties = row
    return TrackedEvent(event_id, list_id, event, email, external_id, visitor, to_datetime(occurred), json.loads(properties))


def to_datetime(microseconds: int) -> datetime:
    """Convert microseconds since 1970 to a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _compare(wanted: Mapping[str, Any], found: Mapping[str, Any], where: str, exact: bool) -> list[str]:
    lines = []
    for name, value in wanted.items():
        place = f"{where}[{name!r}]"
        if name not in found:
            lines.append(f"{place}: missing, expected {value!r}")
        elif isinstance(value, Mapping) and isinstance(found[name], Mapping):
            lines += _compare(value, found[name], place, exact)
        elif not _is_equal(value, found[name]):
            lines.append(f"{place}: {found[name]!r}, expected {value!r}")
    if exact:
        lines += [f"{where}[{name!r}]: {value!r}, not expected" for name, value in found.items() if name not in wanted]
    return lines


def _is_equal(wanted: Any, found: Any) -> bool:
    """Return whether two values are equal in JSON, where true is not 1. Matchers such as mock.ANY decide by their own `==`."""
    if isinstance(wanted, (list, tuple)) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_is_equal, wanted, found))
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return wanted.keys() == found.keys() and all(_is_equal(value, found[name]) for name, value in wanted.items())
    if isinstance(wanted, (int, float)) and isinstance(wanted, bool) is not isinstance(found, bool):
        return False
    return bool(wanted == found)
