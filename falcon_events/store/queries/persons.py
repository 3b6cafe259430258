"""Personal data: find, export and erase what a store has about one person."""

from __future__ import annotations

from typing import Any

import msgspec

from falcon_events.errors import EventsError, NotFound
from falcon_events.model.ids import derive_uuid
from falcon_events.model.persons import Binding, Erased, Visitor
from falcon_events.query.expressions import PLACE
from falcon_events.store.database import columns, duckdb
from falcon_events.store.database.views import express_person_address
from falcon_events.store.queries.board_rows import erase_from_boards
from falcon_events.store.queries.event_json import COLUMNS, build_record, format_time, render_event, wrap_json
from falcon_events.store.queries.saved import erase_names

# An email address may have several visitors, and a visitor (a browser that people share) several addresses.
# Of deleted events, their times and addresses are kept.
_KEPT = """(
    select visitor, address, occurred_at, seq from kept_addresses
    join (from visitor_keys where list_id = $list_id) using (visitor_key)
    join (from address_keys where list_id = $list_id) using (address_key)
    where kept_addresses.list_id = $list_id
)"""
_PERSONS = f"""
select seq, visitor, external_id, email, person
from (
    select *, {express_person_address("email", "visitor")} as person
    from (
        select seq, visitor, external_id, lower(email) as email, occurred_at, true as is_there from events
        where list_id = $list_id
        union all
        select seq, visitor, null, address, occurred_at, false from {_KEPT}
    )
    where visitor in (select unnest($visitors::uuid[]))
)
where is_there
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
    union all
    select address from {_KEPT} where visitor in (try_cast($uuid as uuid), try_cast($derived as uuid))
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
    union all
    select visitor from {_KEPT} where address in (select unnest($emails::varchar[]))
    union all
    select visitor from visitor_keys
    where list_id = $list_id and visitor in (try_cast($uuid as uuid), try_cast($derived as uuid))
        and visitor_key in (select visitor_key from first_events where list_id = $list_id)
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
    union all
    select visitor from {_KEPT}
    where visitor in (select unnest($visitors::uuid[])) and address not in (select unnest($emails::varchar[]))
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
# Questions about "all" begin with the first event that is left, or that was deleted because of its age.
CORRECT_TIMES = """
with border as (select max(before) as before from prunings where list_id = $list_id),
    left_over as (
    select event, min(occurred_at) as first_seen, max(occurred_at) as last_seen
    from events where list_id = $list_id group by event
)
update event_types as kept set
    first_seen = case when kept.deleted > 0 then least(kept.first_seen, left_over.first_seen) else left_over.first_seen end,
    last_seen = case when kept.deleted > 0 and kept.last_seen < border.before then kept.last_seen else left_over.last_seen end
from left_over, border
where kept.list_id = $list_id and kept.event = left_over.event
"""
DELETE_EVENT_IDS = f"""
delete from event_ids
where exists (select 1 from events where {_OF_PERSON} and events.event_id = event_ids.event_id
    and event_ids.account_id = events.account_id || '/' || events.list_id)
"""
DELETE_EVENTS = f"delete from events where {_OF_PERSON}"
DELETE_BINDINGS = f"delete from bindings where list_id = $list_id and {_BOUND_TO_PERSON}"
_KEYS = "select address_key from address_keys where list_id = $list_id and address in (select unnest($emails::varchar[]))"
_OWN_KEYS = "select visitor_key from visitor_keys where list_id = $list_id and visitor in (select unnest($own::uuid[]))"
# When somebody had no address at first, the first one that was sent later tells who it was.
_FIRST_KEYS = f"""
select visitor_key from (
    select visitor_key, arg_min(address_key, {PLACE}) as address_key from {columns.ADDRESSED}
    where list_id = $list_id group by all
)
where address_key in ({_KEYS})
"""
DELETE_KEPT = (
    f"""delete from first_events where list_id = $list_id and (
        address_key in ({_KEYS}) or -person_key in ({_KEYS}) or visitor_key in ({_OWN_KEYS})
        or (address_key is null and person_key = visitor_key and visitor_key in ({_FIRST_KEYS}))
    )""",
    f"""delete from daily_units where list_id = $list_id
    and (case when is_person then -unit in ({_KEYS}) end or unit in ({_OWN_KEYS}))""",
    f"delete from kept_addresses where list_id = $list_id and address_key in ({_KEYS})",
)
"""The statements that forget a person whose events were deleted. Daily totals have no persons, and stay."""
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

    In saved queries, segments, views and shares, the person's addresses and visitors are replaced.

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
        own = [uuid for uuid in person.visitors if uuid not in person.shared_visitors]
        for statement in DELETE_KEPT:
            given = {**person.parameters("emails"), "own": own}
            connection.execute(statement, {name: value for name, value in given.items() if f"${name}" in statement})
        columns.forget(connection, visitor.list_id, person.seqs, person.visitors)
        bindings = _count(connection, DELETE_BINDINGS, person.parameters("emails"))
        erase_names(connection, visitor.list_id, [*person.emails, *own])
        erase_from_boards(connection, visitor.list_id, [*person.emails, *own])
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
    list_id, derived = visitor.list_id, None
    if visitor.external_id is not None:
        ((namespace,),) = connection.execute("select uuid_namespace from meta").fetchall()
        derived = derive_uuid(namespace.bytes, list_id, "id", visitor.external_id)
    named = {"external_id": visitor.external_id, "uuid": visitor.uuid}
    if visitor.email is not None:
        emails = [visitor.email.lower()]
    else:
        of_uuid = {
            "list_id": list_id,
            **named,
            "derived": derived,
            "visitors": [visitor.uuid] if _is_uuid(connection, visitor.uuid) else [],
        }
        emails = [email for (email,) in connection.execute(FIND_EMAILS, of_uuid).fetchall()]
        if visitor.uuid is not None and len(emails) > 1:
            raise EventsError(
                f"Visitor {visitor.uuid} is a browser that {len(emails)} people share ({', '.join(emails)}). Name one of them by "
                f"email address."
            )
    given = {"list_id": list_id, **named, "derived": derived, "emails": emails}
    found = connection.execute(FIND_VISITORS, given).fetchall()
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
