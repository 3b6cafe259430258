"""The relations that questions read (query/source.py), defined over the store's tables.

Events that have typed columns (store/database/columns.py) are read from these, and later ones, the tail, from their JSON. Each
statement gets the columns that it names and no others, because each other table that is read takes time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from falcon_events.query.relations import PLACE
from falcon_events.query.source import Extent, Source
from falcon_events.query.statements import Statement
from falcon_events.store.database.columns import ADDRESSED, NAMES, express_columns, read_columns_seq
from falcon_events.store.database.views import express_person_address
from falcon_events.store.queries import kept_source
from falcon_events.store.queries.kept_source import read_kept

MOST_OF_TAIL = 100_000
"""From this number of events without columns on, all events are read from their JSON: the tail would not fit into memory."""
UNKNOWN = 2**62
"""Keys of visitors and addresses of the tail that have none yet begin here."""
# The person is a function of all events of the list, also of those that questions leave out.
JSON_EVENTS = f"""
select * exclude (address), address as email, visitor as visitor_key, person as person_key
from (select *, coalesce({express_person_address("address", "visitor")}, visitor::varchar) as person from ({{read}})){{among}}
"""
_STORED = ("event_id", "external_id", "received_at", "properties")
"""Columns of the table events that event_columns does not have."""
_READ = "seq, list_id, event, visitor, lower(email) as address, event_id, external_id, occurred_at, received_at, properties"
PLAIN = frozenset({"seq", "event", "visitor", "email", "occurred_at", *_STORED})
"""Columns that the table events has."""
COLUMNS = ("seq", "event", "visitor", "email", "person", "occurred_at", *_STORED, *NAMES, "visitor_key", "person_key")
TRAITS = "select visitor, email as person, traits, bound_at from bindings where list_id = $list_id and traits is not null"
EXTENT = """
select epoch_us(min(first_seen)), epoch_us(max(last_seen)) from (
    select first_seen, last_seen from event_types where list_id = $list_id
    union all
    select min(occurred_at), max(occurred_at) from events
    where list_id = $list_id and seq > (select folded_seq from meta)
)
"""
NEWEST = "select max(seq) from events where list_id = $list_id and seq > (select max(seq) from events) - $newest"
NEWEST_AT_FIRST = 10_000
"""The newest event of a list is looked for among this number of newest events, and then among more and more."""
COUNT_TAIL = "select count(*) from events where list_id = $list_id and seq > $columns_seq"
HAS_SEVERAL = "select exists (from visitor_addresses where list_id = $list_id and number = 2)"

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
# What an event without an address gets where its visitor has several: the last one before it, else the first one.
OF_SEVERAL = f"""
select located.* exclude (place), coalesce(-before.address_key, -earliest.address_key, located.visitor_key) as person_key
from (
    select *, {PLACE} as place from listed_rows where address_key is null and visitor_key in (select visitor_key from several)
) as located
asof left join times as before on before.visitor_key = located.visitor_key and before.place <= located.place
left join (select visitor_key, arg_min(address_key, place) as address_key from times group by visitor_key) as earliest
    on earliest.visitor_key = located.visitor_key
"""
OF_OTHERS = """
select listed_rows.*, coalesce(-address_key, -first_address, visitor_key) as person_key
from listed_rows left join (
    select visitor_key, address_key as first_address{is_several} from bound where number = 1
) as firsts using (visitor_key)
"""
IS_SEVERAL = ", visitor_key in (select visitor_key from several) as is_several"
NOT_SEVERAL = "where address_key is not null or is_several is not true"
PERSONS = "select person_key, any_value(person) as name, any_value(person) filter (where person <> visitor::varchar) as address"
KEYED_PERSONS = """
select -address_key as person_key, address as name, address from address_keys where list_id = $list_id
union all
select visitor_key, visitor::varchar, null from visitor_keys where list_id = $list_id
"""
VISITORS = "select unnest($visitors::uuid[])"
KEYS_OF_VISITORS = f"select visitor_key from visitor_keys where list_id = $list_id and visitor in ({VISITORS})"
HAS_SEVERAL_AMONG = f"""
select exists (from visitor_addresses where list_id = $list_id and number = 2 and visitor_key in ({KEYS_OF_VISITORS}))
"""
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
select -address_key, address, address from tail_addresses where address_key >= {UNKNOWN}
union all
select visitor_key, visitor::varchar, null from tail_visitors where visitor_key >= {UNKNOWN}
"""


class _Reach(msgspec.Struct, frozen=True):
    """The events of a list that are read: up to `as_of`, or of some visitors. None: all."""

    as_of: int | None
    visitors: tuple[str, ...] | None


def _express_until(reach: _Reach) -> str:
    return "" if reach.as_of is None else " and seq <= $as_of"


class ListSource:
    """The relations of a list, for the statements of one transaction.

    Args:
        connection: runs the statements.
        list_id: the list.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, list_id: int) -> None:
        self._connection = connection
        self._list_id = list_id
        self._columns_seq = read_columns_seq(connection)
        bounds = {"list_id": list_id, "columns_seq": self._columns_seq}
        ((self._tail,),) = connection.execute(COUNT_TAIL, bounds).fetchall()
        ((self._list_has_several,),) = connection.execute(HAS_SEVERAL, {"list_id": list_id}).fetchall()
        self._kept = read_kept(connection, list_id)
        self._made: list[_Reach] = []
        self._several: dict[_Reach, bool] = {}

    def make(self, as_of: int | None = None, visitors: Sequence[str] | None = None) -> Source:
        """Return the relations.

        Args:
            as_of: the last seq; None: that of the newest event.
            visitors: the visitors whose events are read, with all that follows from these; None: all.
        """
        reach = _Reach(as_of, None if visitors is None else tuple(visitors))
        parameters = dict[str, Any](list_id=self._list_id)
        if as_of is not None:
            parameters["as_of"] = as_of
        if visitors is not None:
            parameters["visitors"] = list(visitors)
        if reach not in self._made:
            self._made.append(reach)
        number = self._made.index(reach)
        names = (f"from events_{number}", f"from persons_{number}", f"from visitors_{number}")
        if self._kept is None:
            return Source(*names, TRAITS, parameters)
        units = kept_source.UNITS[self._reads_json()] if self._kept.has_units else ""
        return Source(*names, TRAITS, parameters, f"from firsts_{number}", kept_source.TOTALS, units, kept_source.ORDERS)

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Run a statement over the relations that make() has returned."""
        sql = statement.sql
        words = set(re.findall("[a-z_]+", sql))
        relations = []
        for number, reach in enumerate(self._made):
            if f"(from events_{number})" in sql:
                columns = [name for name in COLUMNS if name in words]
                relations.append(f"events_{number} as not materialized ({self._define_events(reach, columns)})")
            if f"(from persons_{number})" in sql:
                relations.append(f"persons_{number} as not materialized ({self._define_persons(reach)})")
            if f"(from visitors_{number})" in sql:
                relations.append(f"visitors_{number} as not materialized ({self._define_visitors(reach)})")
            if f"(from firsts_{number})" in sql:
                relations.append(f"firsts_{number} as not materialized ({self._define_firsts(reach)})")
        if relations:
            sql = f"with {', '.join(relations)},\n{sql.removeprefix('with ')}"
        given = {**statement.parameters, "columns_seq": self._columns_seq}
        named = set(re.findall(r"\$(\w+)", sql))
        return self._connection.execute(sql, {name: value for name, value in given.items() if name in named}).fetchall()

    def _define_persons(self, reach: _Reach) -> str:
        """Return the SELECT of persons by their keys."""
        if self._reads_json():
            return f"{PERSONS} from ({self._define_events(reach, ['visitor', 'person', 'person_key'])}) group by person_key"
        if not self._has_tail(reach):
            return KEYED_PERSONS
        until = _express_until(reach)
        return f"{_join(_define_tail(until, []))}\n{KEYED_PERSONS} union all {TAIL_PERSONS}"

    def _define_visitors(self, reach: _Reach) -> str:
        """Return the SELECT of visitors with their addresses."""
        if self._reads_json():
            events = self._define_events(reach, ["visitor", "email"])
            return events if self._kept is None else f"{events} union all {kept_source.VISITORS}"
        until = _express_until(reach)
        keyed = KEYED_VISITORS.replace("{until}", until)
        if not self._has_tail(reach):
            return keyed
        return f"{_join(_define_tail(until, []))}\n{keyed} union all select visitor, address from tail"

    def _reads_json(self) -> bool:
        """Return whether all events are read from their JSON."""
        return bool(self._tail > MOST_OF_TAIL)

    def _has_several(self, reach: _Reach) -> bool:
        """Return whether one of the visitors may have several addresses."""
        if reach.visitors is None or not self._list_has_several:
            return bool(self._list_has_several)
        if reach not in self._several:
            given = {"list_id": self._list_id, "visitors": list(reach.visitors)}
            ((found,),) = self._connection.execute(HAS_SEVERAL_AMONG, given).fetchall()
            self._several[reach] = bool(found)
        return self._several[reach]

    def _has_tail(self, reach: _Reach) -> bool:
        return self._tail > 0 and (reach.as_of is None or reach.as_of > self._columns_seq)

    def _define_events(self, reach: _Reach, names: list[str]) -> str:
        """Return the SELECT of these columns of the events."""
        until = _express_until(reach)
        condition = f"list_id = $list_id{until}"
        if reach.visitors is not None:
            condition += f" and visitor in ({VISITORS})"
        if PLAIN.issuperset(names):
            columns = ["lower(email) as email" if name == "email" else name for name in names]
            return f"select {', '.join(columns)} from events where {condition}"
        if self._reads_json():
            read = express_columns(condition, _READ, [name for name in names if name in NAMES], condition)
            if self._kept is not None:
                read = kept_source.add_addresses(read, condition)
            every = JSON_EVENTS.replace("{read}", read).replace("{among}", "" if self._kept is None else kept_source.EVENTS)
            return f"select {', '.join(names)} from ({every})"
        return _define_by_columns(names, reach, has_tail=self._has_tail(reach), has_several=self._has_several(reach))

    def _define_firsts(self, reach: _Reach) -> str:
        """Return the SELECT of the first events that are kept of deleted ones."""
        names = kept_source.FIRST_NAMES
        if self._reads_json():
            condition = f"list_id = $list_id{_express_until(reach)}"
            read = kept_source.add_firsts(express_columns(condition, _READ, [], condition), condition)
            every = JSON_EVENTS.replace("{read}", read).replace("{among}", kept_source.FIRSTS)
            return f"select {', '.join(names)} from ({every})"
        has_tail, has_several = self._has_tail(reach), self._has_several(reach)
        return _define_by_columns(names, reach, has_tail=has_tail, has_several=has_several, rows=kept_source.FIRST_ROWS)


def _define_by_columns(names: list[str], reach: _Reach, *, has_tail: bool, has_several: bool, rows: str | None = None) -> str:
    """Return the SELECT of these columns of the events from their typed columns, and from the JSON of the tail.

    `rows` is a SELECT of other rows than the events'; None: the events.
    """
    until = _express_until(reach)
    relations: list[tuple[str, str]] = []
    needs_person = "person" in names or "person_key" in names
    stored = [name for name in names if name in _STORED]
    read = [name for name in names if name in NAMES]
    columns = ", ".join(["seq", "occurred_at", "event", "visitor_key", "address_key", *read])
    if has_tail:
        relations += _define_tail(until, read)
    if needs_person:
        relations += _define_addresses(until, has_tail=has_tail)
    if rows is None:
        rows = f"select {columns} from event_columns where list_id = $list_id{until}"
        if reach.visitors is not None:
            rows += f" and visitor_key in ({KEYS_OF_VISITORS})"
        if has_tail:
            rows += f" union all select {columns} from tail_keyed"
            rows += "" if reach.visitors is None else f" where visitor in ({VISITORS})"
    relations.append(("listed_rows", rows))
    last = "listed_rows"
    if needs_person:
        several = has_several or has_tail
        known = OF_OTHERS.replace("{is_several}", IS_SEVERAL if several else "")
        relations.append(("known_rows", f"{known}{NOT_SEVERAL}\nunion all{OF_SEVERAL}" if several else known))
        last = "known_rows"
    joined, chosen = _join_keys(names, has_tail=has_tail)
    if stored:
        among = "" if reach.visitors is None else f" and visitor in ({VISITORS})"
        joined += STORED.replace("{columns}", ", ".join(stored)).replace("{among}", among)
    return f"{_join(relations)}\nselect {', '.join(chosen)} from {last} as one{joined}"


def _define_tail(until: str, read: list[str]) -> list[tuple[str, str]]:
    """Return the relations of the events that have no columns yet, with the keys of their visitors and addresses."""
    condition = f"list_id = $list_id and seq > $columns_seq{until}"
    every = express_columns(condition, _READ, read, f"list_id = $list_id and seq >= $columns_seq{until}")
    chosen = ", ".join(dict.fromkeys(["seq", "occurred_at", "event", "visitor", "address", *read]))
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
    columns.update({name: f"stored.{name}" for name in names if name in _STORED})
    return joined, [column if column != name else f"one.{name}" for name, column in columns.items()]


def _join(relations: list[tuple[str, str]]) -> str:
    """Return the relations of a SELECT. Only small ones are kept in memory."""
    kept = {False: "not materialized", True: "materialized"}
    return "with " + ",\n".join(
        f"{name} as {kept[name not in ('listed_rows', 'known_rows', 'times')]} ({body})" for name, body in relations
    )


def read_extent(connection: duckdb.DuckDBPyConnection, list_id: int) -> Extent:
    """Return when the list's first and last events happened, and its newest `seq`. Call it within a transaction.

    Events that were deleted because of their age count, too.
    """
    ((first, last),) = connection.execute(EXTENT, {"list_id": list_id}).fetchall()
    looked_at, newest = NEWEST_AT_FIRST, None
    while first is not None and newest is None and looked_at < UNKNOWN:  # all of them may have been deleted
        ((newest,),) = connection.execute(NEWEST, {"list_id": list_id, "newest": looked_at}).fetchall()
        looked_at *= 16
    kept = read_kept(connection, list_id)
    if kept is None:
        return Extent(first, last, newest)
    return Extent(first, last, max(newest or 0, kept.last_seq), kept.deletion)
