"""Statistics: the number of events by list and event type, and the sizes of the files."""

from __future__ import annotations

from pathlib import Path

from falcon_events.files.paths import logs_of
from falcon_events.model.reports import BotCount, DroppedCount, Stats, TypeCount
from falcon_events.model.timestamps import format_timestamp
from falcon_events.store.database import duckdb

COUNT_TYPES = """
with seen as (
    select list_id, event, events - deleted as events, first_seen, last_seen, deleted from event_types
    union all
    select list_id, event, count(*), min(occurred_at), max(occurred_at), 0
    from events where seq > (select folded_seq from meta)
    group by all
)
select list_id, event, sum(events)::bigint, epoch_us(min(first_seen)), epoch_us(max(last_seen)), sum(deleted)::bigint
from seen group by all order by all
"""
COUNT_DROPPED = "select list_id, events, epoch_us(first_seen), epoch_us(last_seen) from dropped_events order by list_id"
COUNT_BOTS = """
with newest as (
    select list_id, json_extract_string(properties, '$."$bot"') as bot
    from events where seq > (select max(seq) from events) - $newest and contains(properties::varchar, '"$bot"')
)
select list_id, bot, count(*) from newest where bot is not null group by all order by 3 desc, 1, 2 limit 20
"""
COUNT_TAIL = "select count(*) from events where seq > (select folded_seq from meta)"
NEWEST = 100_000
"""The number of newest events among which those of bots are counted."""


def read_stats(connection: duckdb.DuckDBPyConnection, path: Path) -> Stats:
    """Return statistics from the catalogue's counts and the events that are not folded yet."""
    connection.begin()
    try:
        by_type = [
            TypeCount(list_id, event, events, format_timestamp(first), format_timestamp(last), deleted)
            for list_id, event, events, first, last, deleted in connection.execute(COUNT_TYPES).fetchall()
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
        bots=_count_bots(connection),
    )


def _count_bots(connection: duckdb.DuckDBPyConnection) -> list[BotCount]:
    """Count the events of each bot among the newest ones: NEWEST, or fewer if those do not fit into memory."""
    newest = NEWEST
    while newest:
        try:
            return [BotCount(*row) for row in connection.execute(COUNT_BOTS, {"newest": newest}).fetchall()]
        except duckdb.OutOfMemoryException:
            newest //= 10
    return []
