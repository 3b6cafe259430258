"""Drift: differences between a plan and the stored events, in events, properties and types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from falcon_events.model.reports import ObservedProperty
from falcon_events.plan.plan import Plan, get_api_properties
from falcon_events.plan.schema_facts import ANY, SchemaFacts
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
"""The JSON type of each type name in the catalogue."""


class DriftKind(StrEnum):
    """Kind of a difference."""

    UNKNOWN_EVENT = "unknown event"
    UNSEEN_EVENT = "unseen event"
    UNKNOWN_PROPERTY = "unknown property"
    UNSEEN_PROPERTY = "unseen property"
    MISSING_PROPERTY = "missing property"
    CHANGED_TYPE = "changed type"

    @property
    def is_unseen(self) -> bool:
        """Whether something is planned that was never stored."""
        return self in (DriftKind.UNSEEN_EVENT, DriftKind.UNSEEN_PROPERTY)


class Drift(msgspec.Struct, frozen=True):
    """One difference between the plan and the stored events."""

    event: str
    property: str | None
    kind: DriftKind
    found: str


def find_drift(plan: Plan, observed: Iterable[ObservedProperty]) -> Iterator[Drift]:
    """Yield the differences between a plan and a catalogue, by event and property.

    Args:
        plan: the plan.
        observed: how many events have each property, by type of value (StoreAdmin.observed_properties()).
    """
    counts: dict[str, int] = {}
    types: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in observed:
        if row.name is None:
            counts[row.event] = row.events
        else:
            types[row.event][row.name][row.value_type or ""] = row.events
    for event in sorted(counts.keys() | plan.schemas.keys()):
        if event not in plan.schemas:
            if event != "identify":
                yield Drift(event, None, DriftKind.UNKNOWN_EVENT, f"{counts[event]} stored; the plan has no such event")
        elif event not in counts:
            yield Drift(event, None, DriftKind.UNSEEN_EVENT, "planned; never stored")
        else:
            yield from _compare_event(event, plan.schemas[event], counts[event], types[event])


def _compare_event(event: str, schema: Schema, count: int, seen: Mapping[str, Mapping[str, int]]) -> Iterator[Drift]:
    facts = SchemaFacts(schema)
    planned, required = facts.names(), facts.required()
    for name in sorted(planned | seen.keys()):
        have = sum(seen.get(name, {}).values())
        if not have:
            if facts.kinds_of_property(name):
                yield Drift(event, name, DriftKind.UNSEEN_PROPERTY, f"planned; in none of {count} events")
        elif event == "identify":
            continue  # the first event of a binding stores an identify event with its own properties, whatever they are
        elif facts.excludes(name) and not name.startswith("$") and name not in get_api_properties(event):
            yield Drift(event, name, DriftKind.UNKNOWN_PROPERTY, f"in {have} of {count} events; the plan has no such property")
        elif name in planned:
            if name in required and have < count:
                yield Drift(event, name, DriftKind.MISSING_PROPERTY, f"required; {count - have} of {count} events lack it")
            yield from _compare_types(event, name, facts.kinds_of_property(name), count, seen[name])


def _compare_types(event: str, name: str, allowed: frozenset[str], count: int, seen: Mapping[str, int]) -> Iterator[Drift]:
    # JSON Schema takes 1.0 for an integer. DuckDB stores it as a double, like integers beyond 64 bits.
    right = allowed | ({"number"} if "integer" in allowed else set())
    odd = {_STORED[word]: events for word, events in sorted(seen.items()) if _STORED.get(word, "") in ANY - right}
    if odd:
        found = ", ".join(f"{kind} in {events}" for kind, events in odd.items())
        text = f"{' or '.join(sorted(allowed)) or 'nothing'} planned; {found} of {count} events"
        yield Drift(event, name, DriftKind.CHANGED_TYPE, text)
