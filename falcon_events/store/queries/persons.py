"""Personal data: find, export and erase what a store has about one person."""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec

from falcon_events.errors import EventsError, NotFound
from falcon_events.model.persons import Binding, Erased, Visitor
from falcon_events.store.database import columns
from falcon_events.store.database.views import express_person_address
from falcon_events.store.queries.event_json import COLUMNS, build_record, format_time, render_event, wrap_json
from falcon_events.store.queries.saved import erase_names

# An email address may have several visitors, and a visitor (a browser that people share) several addresses.
_PERSONS = f"""
select seq, visitor, external_id, lower(email) as email, {express_person_address("lower(email)", "visitor")} as person
from events
where list_id = $list_id and visitor in (select unnest($visitors::uuid[]))
"""
# Every new binding has an identify event, and the table bindings lacks those of events that are not folded yet.
_BOUND = """
select visitor, email, traits, bound_at from bindings where list_id = $list_id
union all
select visitor, lower(email) as email, null, min(received_at) from events
where list_id = $list_id and seq > (select folded_seq from meta) and event = 'identify' and email is not null
    and (visitor, lower(email)) not in (select (visitor, email) from bindings where list_id = $list_id)
group by all
"""
FIND_EMAILS = f"""
select distinct email from (
    select lower(email) as email from events where list_id = $list_id and email is not null and external_id = $external_id
    union all
    select person from ({_PERSONS}) where visitor = try_cast($uuid as uuid)
    union all
    select email from ({_BOUND}) where visitor = try_cast($uuid as uuid)
)
where email is not null order by all
"""
FIND_VISITORS = f"""
select distinct visitor::varchar from (
    select visitor from events where list_id = $list_id
        and (lower(email) in (select unnest($emails::varchar[])) or external_id = $external_id
            or visitor = try_cast($uuid as uuid))
    union all
    select visitor from ({_BOUND})
    where email in (select unnest($emails::varchar[])) or visitor = try_cast($uuid as uuid)
)
order by all
"""
FIND_SEQS = f"""
select seq, visitor::varchar from ({_PERSONS})
where person in (select unnest($emails::varchar[])) or (external_id = $external_id and email is null)
    or (person is null and visitor = try_cast($uuid as uuid))
order by seq
"""
FIND_SHARED = f"""
select distinct visitor::varchar from (
    select visitor from ({_PERSONS}) where seq not in (select unnest($seqs::bigint[]))
    union all
    select visitor from ({_BOUND})
    where visitor in (select unnest($visitors::uuid[])) and email not in (select unnest($emails::varchar[]))
)
order by all
"""
_OF_PERSON = "list_id = $list_id and seq in (select unnest($seqs::bigint[]))"
_BOUND_TO_PERSON = "email in (select unnest($emails::varchar[]))"
FIND_BINDINGS = f"""
select visitor::varchar, email, traits, epoch_us(bound_at) from ({_BOUND}) where {_BOUND_TO_PERSON} order by bound_at, email
"""
FIND_EVENTS = f"select {COLUMNS} from events where {_OF_PERSON} order by seq"
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
# Questions about "all" begin with the first event that is left.
CORRECT_TIMES = """
with left_over as (
    select event, min(occurred_at) as first_seen, max(occurred_at) as last_seen
    from events where list_id = $list_id group by event
)
update event_types as kept set first_seen = left_over.first_seen, last_seen = left_over.last_seen
from left_over
where kept.list_id = $list_id and kept.event = left_over.event
"""
DELETE_EVENT_IDS = f"""
delete from event_ids
where exists (select 1 from events where {_OF_PERSON} and events.event_id = event_ids.event_id
    and event_ids.account_id = events.account_id || '/' || events.list_id)
"""
DELETE_EVENTS = f"delete from events where {_OF_PERSON}"
DELETE_BINDINGS = f"delete from bindings where list_id = $list_id and {_BOUND_TO_PERSON}"
DELETE_DELIVERIES = f"delete from deliveries where {_OF_PERSON}"


class FoundPerson(msgspec.Struct, frozen=True):
    """A person within a list: the addresses, the visitors, the seqs of the events, and visitors that others use too."""

    list_id: int
    emails: list[str]
    visitors: list[str]
    seqs: list[int]
    shared_visitors: list[str]

    def parameters(self, *names: str) -> dict[str, Any]:
        """Return these fields and the list, as parameters of a statement."""
        return {name: getattr(self, name) for name in ("list_id", *names)}


def read_personal_data(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> bytes:
    """Return everything stored about a person, as PersonalData in JSON.

    Raises:
        NotFound: nothing is stored about this person.
        EventsError: the visitor is a browser that several people share.
    """
    connection.begin()
    try:
        person = find_person(connection, visitor)
        bindings = connection.execute(FIND_BINDINGS, person.parameters("emails")).fetchall()
        events = connection.execute(FIND_EVENTS, person.parameters("seqs")).fetchall()
    finally:
        connection.rollback()
    return msgspec.json.encode(
        {
            "list_id": visitor.list_id,
            "visitors": person.visitors,
            "bindings": [
                build_record(Binding, (of, email, wrap_json(traits), format_time(at))) for of, email, traits, at in bindings
            ],
            "events": [render_event(row) for row in events],
            "shared_visitors": person.shared_visitors,
        }
    )


def erase(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> Erased:
    """Remove a person from events, bindings, EventIDs, deliveries and the catalogue's counts, in one transaction.

    In saved queries and segments, the person's addresses and visitors are replaced.

    Fold all events first, because the person's events are subtracted from the catalogue's counts.

    Raises:
        NotFound: nothing is stored about this person.
        EventsError: the visitor is a browser that several people share.
    """
    connection.begin()
    try:
        person = find_person(connection, visitor)
        events = person.parameters("seqs")
        connection.execute(UNCOUNT_PROPERTIES, events)
        connection.execute(UNCOUNT_TYPES, events)
        for table in ("event_properties", "event_types"):
            connection.execute(f"delete from {table} where events <= 0 and list_id = ?", [visitor.list_id])
        event_ids = _count(connection, DELETE_EVENT_IDS, events)
        _count(connection, DELETE_DELIVERIES, events)
        deleted = _count(connection, DELETE_EVENTS, events)
        connection.execute(CORRECT_TIMES, {"list_id": visitor.list_id})
        columns.forget(connection, visitor.list_id, person.seqs, person.visitors)
        bindings = _count(connection, DELETE_BINDINGS, person.parameters("emails"))
        own = [uuid for uuid in person.visitors if uuid not in person.shared_visitors]
        erase_names(connection, visitor.list_id, [*person.emails, *own])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return Erased(person.visitors, person.emails, deleted, bindings, event_ids, person.shared_visitors, [])


def find_person(connection: duckdb.DuckDBPyConnection, visitor: Visitor) -> FoundPerson:
    """Find a person's addresses, visitors and events. Call it within a transaction.

    Raises:
        NotFound: nothing is stored about this person.
        EventsError: the visitor is a browser that several people share.
    """
    list_id, named = visitor.list_id, {"external_id": visitor.external_id, "uuid": visitor.uuid}
    if visitor.email is not None:
        emails = [visitor.email.lower()]
    else:
        of_uuid = {"list_id": list_id, **named, "visitors": [visitor.uuid] if _is_uuid(connection, visitor.uuid) else []}
        emails = [email for (email,) in connection.execute(FIND_EMAILS, of_uuid).fetchall()]
        if visitor.uuid is not None and len(emails) > 1:
            raise EventsError(
                f"Visitor {visitor.uuid} is a browser that {len(emails)} people share ({', '.join(emails)}). Name one of them by "
                f"email address."
            )
    found = connection.execute(FIND_VISITORS, {"list_id": list_id, **named, "emails": emails}).fetchall()
    visitors = [uuid for (uuid,) in found]
    rows = connection.execute(FIND_SEQS, {"list_id": list_id, **named, "emails": emails, "visitors": visitors}).fetchall()
    seqs = [seq for seq, _ in rows]
    everyone = {"list_id": list_id, "emails": emails, "visitors": visitors, "seqs": seqs}
    shared = [uuid for (uuid,) in connection.execute(FIND_SHARED, everyone).fetchall()]
    if not visitors:
        raise NotFound(f"List {list_id} has no data of this visitor.")
    return FoundPerson(list_id, emails, visitors, seqs, shared)


def _is_uuid(connection: duckdb.DuckDBPyConnection, text: str | None) -> bool:
    ((found,),) = connection.execute("select try_cast(? as uuid) is not null", [text]).fetchall()
    return bool(found)


def _count(connection: duckdb.DuckDBPyConnection, statement: str, parameters: dict[str, Any]) -> int:
    ((count,),) = connection.execute(statement, parameters).fetchall()
    return int(count)
