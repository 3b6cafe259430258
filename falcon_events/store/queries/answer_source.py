"""The relations that questions read (query/source.py), defined over the store's tables.

Events that have typed columns (store/database/columns.py) are read from these, and later ones, the tail, from their JSON. Each
statement gets the columns that it names and no others, because each other table that is read takes time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from falcon_events.query.source import Extent, Source
from falcon_events.query.statements import Statement
from falcon_events.store.database import duckdb, promoted
from falcon_events.store.database.columns import NAMES, express_columns, read_columns_seq
from falcon_events.store.database.views import express_person_address
from falcon_events.store.queries import kept_source
from falcon_events.store.queries.kept_source import read_kept
from falcon_events.store.queries.keyed_relations import (
    KEYED_PERSONS,
    KEYED_VISITORS,
    KEYS_OF_VISITORS,
    READ_COLUMNS,
    STORED_COLUMNS,
    TAIL_PERSONS,
    UNKNOWN,
    VISITORS,
    Reach,
    define_by_columns,
    define_tail,
    express_until,
    join_selects,
)

MOST_OF_TAIL = 100_000
"""From this number of events without columns on, all events are read from their JSON: the tail would not fit into memory."""
# The person is a function of all events of the list, also of those that questions leave out.
JSON_EVENTS = f"""
select * exclude (address), address as email, visitor as visitor_key, person as person_key
from (select *, coalesce({express_person_address("address", "visitor")}, visitor::varchar) as person from ({{read}})){{among}}
"""
PLAIN = frozenset({"seq", "event", "visitor", "email", "occurred_at", *STORED_COLUMNS})
"""Columns that the table events has."""
COLUMNS = ("seq", "event", "visitor", "email", "person", "occurred_at", *STORED_COLUMNS, *NAMES, "visitor_key", "person_key")
TRAITS = """
select visitor, email as person, traits, bound_at, rowid as place from bindings where list_id = $list_id and traits is not null
"""
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

PERSONS = """
select person_key, any_value(person) as name, any_value(person) filter (where person <> visitor::varchar) as address,
    any_value(visitor) filter (where person = visitor::varchar) as visitor
"""
HAS_SEVERAL_AMONG = f"""
select exists (from visitor_addresses where list_id = $list_id and number = 2 and visitor_key in ({KEYS_OF_VISITORS}))
"""


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
        self._promoted = {} if self._reads_json() else promoted.read_full(connection, list_id)
        ((self._list_has_several,),) = connection.execute(HAS_SEVERAL, {"list_id": list_id}).fetchall()
        self._kept = read_kept(connection, list_id)
        self._made: list[Reach] = []
        self._several: dict[Reach, bool] = {}

    def make(self, as_of: int | None = None, visitors: Sequence[str] | None = None, among: str | None = None) -> Source:
        """Return the relations.

        Args:
            as_of: the last seq; None: that of the newest event.
            visitors: the visitors whose events are read, with all that follows from these; None: all.
            among: a SELECT of keys of persons, whose events are all read, and maybe some of others; None: those of all. It may
                read relations that were made before.
        """
        reach = Reach(as_of, None if visitors is None else tuple(visitors), among)
        parameters = dict[str, Any](list_id=self._list_id)
        if as_of is not None:
            parameters["as_of"] = as_of
        if visitors is not None:
            parameters["visitors"] = list(visitors)
        if reach not in self._made:
            self._made.append(reach)
        number = self._made.index(reach)
        relations = (
            f"from events_{number}",
            f"from unowned_{number}",
            f"from persons_{number}",
            f"from visitors_{number}",
            TRAITS,
        )
        if self._kept is None:
            return Source(*relations, parameters, self._promoted)
        units = kept_source.UNITS[self._reads_json()] if self._kept.has_units else ""
        kept = (f"from firsts_{number}", kept_source.TOTALS, units, kept_source.ORDERS)
        return Source(*relations, parameters, self._promoted, *kept)

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Run a statement over the relations that make() has returned."""
        sql = statement.sql
        used = [reach for number, reach in enumerate(self._made) if f"(from events_{number})" in sql]
        every = "\n".join([sql, *(reach.among for reach in used if reach.among is not None)])
        words = set(re.findall("[a-z_]+[0-9]*", every))
        of_promoted = [f"{kind}_{number}" for number in self._promoted.values() for kind in ("value", "nested")]
        relations = []
        for number, reach in enumerate(self._made):
            if f"(from events_{number})" in every:
                columns = [name for name in (*COLUMNS, *of_promoted) if name in words]
                relations.append(f"events_{number} as not materialized ({self._define_events(reach, columns)})")
            if f"(from unowned_{number})" in every:
                columns = [name for name in (*COLUMNS, *of_promoted) if name in words and name not in ("person", "person_key")]
                relations.append(f"unowned_{number} as not materialized ({self._define_events(reach, columns)})")
            if f"(from persons_{number})" in every:
                relations.append(f"persons_{number} as not materialized ({self._define_persons(reach)})")
            if f"(from visitors_{number})" in every:
                relations.append(f"visitors_{number} as not materialized ({self._define_visitors(reach)})")
            if f"(from firsts_{number})" in every:
                relations.append(f"firsts_{number} as not materialized ({self._define_firsts(reach)})")
        if relations:
            sql = f"with {', '.join(relations)},\n{sql.removeprefix('with ')}"
        paths = {f"path_{number}": promoted.express_path(name) for name, number in self._promoted.items()}
        given = {**statement.parameters, **paths, "columns_seq": self._columns_seq}
        named = set(re.findall(r"\$(\w+)", sql))
        return self._connection.execute(sql, {name: value for name, value in given.items() if name in named}).fetchall()

    def _define_persons(self, reach: Reach) -> str:
        """Return the SELECT of persons by their keys."""
        if self._reads_json():
            return f"{PERSONS} from ({self._define_events(reach, ['visitor', 'person', 'person_key'])}) group by person_key"
        if not self._has_tail(reach):
            return KEYED_PERSONS
        until = express_until(reach)
        return f"{join_selects(define_tail(until, []))}\n{KEYED_PERSONS} union all {TAIL_PERSONS}"

    def _define_visitors(self, reach: Reach) -> str:
        """Return the SELECT of visitors with their addresses."""
        if self._reads_json():
            events = self._define_events(reach, ["visitor", "email"])
            return events if self._kept is None else f"{events} union all {kept_source.VISITORS}"
        until = express_until(reach)
        keyed = KEYED_VISITORS.replace("{until}", until)
        if not self._has_tail(reach):
            return keyed
        return f"{join_selects(define_tail(until, []))}\n{keyed} union all select visitor, address from tail"

    def _reads_json(self) -> bool:
        """Return whether all events are read from their JSON."""
        return bool(self._tail > MOST_OF_TAIL)

    def _has_several(self, reach: Reach) -> bool:
        """Return whether one of the visitors may have several addresses."""
        if reach.visitors is None or not self._list_has_several:
            return bool(self._list_has_several)
        if reach not in self._several:
            given = {"list_id": self._list_id, "visitors": list(reach.visitors)}
            ((found,),) = self._connection.execute(HAS_SEVERAL_AMONG, given).fetchall()
            self._several[reach] = bool(found)
        return self._several[reach]

    def _has_tail(self, reach: Reach) -> bool:
        return self._tail > 0 and (reach.as_of is None or reach.as_of > self._columns_seq)

    def _define_events(self, reach: Reach, names: list[str]) -> str:
        """Return the SELECT of these columns of the events."""
        until = express_until(reach)
        condition = f"list_id = $list_id{until}"
        if reach.visitors is not None:
            condition += f" and visitor in ({VISITORS})"
        if PLAIN.issuperset(names):
            columns = ["lower(email) as email" if name == "email" else name for name in names]
            return f"select {', '.join(columns)} from events where {condition}"
        if self._reads_json():
            read = express_columns(condition, READ_COLUMNS, [name for name in names if name in NAMES], condition)
            if self._kept is not None:
                read = kept_source.add_addresses(read, condition)
            every = JSON_EVENTS.replace("{read}", read).replace("{among}", "" if self._kept is None else kept_source.EVENTS)
            return f"select {', '.join(names)} from ({every})"
        return define_by_columns(names, reach, has_tail=self._has_tail(reach), has_several=self._has_several(reach))

    def _define_firsts(self, reach: Reach) -> str:
        """Return the SELECT of the first events that are kept of deleted ones."""
        names = kept_source.FIRST_NAMES
        if self._reads_json():
            condition = f"list_id = $list_id{express_until(reach)}"
            read = kept_source.add_firsts(express_columns(condition, READ_COLUMNS, [], condition), condition)
            every = JSON_EVENTS.replace("{read}", read).replace("{among}", kept_source.FIRSTS)
            return f"select {', '.join(names)} from ({every})"
        has_tail, has_several = self._has_tail(reach), self._has_several(reach)
        return define_by_columns(names, reach, has_tail=has_tail, has_several=has_several, rows=kept_source.FIRST_ROWS)


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
