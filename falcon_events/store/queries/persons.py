"""What a store has of one person: found, handed out, removed."""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec

from falcon_events.errors import NotFound
from falcon_events.model.persons import Binding, Erased, Visitor
from falcon_events.store.queries.event_json import COLUMNS, raw, record, shown, time_text

# Addresses are bound whatever their case; a visitor may have several of them, and an address several visitors.
FIND_VISITORS = """
select distinct visitor::varchar from (
    select visitor from events
    where list_id = $list_id
        and (lower(email) = lower($email) or external_id = $external_id or visitor = try_cast($uuid as uuid))
    union all
    select visitor from bindings
    where list_id = $list_id and (email = lower($email) or visitor = try_cast($uuid as uuid))
)
order by all
"""
_MINE = "list_id = $list_id and visitor in (select unnest($visitors::uuid[]))"
FIND_BINDINGS = f"select visitor::varchar, email, traits, epoch_us(bound_at) from bindings where {_MINE} order by bound_at, email"
FIND_EVENTS = f"select {COLUMNS} from events where {_MINE} order by seq"
FIND_ADDRESSES = f"""
select distinct lower(email) from (
    select email from events where {_MINE} and email is not null union all select email from bindings where {_MINE}
) order by all
"""
UNCOUNT_PROPERTIES = f"""
with gone as (
    select event, name, value_type, count(*) as events
    from (
        select event, unnest(json_keys(properties)) as name, unnest(json_type(properties, '$.*')) as value_type
        from events where {_MINE}
    )
    group by all
)
update event_properties as kept set events = kept.events - gone.events
from gone
where kept.list_id = $list_id and kept.event = gone.event and kept.name = gone.name and kept.value_type = gone.value_type
"""
UNCOUNT_TYPES = f"""
with gone as (select event, count(*) as events from events where {_MINE} group by all)
update event_types as kept set events = kept.events - gone.events
from gone
where kept.list_id = $list_id and kept.event = gone.event
"""
DELETE_EVENT_IDS = f"""
delete from event_ids
where exists (select 1 from events where {_MINE} and events.event_id = event_ids.event_id
    and events.account_id = event_ids.account_id)
"""


def personal_data(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> bytes:
    """All that is stored of a person, as PersonalData in JSON.

    Raises:
        NotFound: nothing is.
    """
    connection.begin()
    try:
        whose = _found(connection, visitor)
        bindings = connection.execute(FIND_BINDINGS, whose).fetchall()
        events = connection.execute(FIND_EVENTS, whose).fetchall()
    finally:
        connection.rollback()
    return msgspec.json.encode(
        {
            "list_id": visitor.list_id,
            "visitors": whose["visitors"],
            "bindings": [record(Binding, (of, email, raw(traits), time_text(at))) for of, email, traits, at in bindings],
            "events": [shown(row) for row in events],
        }
    )


def erase(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> Erased:
    """Removes a person from events, bindings, EventIDs, deliveries and the catalogue's counts, in one transaction.

    All events have to be in the catalogue: what is counted there is taken from its counts.

    Raises:
        NotFound: nothing is stored of this person.
    """
    connection.begin()
    try:
        whose = _found(connection, visitor)
        emails = [email for (email,) in connection.execute(FIND_ADDRESSES, whose).fetchall()]
        connection.execute(UNCOUNT_PROPERTIES, whose)
        connection.execute(UNCOUNT_TYPES, whose)
        for table in ("event_properties", "event_types"):
            connection.execute(f"delete from {table} where events <= 0 and list_id = ?", [visitor.list_id])
        event_ids, events, bindings = (
            int(connection.execute(sql, whose).fetchall()[0][0])
            for sql in (DELETE_EVENT_IDS, f"delete from events where {_MINE}", f"delete from bindings where {_MINE}")
        )
        connection.execute(f"delete from deliveries where {_MINE}", whose)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return Erased(whose["visitors"], emails, events, bindings, event_ids)


def _found(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> dict[str, Any]:
    """The list and the visitors that a person has been there."""
    visitors = [uuid for (uuid,) in connection.execute(FIND_VISITORS, msgspec.to_builtins(visitor)).fetchall()]
    if not visitors:
        raise NotFound(f"List {visitor.list_id} has nothing of this visitor.")
    return {"list_id": visitor.list_id, "visitors": visitors}
