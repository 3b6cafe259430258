"""Personal data: find, export and erase what a store has about one person."""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec

from falcon_events.errors import NotFound
from falcon_events.model.persons import Binding, Erased, Visitor
from falcon_events.store.queries.event_json import COLUMNS, build_record, format_time, render_event, wrap_json

# The case of an email address is ignored. A visitor may have several addresses, and an address several visitors.
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
_OF_PERSON = "list_id = $list_id and visitor in (select unnest($visitors::uuid[]))"
FIND_BINDINGS = (
    f"select visitor::varchar, email, traits, epoch_us(bound_at) from bindings where {_OF_PERSON} order by bound_at, email"
)
FIND_EVENTS = f"select {COLUMNS} from events where {_OF_PERSON} order by seq"
FIND_ADDRESSES = f"""
select distinct lower(email) from (
    select email from events where {_OF_PERSON} and email is not null union all select email from bindings where {_OF_PERSON}
) order by all
"""
UNCOUNT_PROPERTIES = f"""
with gone as (
    select event, name, value_type, count(*) as events
    from (
        select event, unnest(json_keys(properties)) as name, unnest(json_type(properties, '$.*')) as value_type
        from events where {_OF_PERSON}
    )
    group by all
)
update event_properties as kept set events = kept.events - gone.events
from gone
where kept.list_id = $list_id and kept.event = gone.event and kept.name = gone.name and kept.value_type = gone.value_type
"""
UNCOUNT_TYPES = f"""
with gone as (select event, count(*) as events from events where {_OF_PERSON} group by all)
update event_types as kept set events = kept.events - gone.events
from gone
where kept.list_id = $list_id and kept.event = gone.event
"""
DELETE_EVENT_IDS = f"""
delete from event_ids
where exists (select 1 from events where {_OF_PERSON} and events.event_id = event_ids.event_id
    and event_ids.account_id = events.account_id || '/' || events.list_id)
"""


def read_personal_data(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> bytes:
    """Return everything stored about a person, as PersonalData in JSON.

    Raises:
        NotFound: nothing is stored about this person.
    """
    connection.begin()
    try:
        person = _find_visitors(connection, visitor)
        bindings = connection.execute(FIND_BINDINGS, person).fetchall()
        events = connection.execute(FIND_EVENTS, person).fetchall()
    finally:
        connection.rollback()
    return msgspec.json.encode(
        {
            "list_id": visitor.list_id,
            "visitors": person["visitors"],
            "bindings": [
                build_record(Binding, (of, email, wrap_json(traits), format_time(at))) for of, email, traits, at in bindings
            ],
            "events": [render_event(row) for row in events],
        }
    )


def erase(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> Erased:
    """Remove a person from events, bindings, EventIDs, deliveries and the catalogue's counts, in one transaction.

    Fold all events first, because the person's events are subtracted from the catalogue's counts.

    Raises:
        NotFound: nothing is stored about this person.
    """
    connection.begin()
    try:
        person = _find_visitors(connection, visitor)
        emails = [email for (email,) in connection.execute(FIND_ADDRESSES, person).fetchall()]
        connection.execute(UNCOUNT_PROPERTIES, person)
        connection.execute(UNCOUNT_TYPES, person)
        for table in ("event_properties", "event_types"):
            connection.execute(f"delete from {table} where events <= 0 and list_id = ?", [visitor.list_id])
        event_ids, events, bindings = (
            int(connection.execute(sql, person).fetchall()[0][0])
            for sql in (DELETE_EVENT_IDS, f"delete from events where {_OF_PERSON}", f"delete from bindings where {_OF_PERSON}")
        )
        connection.execute(f"delete from deliveries where {_OF_PERSON}", person)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return Erased(person["visitors"], emails, events, bindings, event_ids)


def _find_visitors(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> dict[str, Any]:
    """Return the statements' parameters for a person: the list, and the person's visitors in it."""
    visitors = [uuid for (uuid,) in connection.execute(FIND_VISITORS, msgspec.to_builtins(visitor)).fetchall()]
    if not visitors:
        raise NotFound(f"List {visitor.list_id} has no data of this visitor.")
    return {"list_id": visitor.list_id, "visitors": visitors}
