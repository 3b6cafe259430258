"""Observed properties: which properties events have, and values of which types."""

from __future__ import annotations

from datetime import UTC

from falcon_events.model.reports import ObservedProperty, SeenEvent, SeenEvents, SeenProperties, SeenProperty
from falcon_events.store.database import duckdb

OBSERVED = """
select event, name, value_type, sum(events)::bigint as events
from (
    select list_id, event, name, value_type, events from event_properties
    union all
    select list_id, event, null, null, events from event_types
    union all
    select list_id, event, unnest(json_keys(properties)), unnest(json_type(properties, '$.*')), 1
    from events where seq > (select folded_seq from meta)
    union all
    select list_id, event, null, null, 1 from events where seq > (select folded_seq from meta)
)
where $list_id is null or list_id = $list_id
group by all
order by all
"""
"""The properties in the catalogue, and those of events that are not folded into it yet."""

SEEN_EVENTS = """
with seen as (
    select event, events - deleted as events, first_seen, last_seen from event_types where list_id = $list_id
    union all
    select event, count(*), min(occurred_at), max(occurred_at)
    from events where list_id = $list_id and seq > (select folded_seq from meta)
    group by event
),
kept as (
    select event, sum(events)::bigint as events, min(first_seen) as first_seen, max(last_seen) as last_seen
    from seen group by event having sum(events) > 0
)
select event, events, first_seen, last_seen from kept where event in (select unnest($events::varchar[]))
union all
select null, count(*), null, null from kept where contains(lower(event), lower($search))
"""
"""The types that are asked for, and a row with the number of those that contain a text."""
SEEN_PROPERTIES = """
with seen as (
    select name, value_type, events from event_properties where list_id = $list_id and event = $event
    union all
    select unnest(json_keys(properties)), unnest(json_type(properties, '$.*')), 1
    from events where list_id = $list_id and event = $event and seq > (select folded_seq from meta)
),
counted as (
    select name, value_type, sum(events)::bigint as events
    from seen where contains(lower(name), lower($search)) group by name, value_type
),
named as (
    select name, sum(events)::bigint as events,
        list(value_type order by events desc, value_type) as types, list(events order by events desc, value_type) as counts
    from counted group by name
)
from (select * from named order by starts_with(name, '$'), events desc, name limit $most offset $skipped)
select name, events, types, counts
union all
select null, count(*), null, null from named
"""
"""A page of properties, and a row with the number of those on all pages."""


def observed_properties(connection: duckdb.DuckDBPyConnection, list_id: int | None) -> list[ObservedProperty]:
    """Count the events of one list, or of all, by event type, property and type of value."""
    return [ObservedProperty(*row) for row in connection.execute(OBSERVED, {"list_id": list_id}).fetchall()]


def seen_events(connection: duckdb.DuckDBPyConnection, list_id: int, events: list[str], search: str) -> SeenEvents:
    """Return some event types of a list, and the number of its types whose names contain a text."""
    given = {"list_id": list_id, "events": events, "search": search}
    types, count = [], 0
    for event, number, first, last in connection.execute(SEEN_EVENTS, given).fetchall():
        if event is None:
            count = number
        else:
            types.append(SeenEvent(event, number, first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)))
    return SeenEvents(types, count)


def seen_properties(
    connection: duckdb.DuckDBPyConnection, list_id: int, event: str, search: str, most: int, skipped: int
) -> SeenProperties:
    """Return a page of an event type's properties whose names contain a text, in order."""
    given = {"list_id": list_id, "event": event, "search": search, "most": most, "skipped": skipped}
    properties, count = [], 0
    for name, events, types, counts in connection.execute(SEEN_PROPERTIES, given).fetchall():
        if name is None:
            count = events
        else:
            properties.append(SeenProperty(name, events, dict(zip(types, counts, strict=True))))
    return SeenProperties(sorted(properties, key=lambda one: (one.name.startswith("$"), -one.events, one.name)), count)
