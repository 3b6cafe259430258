"""Where a plan and what was stored differ: events, properties and types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from falcon_events.plan.plan import Plan, names_of_the_api
from falcon_events.plan.schema_facts import ANY, Reading
from falcon_events.plan.schemas import Schema

_STORED = {
    "VARCHAR": "string",
    "BIGINT": "integer",
    "UBIGINT": "integer",
    "HUGEINT": "integer",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
    "NULL": "null",
    "ARRAY": "array",
    "OBJECT": "object",
}
"""What the catalogue calls the types of JSON."""

Row = tuple[str, str | None, str | None, int]
"""Event, property, type of its values in the catalogue's words, and how many events; without property, all of the event."""


class Drift(msgspec.Struct, frozen=True):
    """One difference between the plan and what was stored."""

    event: str
    property: str | None
    kind: str
    """unknown event, unseen event, unknown property, unseen property, missing property, or changed type"""
    found: str


def drifts(plan: Plan, rows: Iterable[Row]) -> Iterator[Drift]:
    """The differences between a plan and a catalogue, by event and property.

    Args:
        plan: the plan.
        rows: the catalogue's.
    """
    counts: dict[str, int] = {}
    types: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for event, name, value_type, events in rows:
        if name is None:
            counts[event] = events
        else:
            types[event][name][value_type or ""] = events
    for event in sorted(counts.keys() | plan.schemas.keys()):
        if event not in plan.schemas:
            if event != "identify":
                yield Drift(event, None, "unknown event", f"{counts[event]} stored; the plan has no such event")
        elif event not in counts:
            yield Drift(event, None, "unseen event", "planned; none is stored")
        else:
            yield from _of_event(event, plan.schemas[event], counts[event], types[event])


def _of_event(event: str, schema: Schema, count: int, seen: Mapping[str, Mapping[str, int]]) -> Iterator[Drift]:
    reading = Reading(schema)
    planned, required = reading.names(), reading.required()
    for name in sorted(planned | seen.keys()):
        have = sum(seen.get(name, {}).values())
        if not have:
            if reading.kinds_of_property(name):
                yield Drift(event, name, "unseen property", f"planned; in none of {count} events")
        elif event == "identify":
            continue  # a first binding stores one with the properties of any other event
        elif reading.excludes(name) and not name.startswith("$") and name not in names_of_the_api(event):
            yield Drift(event, name, "unknown property", f"in {have} of {count} events; the plan has no such property")
        elif name in planned:
            if name in required and have < count:
                yield Drift(event, name, "missing property", f"required; {count - have} of {count} events lack it")
            yield from _of_types(event, name, reading.kinds_of_property(name), count, seen[name])


def _of_types(event: str, name: str, allowed: frozenset[str], count: int, seen: Mapping[str, int]) -> Iterator[Drift]:
    # 1.0 is an integer, and is stored as a double, as are integers beyond 64 bits
    right = allowed | ({"number"} if "integer" in allowed else set())
    odd = {_STORED[word]: events for word, events in sorted(seen.items()) if _STORED.get(word, "") in ANY - right}
    if odd:
        found = ", ".join(f"{kind} in {events}" for kind, events in odd.items())
        text = f"{' or '.join(sorted(allowed)) or 'nothing'} planned; {found} of {count} events"
        yield Drift(event, name, "changed type", text)
