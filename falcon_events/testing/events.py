"""Tracked events as a test sees them, and what makes one the event that was expected."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = """select event_id::varchar, list_id, event, email, external_id, visitor::varchar, epoch_us(occurred_at), properties
from events order by seq"""


class TrackedEvent(msgspec.Struct, frozen=True):
    """An event in the store; `timestamp` is when it happened."""

    event_id: str
    list_id: int
    event: str
    email: str | None
    id: str
    uuid: str
    timestamp: datetime
    properties: dict[str, Any]


class Expected(msgspec.Struct, frozen=True):
    """What a test expects of an event; None for anything.

    `exact` says that it may have no other properties than these.
    """

    event: str
    list_id: int | None = None
    email: str | None = None
    id: str | int | None = None
    uuid: str | None = None
    properties: Mapping[str, Any] | None = None
    exact: bool = False

    def differences(self, tracked: TrackedEvent) -> list[str]:
        """In what an event is not the expected one, a line for each."""
        lines = []
        for name in ("event", "list_id", "email", "id", "uuid"):
            wanted, found = getattr(self, name), getattr(tracked, name)
            if name == "id" and isinstance(wanted, int):  # as track() takes it
                wanted = str(wanted)
            if wanted is not None and wanted != found:
                lines.append(f"{name}: {found!r}, expected {wanted!r}")
        if self.properties is not None:
            lines += _differences(self.properties, tracked.properties, "properties", self.exact)
        return lines

    def __str__(self) -> str:
        given = {name: getattr(self, name) for name in ("list_id", "email", "id", "uuid", "properties")}
        return ", ".join([repr(self.event), *(f"{name}={value!r}" for name, value in given.items() if value is not None)])

    def report(self, events: Sequence[TrackedEvent]) -> str:
        """Why none of these events is the expected one: the closest, and in what it differs."""
        lines = [f"not tracked: {self}"]
        if not events:
            return "\n".join([*lines, "  nothing was tracked"])
        closest = min(reversed(events), key=self._distance)
        lines.append(f"  the closest of {len(events)} events is {closest.event!r}, number {events.index(closest) + 1}:")
        lines += [f"    {line}" for line in self.differences(closest)]
        counts = Counter(event.event for event in events)
        lines.append("  tracked: " + ", ".join(f"{name} ({count})" for name, count in counts.items()))
        return "\n".join(lines)

    def _distance(self, tracked: TrackedEvent) -> tuple[float, int]:
        likeness = difflib.SequenceMatcher(None, self.event, tracked.event).ratio()
        return 1 - likeness, len(self.differences(tracked))


def event_of(row: Sequence[Any]) -> TrackedEvent:
    """The event of a row of COLUMNS."""
    event_id, list_id, event, email, external_id, visitor, occurred, properties = row
    return TrackedEvent(event_id, list_id, event, email, external_id, visitor, moment(occurred), json.loads(properties))


def moment(microseconds: int) -> datetime:
    """A time in microseconds since 1970, as the store has it."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any], where: str, exact: bool) -> list[str]:
    lines = []
    for name, value in wanted.items():
        place = f"{where}[{name!r}]"
        if name not in found:
            lines.append(f"{place}: missing, expected {value!r}")
        elif isinstance(value, Mapping) and isinstance(found[name], Mapping):
            lines += _differences(value, found[name], place, exact)
        elif not _same(value, found[name]):
            lines.append(f"{place}: {found[name]!r}, expected {value!r}")
    if exact:
        lines += [f"{where}[{name!r}]: {value!r}, not expected" for name, value in found.items() if name not in wanted]
    return lines


def _same(wanted: Any, found: Any) -> bool:
    """Whether they are equal as JSON has it, where True is not 1; a matcher, as mock.ANY, is asked what it equals."""
    if isinstance(wanted, (list, tuple)) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_same, wanted, found))
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return wanted.keys() == found.keys() and all(_same(value, found[name]) for name, value in wanted.items())
    if isinstance(wanted, (int, float)) and isinstance(wanted, bool) is not isinstance(found, bool):
        return False
    return bool(wanted == found)
