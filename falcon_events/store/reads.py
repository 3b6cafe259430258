"""Named reads beside the catalogue's: statistics and exports; and the deletion of a list."""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec

from falcon_events.errors import EventsError, NotFound
from falcon_events.files.paths import logs_of
from falcon_events.model.reports import DroppedCount, Selection, Stats, TypeCount
from falcon_events.model.timestamps import format_timestamp
from falcon_events.store.maintenance import quoted

COUNT_TYPES = """
with seen as (
    select list_id, event, events, first_seen, last_seen from event_types
    union all
    select list_id, event, count(*), min(occurred_at), max(occurred_at)
    from events where seq > (select folded_seq from meta)
    group by all
)
select list_id, event, sum(events)::bigint, epoch_us(min(first_seen)), epoch_us(max(last_seen))
from seen group by all order by all
"""
COUNT_DROPPED = "select list_id, events, epoch_us(first_seen), epoch_us(last_seen) from dropped_events order by list_id"
COUNT_TAIL = "select count(*) from events where seq > (select folded_seq from meta)"
SELECTED = """
from events
where ($list_id is null or list_id = $list_id)
    and ($since is null or occurred_at >= make_timestamp($since))
    and ($until is null or occurred_at < make_timestamp($until))
order by seq
"""
EXPORT_COLUMNS = f"select * {SELECTED}"
EXPORT_BODIES = f"""
select list_id as "ListID", event as "Event", external_id as "ID", email as "Email", visitor as "UUID", event_id as "EventID",
    strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ') as "Timestamp", properties as "Properties"
{SELECTED}
"""
_FORMS = {
    "parquet": (EXPORT_COLUMNS, "(format parquet, compression zstd)"),
    "ndjson": (EXPORT_BODIES, "(format json)"),
}


def stats(connection: duckdb.DuckDBPyConnection, path: Path) -> Stats:
    """What the store holds, from the catalogue's counts and its unfolded tail."""
    connection.begin()
    try:
        by_type = [
            TypeCount(list_id, event, events, format_timestamp(first), format_timestamp(last))
            for list_id, event, events, first, last in connection.execute(COUNT_TYPES).fetchall()
        ]
        dropped = [
            DroppedCount(list_id, events, format_timestamp(first), format_timestamp(last))
            for list_id, events, first, last in connection.execute(COUNT_DROPPED).fetchall()
        ]
        ((tail,),) = connection.execute(COUNT_TAIL).fetchall()
        ((version,),) = connection.execute("select schema_version from meta").fetchall()
    finally:
        connection.rollback()
    return Stats(
        events=sum(count.events for count in by_type),
        by_type=by_type,
        dropped=dropped,
        oldest=min((count.first_seen for count in by_type), default=None),
        newest=max((count.last_seen for count in by_type), default=None),
        unfolded_events=tail,
        file_bytes=path.stat().st_size if path.exists() else 0,
        wal_bytes=sum(log.stat().st_size for log in logs_of(path) if log.exists()),
        schema_version=version,
        database_version=duckdb.__version__,
    )


def export(connection: duckdb.DuckDBPyConnection, selection: Selection, target: Path, form: str) -> int:
    """Writes the selected events to a file in order of arrival; returns how many."""
    query, options = _FORMS[form]
    parameters = msgspec.to_builtins(selection)
    try:
        result = connection.execute(f"copy ({query}) to {quoted(str(target))} {options}", parameters).fetchall()
    except duckdb.IOException as error:
        raise EventsError(f"{target} cannot be written: {str(error).splitlines()[0]}") from error
    ((count,),) = result
    return int(count)


def delete_list(connection: duckdb.DuckDBPyConnection, list_id: int) -> None:
    """Deletes a list and everything that belongs to it, in one transaction; raises NotFound."""
    connection.begin()
    try:
        if not connection.execute("select 1 from lists where list_id = ?", [list_id]).fetchone():
            raise NotFound(f"There is no list {list_id}.")
        connection.execute("delete from lists where list_id = ?", [list_id])
        _delete_events(connection, list_id)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def purge_list(connection: duckdb.DuckDBPyConnection, list_id: int) -> None:
    """Deletes what came in for a list that was being deleted; nothing where there is such a list again."""
    connection.begin()
    try:
        if not connection.execute("select 1 from lists where list_id = ?", [list_id]).fetchone():
            _delete_events(connection, list_id)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _delete_events(connection: duckdb.DuckDBPyConnection, list_id: int) -> None:
    for table in ("events", "bindings", "event_types", "event_properties", "list_rules", "dropped_events", "deliveries"):
        connection.execute(f"delete from {table} where list_id = ?", [list_id])
