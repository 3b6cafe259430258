"""Catalogue: the property names seen per list and event type, folded from json_keys of the events."""

from __future__ import annotations

from collections.abc import Iterable

from falcon_events.errors import StoreUnavailable
from falcon_events.model.reports import Recount
from falcon_events.store.database import duckdb
from falcon_events.store.database.portions import OF_PORTION, run_in_portions
from falcon_events.store.database.transaction import transaction

# json_keys and json_type with a wildcard visit an object's members in the same order, so their unnested rows match.
_SEEN = """
select list_id, event, name, value_type, count(*) as events, min(occurred_at) as first_seen, max(occurred_at) as last_seen
from (
    select list_id, event, occurred_at, unnest(json_keys(properties)) as name, unnest(json_type(properties, '$.*')) as value_type
    from events
    where seq > $folded and seq <= $last
)
group by all
"""
FOLD_PROPERTIES = f"""
merge into event_properties as kept
using ({_SEEN}) as seen
on kept.list_id = seen.list_id and kept.event = seen.event and kept.name = seen.name and kept.value_type = seen.value_type
when matched then update set
    events = kept.events + seen.events,
    first_seen = least(kept.first_seen, seen.first_seen),
    last_seen = greatest(kept.last_seen, seen.last_seen)
when not matched then insert
    values (seen.list_id, seen.event, seen.name, seen.value_type, seen.events, seen.first_seen, seen.last_seen)
"""
FOLD_TYPES = """
merge into event_types as kept
using (
    select list_id, event, count(*) as events, min(occurred_at) as first_seen, max(occurred_at) as last_seen
    from events
    where seq > $folded and seq <= $last
    group by all
) as seen
on kept.list_id = seen.list_id and kept.event = seen.event
when matched then update set
    events = kept.events + seen.events,
    first_seen = least(kept.first_seen, seen.first_seen),
    last_seen = greatest(kept.last_seen, seen.last_seen)
when not matched then insert (list_id, event, events, first_seen, last_seen)
    values (seen.list_id, seen.event, seen.events, seen.first_seen, seen.last_seen)
"""
# Planning takes most of the time, so the statement has no joins; Python groups and sorts. $folded is a parameter rather than
# a subquery, so that DuckDB skips whole row groups. An older watermark is also correct: names folded since are found twice.
PROPERTIES = """
select event, name from event_properties where list_id = $list_id
union all
select event, null from event_types where list_id = $list_id
union all
select distinct event, unnest(list_append(json_keys(properties), null)) from events
where list_id = $list_id and seq > $folded
"""
COUNT_DIFFERENCES = """
with counted as (
    select list_id, event, name, value_type, count(*) as events
    from (
        select list_id, event, unnest(json_keys(properties)) as name, unnest(json_type(properties, '$.*')) as value_type
        from events where list_id = $list_id and seq <= (select folded_seq from meta)
    )
    where hash(name) % $portions = $portion
    group by all
),
kept as (
    select list_id, event, name, value_type, events from event_properties
    where list_id = $list_id and hash(name) % $portions = $portion
)
select count(*) from counted full join kept using (list_id, event, name, value_type)
where kept.events is null or kept.events < coalesce(counted.events, 0)
    or (kept.events > coalesce(counted.events, 0) and not exists (from prunings where list_id = $list_id))
"""
# Names of events that were deleted because of their age stay, and count as often as they were ever seen.
HAS_PRUNED = "select exists (from prunings where list_id = $list_id)"
COUNT_ROWS = "select count(*) from event_properties where list_id = $list_id"
FORGET_COUNTS = "drop table if exists recounted"
MAKE_COUNTS = "create or replace temp table recounted (event varchar, name varchar, value_type varchar, events bigint)"
COUNT_PORTION = f"""
insert into recounted select event, name, value_type, count(*)
from (
    select event, unnest(json_keys(properties)) as name, unnest(json_type(properties, '$.*')) as value_type
    from events where list_id = $list_id and {OF_PORTION}
)
group by all
"""
COMPARE_COUNTS = """
with counted as (select event, name, value_type, sum(events)::bigint from recounted group by event, name, value_type),
    kept as (select event, name, value_type, events from event_properties where list_id = $list_id)
select count(*) from ((from counted except all from kept) union all (from kept except all from counted))
"""
LIST_PORTION = f"""
select distinct event, unnest(list_append(json_keys(properties), null)) from events where list_id = $list_id and {OF_PORTION}
"""
KEPT_PROPERTIES = """
select event, name from event_properties where list_id = $list_id
union all
select event, null from event_types where list_id = $list_id
"""
RECOUNT_PROPERTIES = """
select types.event, list(names.name order by names.name) filter (where names.name is not null)
from (select distinct event from events where list_id = $list_id) as types
left join (select distinct event, unnest(json_keys(properties)) as name from events where list_id = $list_id) as names
    on names.event = types.event
group by types.event
order by types.event
"""


FETCHED_AT_ONCE = 10_000
COMPARED_AT_ONCE = 100_000
NAME_COST = 100
READ_AT_ONCE = 1_000_000
MAX_ANSWER = 64 << 20
"""How much memory the names of an answer may take, in bytes, at about NAME_COST bytes for each beside its characters."""
TOO_MANY = "The list has too many property names to return them."


def fold(connection: duckdb.DuckDBPyConnection, last_seq: int) -> None:
    """Count the events up to last_seq in the catalogue's tables and move the watermark, in one transaction."""
    with transaction(connection):
        bounds = {"folded": read_folded_seq(connection), "last": last_seq}
        connection.execute(FOLD_PROPERTIES, bounds)
        connection.execute(FOLD_TYPES, bounds)
        connection.execute("update meta set folded_seq = ?", [last_seq])


def read_folded_seq(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the watermark: the seq up to which events are folded."""
    ((seq,),) = connection.execute("select folded_seq from meta").fetchall()
    return int(seq)


class PropertyNames:
    """Query for a list's property names. It is parsed once and runs on any connection."""

    def __init__(self) -> None:
        self._statement: duckdb.Statement | None = None

    def read(self, connection: duckdb.DuckDBPyConnection, list_id: int, folded: int) -> dict[str, list[str]]:
        """Return the property names of a list by event type.

        They are exact at this moment, because one statement sees one state of the store.

        Args:
            connection: any connection to the store.
            list_id: the list.
            folded: the catalogue's watermark, current or earlier.

        Raises:
            StoreUnavailable: the list has too many names to answer, so that they would fill the memory.
        """
        if self._statement is None:
            (self._statement,) = connection.extract_statements(PROPERTIES)
        names: dict[str, set[str]] = {}
        size = 0
        rows = connection.execute(self._statement, {"list_id": list_id, "folded": folded})
        while portion := rows.fetchmany(FETCHED_AT_ONCE):
            for event, name in portion:
                known = names.setdefault(event, set())
                if name is not None and name not in known:
                    known.add(name)
                    size += len(name) + NAME_COST
            if size + len(names) * NAME_COST > MAX_ANSWER:
                raise StoreUnavailable(TOO_MANY)
        return {event: sorted(names[event]) for event in sorted(names)}


def merge_names(properties: dict[str, list[str]], more: dict[str, set[str]]) -> dict[str, list[str]]:
    """Return the property names of a list together with those of events that are not in the tables yet."""
    if not more:
        return properties
    merged = {event: more.get(event, set()).union(properties.get(event, ())) for event in properties.keys() | more.keys()}
    return {event: sorted(merged[event]) for event in sorted(merged)}


def recount(connection: duckdb.DuckDBPyConnection, list_id: int) -> Recount:
    """Count a list's properties again from all its events, and compare the catalogue with the result.

    Raises:
        StoreUnavailable: the list has too many names to return them.
    """
    try:
        return _recount_at_once(connection, list_id)
    except duckdb.OutOfMemoryException:
        return _recount_in_portions(connection, list_id)


def _recount_at_once(connection: duckdb.DuckDBPyConnection, list_id: int) -> Recount:
    connection.begin()
    try:
        kept = PropertyNames().read(connection, list_id, read_folded_seq(connection))
        recounted = _group_by_event(connection.execute(RECOUNT_PROPERTIES, {"list_id": list_id}).fetchall())
        is_wrong = _differs_at_once(connection, list_id)
        ((has_pruned,),) = connection.execute(HAS_PRUNED, {"list_id": list_id}).fetchall()
    finally:
        connection.rollback()
    return Recount(recounted, differs=is_wrong or not (_has_all(kept, recounted) if has_pruned else recounted == kept))


def _recount_in_portions(connection: duckdb.DuckDBPyConnection, list_id: int) -> Recount:
    """Recount events that are larger than the memory. Names of events that are not folded yet are not compared."""
    folded = read_folded_seq(connection)
    ((newest,),) = connection.execute("select coalesce(max(seq), 0) from events").fetchall()
    names: dict[str, set[str]] = {}

    def add(bounds: dict[str, int]) -> None:
        _add_names(names, connection.execute(LIST_PORTION, {"list_id": list_id, **bounds}).fetchall())

    run_in_portions(connection, 0, folded, READ_AT_ONCE, add)
    recounted = _sort_names(names)
    kept: dict[str, set[str]] = {}
    _add_names(kept, connection.execute(KEPT_PROPERTIES, {"list_id": list_id}).fetchall())
    is_wrong = recounted != _sort_names(kept) and read_folded_seq(connection) == folded
    run_in_portions(connection, folded, newest, READ_AT_ONCE, add)
    return Recount(_sort_names(names), differs=is_wrong or differs(connection, list_id))


def differs(connection: duckdb.DuckDBPyConnection, list_id: int) -> bool:
    """Return whether the catalogue's counts differ from a recount of a list's folded events. Call it outside of a transaction.

    The names stay in the database, and many are compared in portions, within its memory limit. So are large events.
    """
    try:
        return _differs_at_once(connection, list_id)
    except duckdb.OutOfMemoryException:
        return _differs_in_portions(connection, list_id)


def _differs_in_portions(connection: duckdb.DuckDBPyConnection, list_id: int) -> bool:
    connection.execute(MAKE_COUNTS)
    try:
        counted = 0
        while True:
            folded = read_folded_seq(connection)
            run_in_portions(
                connection,
                counted,
                folded,
                READ_AT_ONCE,
                lambda bounds: connection.execute(COUNT_PORTION, {"list_id": list_id, **bounds}) is None,
            )
            counted = folded
            connection.begin()
            try:
                if read_folded_seq(connection) == counted:  # nothing was folded meanwhile
                    return connection.execute(COMPARE_COUNTS, {"list_id": list_id}).fetchone() != (0,)
            finally:
                connection.rollback()
    finally:
        connection.execute(FORGET_COUNTS)


def _differs_at_once(connection: duckdb.DuckDBPyConnection, list_id: int) -> bool:
    ((rows,),) = connection.execute(COUNT_ROWS, {"list_id": list_id}).fetchall()
    portions = rows // COMPARED_AT_ONCE + 1
    for portion in range(portions):
        values = {"list_id": list_id, "portions": portions, "portion": portion}
        ((differences,),) = connection.execute(COUNT_DIFFERENCES, values).fetchall()
        if differences:
            return True
    return False


def _has_all(kept: dict[str, list[str]], recounted: dict[str, list[str]]) -> bool:
    """Return whether the names that are kept contain those of a recount."""
    return all(event in kept and set(names) <= set(kept[event]) for event, names in recounted.items())


def _add_names(names: dict[str, set[str]], rows: Iterable[tuple[str, str | None]]) -> None:
    for event, name in rows:
        known = names.setdefault(event, set())
        if name is not None:
            known.add(name)


def _sort_names(names: dict[str, set[str]]) -> dict[str, list[str]]:
    return {event: sorted(names[event]) for event in sorted(names)}


def _group_by_event(rows: Iterable[tuple[str, list[str] | None]]) -> dict[str, list[str]]:
    return {event: names or [] for event, names in rows}
