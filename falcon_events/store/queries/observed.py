"""Observed properties: which properties events have, and values of which types."""

from __future__ import annotations

from falcon_events.model.reports import ObservedProperty
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


def observed_properties(connection: duckdb.DuckDBPyConnection, list_id: int | None) -> list[ObservedProperty]:
    """Count the events of one list, or of all, by event type, property and type of value."""
    return [ObservedProperty(*row) for row in connection.execute(OBSERVED, {"list_id": list_id}).fetchall()]
