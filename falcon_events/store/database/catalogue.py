"""The catalogue: per list and event type, the property names ever seen; json_keys, kept folded."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from falcon_events.model.reports import Recount

# json_keys and json_type with a wildcard walk an object in the same order, so both unnest side by side.
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
when not matched then insert values (seen.list_id, seen.event, seen.events, seen.first_seen, seen.last_seen)
"""
# Planning is most of what it costs, so there are no joins, and Python groups and sorts. $folded is a constant, so that whole
# row groups are skipped; any watermark that was true once will do, since names that are folded by now are only found twice.
PROPERTIES = """
select event, name from event_properties where list_id = $list_id
union all
select event, null from event_types where list_id = $list_id
union all
select distinct event, unnest(list_append(json_keys(properties), null)) from events
where list_id = $list_id and seq > $folded
"""
COUNT_AFRESH = """
with counted as (
    select list_id, event, name, value_type, count(*) as events
    from (
        select list_id, event, unnest(json_keys(properties)) as name, unnest(json_type(properties, '$.*')) as value_type
        from events where list_id = $list_id and seq <= (select folded_seq from meta)
    )
    group by all
),
kept as (select list_id, event, name, value_type, events from event_properties where list_id = $list_id)
select count(*) from ((from counted except all from kept) union all (from kept except all from counted))
"""
PROPERTIES_AFRESH = """
select types.event, list(names.name order by names.name) filter (where names.name is not null)
from (select distinct event from events where list_id = $list_id) as types
left join (select distinct event, unnest(json_keys(properties)) as name from events where list_id = $list_id) as names
    on names.event = types.event
group by types.event
order by types.event
"""


def fold(connection: duckdb.DuckDBPyConnection, last_seq: int) -> None:
    """Takes the events up to last_seq into the catalogue's tables and moves the watermark, in one transaction."""
    connection.begin()
    try:
        bounds = {"folded": folded_seq(connection), "last": last_seq}
        connection.execute(FOLD_PROPERTIES, bounds)
        connection.execute(FOLD_TYPES, bounds)
        connection.execute("update meta set folded_seq = ?", [last_seq])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def folded_seq(connection: duckdb.DuckDBPyConnection) -> int:
    """The watermark: the seq up to which events are folded."""
    ((seq,),) = connection.execute("select folded_seq from meta").fetchall()
    return int(seq)


class PropertyNames:
    """The query for a list's property names, parsed once; any connection may run it."""

    def __init__(self) -> None:
        self._statement: duckdb.Statement | None = None

    def read(self, connection: duckdb.DuckDBPyConnection, list_id: int, folded: int) -> dict[str, list[str]]:
        """The property names of a list by event type, exact at this moment: one statement sees one state of the store.

        Args:
            connection: any connection to the store.
            list_id: the list.
            folded: the catalogue's watermark, now or at some time before.
        """
        if self._statement is None:
            (self._statement,) = connection.extract_statements(PROPERTIES)
        names: dict[str, set[str]] = {}
        for event, name in connection.execute(self._statement, {"list_id": list_id, "folded": folded}).fetchall():
            known = names.setdefault(event, set())
            if name is not None:
                known.add(name)
        return {event: sorted(names[event]) for event in sorted(names)}


def with_names(properties: dict[str, list[str]], more: dict[str, set[str]]) -> dict[str, list[str]]:
    """The property names of a list, and those of events that are not in the tables yet."""
    if not more:
        return properties
    together = {event: more.get(event, set()).union(properties.get(event, ())) for event in properties.keys() | more.keys()}
    return {event: sorted(together[event]) for event in sorted(together)}


def recount(connection: duckdb.DuckDBPyConnection, list_id: int) -> Recount:
    """Counts a list's catalogue afresh from all its events and compares the kept one with it."""
    connection.begin()
    try:
        afresh = _by_event(connection.execute(PROPERTIES_AFRESH, {"list_id": list_id}).fetchall())
        kept = PropertyNames().read(connection, list_id, folded_seq(connection))
        ((differences,),) = connection.execute(COUNT_AFRESH, {"list_id": list_id}).fetchall()
    finally:
        connection.rollback()
    return Recount(afresh, differs=differences > 0 or afresh != kept)


def _by_event(rows: Iterable[tuple[str, list[str] | None]]) -> dict[str, list[str]]:
    return {event: names or [] for event, names in rows}
