"""SQL of the relations that questions read, from typed columns (store/database/columns.py) and, for later events, from JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from falcon_events.query.expressions import PLACE, PLACES
from falcon_events.store.database import promoted
from falcon_events.store.database.columns import ADDRESSED, FURTHER_PLACE, NAMES, express_columns

UNKNOWN = 2**62
"""Keys of visitors and addresses of the tail that have none yet begin here."""
STORED_COLUMNS = ("event_id", "external_id", "received_at", "properties")
"""Columns of the table events that event_columns does not have."""
READ_COLUMNS = (
    "seq, list_id, event, visitor, lower(email) as address, event_id, external_id, occurred_at, received_at, properties"
)
TAIL_VISITORS = f"""
select tail.visitor, coalesce(any_value(known.visitor_key), {UNKNOWN} + min(seq)) as visitor_key
from tail left join (from visitor_keys where list_id = $list_id) as known on known.visitor = tail.visitor
group by tail.visitor
"""
TAIL_ADDRESSES = f"""
select tail.address, coalesce(any_value(known.address_key), {UNKNOWN} + min(seq)) as address_key
from tail left join (from address_keys where list_id = $list_id) as known on known.address = tail.address
where tail.address is not null
group by tail.address
"""
TAIL_KEYED = """
select tail.*, visitor_key, address_key
from tail join tail_visitors using (visitor) left join tail_addresses using (address)
"""
# What the tail adds to visitor_addresses, numbered in the same way.
ADDED = """
select visitor_key, address_key, coalesce(addresses, 0) + row_number() over (partition by visitor_key order by seq) as number
from (
    select visitor_key, address_key, min(seq) as seq from tail_keyed where address_key is not null group by all
) as met
anti join folded_addresses using (visitor_key, address_key)
left join (
    select visitor_key, count(*) as addresses from folded_addresses semi join tail_visitors using (visitor_key) group by all
) as counted using (visitor_key)
"""
TIMES = f"""
select visitor_key, address_key, {PLACE} as place from address_times where list_id = $list_id{{until}}
"""
TAIL_TIMES = f"""
union all
select visitor_key, address_key, {PLACE} as place from tail_keyed
where address_key is not null and visitor_key in (select visitor_key from several)
union all
select visitor_key, address_key, {PLACE} as place from {ADDRESSED}
where list_id = $list_id and visitor_key in (select visitor_key from added where number = 2)
"""
# From when to when an event without an address gets which one, where its visitor has several: the last one before it, else the
# first one.
SPANS = f"""
select visitor_key as several_key, -address_key as of_address,
    case when row_number() over of_visitor = 1 then {-PLACES} else place end as since,
    coalesce(lead(place) over of_visitor, {PLACES}) as until
from times window of_visitor as (partition by visitor_key order by place)
"""
LOCATED = f"""
select listed_rows.*, first_address,
    case when address_key is null and is_several then visitor_key end as located_key,
    case when address_key is null and is_several then {PLACE} end as place
from listed_rows left join firsts using (visitor_key)
"""
OF_SEVERAL = """
select located.* exclude (first_address, located_key, place),
    coalesce(-address_key, of_address, -first_address, visitor_key) as person_key
from located left join spans on located_key = several_key and place >= since and place < until
"""
OF_OTHERS = """
select listed_rows.*, coalesce(-address_key, -first_address, visitor_key) as person_key
from listed_rows left join firsts using (visitor_key)
"""
FIRSTS = "select visitor_key, address_key as first_address{is_several} from bound where number = 1"
IS_SEVERAL = ", visitor_key in (select visitor_key from several) as is_several"
KEYED_PERSONS = """
select -address_key as person_key, address as name, address, null::uuid as visitor from address_keys where list_id = $list_id
union all
select visitor_key, visitor::varchar, null, visitor from visitor_keys where list_id = $list_id
"""
VISITORS = "select unnest($visitors::uuid[])"
KEYS_OF_VISITORS = f"select visitor_key from visitor_keys where list_id = $list_id and visitor in ({VISITORS})"
# The time is that of the event, too: so conditions on it reach the scan of both tables.
STORED = """
join (select seq, occurred_at, {columns} from events where list_id = $list_id{among}) as stored
    on stored.seq = one.seq and stored.occurred_at = one.occurred_at"""
KEYED_VISITORS = """
select visitor, null as email from visitor_keys where list_id = $list_id
union all
select visitor, address from visitor_addresses
join (from visitor_keys where list_id = $list_id) using (visitor_key)
join (from address_keys where list_id = $list_id) using (address_key)
where visitor_addresses.list_id = $list_id{until}
"""
TAIL_PERSONS = f"""
select -address_key, address, address, null from tail_addresses where address_key >= {UNKNOWN}
union all
select visitor_key, visitor::varchar, null, visitor from tail_visitors where visitor_key >= {UNKNOWN}
"""
_READ_ONCE = ("listed_rows", "located", "known_rows", "times", "firsts", "spans")
# The visitors that may have events of some persons: those who are persons themselves, and those with a person's address.
AMONG_VISITORS = """
select person_key as visitor_key from among where person_key > 0
union all
select visitor_key from bound where address_key in (select -person_key from among)
"""


class Reach(msgspec.Struct, frozen=True):
    """The events of a list that are read: up to `as_of`, of some visitors, or of persons with some keys. None: all."""

    as_of: int | None
    visitors: tuple[str, ...] | None
    among: str | None = None


def express_until(reach: Reach) -> str:
    """Return the SQL that an event is not newer than what is read."""
    return "" if reach.as_of is None else " and seq <= $as_of"


def define_by_columns(names: list[str], reach: Reach, *, has_tail: bool, has_several: bool, rows: str | None = None) -> str:
    """Return the SELECT of these columns of the events from their typed columns, and from the JSON of the tail.

    `rows` is a SELECT of other rows than the events'; None: the events.
    """
    until = express_until(reach)
    relations: list[tuple[str, str]] = []
    needs_person = "person" in names or "person_key" in names or reach.among is not None
    stored = [name for name in names if name in STORED_COLUMNS]
    read = [name for name in names if name in NAMES]
    numbers = [number for number in promoted.COLUMNS if f"value_{number}" in names or f"nested_{number}" in names]
    kept = [promoted.COLUMNS[number] for number in numbers]
    columns = ", ".join(["seq", "occurred_at", "event", "visitor_key", "address_key", *read, *kept])
    if has_tail:
        relations += define_tail(until, read, numbers)
    if needs_person:
        relations += _define_addresses(until, has_tail=has_tail)
    if rows is None:
        limits = "" if reach.visitors is None else f" and visitor_key in ({KEYS_OF_VISITORS})"
        tail_limits = "" if reach.visitors is None else f" and visitor in ({VISITORS})"
        if reach.among is not None:
            relations += [("among", reach.among), ("among_visitors", AMONG_VISITORS)]
            limits += " and visitor_key in (from among_visitors)"
            tail_limits += " and visitor_key in (from among_visitors)"
        rows = f"select {columns} from event_columns where list_id = $list_id{until}{limits}"
        if has_tail:
            rows += f" union all select {columns} from tail_keyed where true{tail_limits}"
    relations.append(("listed_rows", rows))
    last = "listed_rows"
    if needs_person:
        several = has_several or has_tail
        relations.append(("firsts", FIRSTS.replace("{is_several}", IS_SEVERAL if several else "")))
        if several:
            relations += [("spans", SPANS), ("located", LOCATED)]
        relations.append(("known_rows", OF_SEVERAL if several else OF_OTHERS))
        last = "known_rows"
    joined, chosen = _join_keys(names, has_tail=has_tail)
    if stored:
        among = "" if reach.visitors is None else f" and visitor in ({VISITORS})"
        joined += STORED.replace("{columns}", ", ".join(stored)).replace("{among}", among)
    return f"{join_selects(relations)}\nselect {', '.join(chosen)} from {last} as one{joined}"


def define_tail(until: str, read: list[str], numbers: Sequence[int] = ()) -> list[tuple[str, str]]:
    """Return the relations of the events that have no columns yet, with the keys of their visitors and addresses.

    Args:
        until: the SQL of a condition on the events.
        read: the columns that are read from their properties.
        numbers: the columns of promoted properties that are read.
    """
    condition = f"list_id = $list_id and seq > $columns_seq{until}"
    paths = [f"$path_{number}" for number in numbers]
    values = [
        f"{promoted.encode(f'texts[{place}]', path)} as {promoted.COLUMNS[number]}"
        for place, (number, path) in enumerate(zip(numbers, paths, strict=True), FURTHER_PLACE)
    ]
    neighbours = f"list_id = $list_id and seq >= $columns_seq{until}"
    every = express_columns(condition, ", ".join([READ_COLUMNS, *values]), read, neighbours, paths)
    kept = [promoted.COLUMNS[number] for number in numbers]
    chosen = ", ".join(dict.fromkeys(["seq", "occurred_at", "event", "visitor", "address", *read, *kept]))
    return [
        ("tail", f"select {chosen} from ({every})"),
        ("tail_visitors", TAIL_VISITORS),
        ("tail_addresses", TAIL_ADDRESSES),
        ("tail_keyed", TAIL_KEYED),
    ]


def _define_addresses(until: str, *, has_tail: bool) -> list[tuple[str, str]]:
    """Return the relations of the addresses of visitors, and of when those were used of which a visitor has several."""
    folded = f"select visitor_key, address_key, number from visitor_addresses where list_id = $list_id{until}"
    several = ("several", "select visitor_key from bound where number = 2")
    times = TIMES.replace("{until}", until)
    if not has_tail:
        return [("bound", folded), several, ("times", times)]
    return [
        ("folded_addresses", folded),
        ("added", ADDED),
        ("bound", "from folded_addresses union all from added"),
        several,
        ("times", times + TAIL_TIMES),
    ]


def _join_keys(names: list[str], *, has_tail: bool) -> tuple[str, list[str]]:
    """Return the joins that give texts for keys, and the columns."""
    visitors, addresses = "from visitor_keys where list_id = $list_id", "from address_keys where list_id = $list_id"
    visitors, addresses = f"select visitor_key, visitor {visitors}", f"select address_key, address {addresses}"
    if has_tail:
        visitors += f" union all select visitor_key, visitor from tail_visitors where visitor_key >= {UNKNOWN}"
        addresses += f" union all select address_key, address from tail_addresses where address_key >= {UNKNOWN}"
    joined, columns = "", {name: name for name in names}
    if "visitor" in names:
        joined += f"\nleft join ({visitors}) as own on own.visitor_key = one.visitor_key"
        columns["visitor"] = "own.visitor"
    if "email" in names:
        joined += f"\nleft join ({addresses}) as sent on sent.address_key = one.address_key"
        columns["email"] = "sent.address as email"
    if "person" in names:
        joined += f"\nleft join ({addresses}) as person_address on person_address.address_key = -one.person_key"
        joined += f"\nleft join ({visitors}) as person_visitor on person_visitor.visitor_key = one.person_key"
        columns["person"] = "coalesce(person_address.address, person_visitor.visitor::varchar) as person"
    columns.update({name: f"stored.{name}" for name in names if name in STORED_COLUMNS})
    for number in promoted.COLUMNS:
        decoded = zip((f"value_{number}", f"nested_{number}"), promoted.decode(number), strict=True)
        columns.update({name: f"{sql} as {name}" for name, sql in decoded if name in names})
    return joined, [column if column != name else f"one.{name}" for name, column in columns.items()]


def join_selects(relations: list[tuple[str, str]]) -> str:
    """Return the relations of a SELECT. Only small ones are kept in memory."""
    kept = {False: "not materialized", True: "materialized"}
    return "with " + ",\n".join(f"{name} as {kept[name not in _READ_ONCE]} ({body})" for name, body in relations)
