"""Export of selected events to a Parquet or NDJSON file."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from falcon_events.errors import EventsError
from falcon_events.model.reports import Selection
from falcon_events.store.database import duckdb
from falcon_events.store.database.columns import BESIDE
from falcon_events.store.database.portions import OF_PORTION, run_in_portions
from falcon_events.store.queries.maintenance import quote

SELECTED = """($list_id is null or list_id = $list_id)
    and ($since_time is null or occurred_at >= make_timestamp($since_time))
    and ($until_time is null or occurred_at < make_timestamp($until_time))"""
# The rows are in the order of seq, which DuckDB keeps. To sort them would need memory for all of them.
EXPORT_COLUMNS = f"select * from events where {SELECTED}"
_BODIES = """
select list_id as "ListID", event as "Event", external_id as "ID", email as "Email", visitor as "UUID", event_id as "EventID",
    strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ') as "Timestamp", properties as "Properties", {automatic} as "Automatic"{traits}
from events {joined}
where {condition}
order by seq
"""
NEWEST = "select coalesce(max(seq), 0) from events"
NEEDS_MORE = """
select exists (from events where event = 'identify' and automatic is null)
    or exists (from bindings where traits is not null)
"""
# What the lines of some events have beside the event. Traits are those of a binding: the first line with its address has them.
# Whether an event of an earlier release is automatic follows from those beside it, which may not be beside it in a copy.
FIND_MORE = f"""
create or replace temp table more_of_lines as
select seq, max(automatic) as automatic, any_value(traits) as traits from (
    select first_seq as seq, null::boolean as automatic, traits
    from (
        select list_id, visitor, lower(email) as email, min(seq) as first_seq from events
        where {SELECTED} and email is not null group by all
    ) join bindings using (list_id, visitor, email)
    where traits is not null
    union all
    (
        with neighbours as (select seq, list_id, visitor, occurred_at from events)
        select seq, {BESIDE}, null from events as stored where event = 'identify' and automatic is null
    )
)
group by seq
"""
FORGET_MORE = "drop table if exists more_of_lines"
PREFIX = ".falcon-events-export-"
"""The beginning of the names of folders in which portions are written."""
EXPORTED_AT_ONCE = 100_000
NO_MEMORY = (
    "{} cannot be written: the events need more memory than the database may use. Raise the setting memory_limit_mb, or export"
    " fewer of them at once (--since, --until)."
)


def export(connection: duckdb.DuckDBPyConnection, selection: Selection, target: Path, form: str) -> int:
    """Write the selected events to a file in order of arrival, and return their number.

    Raises:
        EventsError: the file cannot be written, or the memory does not suffice.
    """
    chosen = {"list_id": selection.list_id, "since_time": selection.since, "until_time": selection.until}
    try:
        if form == "parquet":
            return _copy(connection, EXPORT_COLUMNS, target, "(format parquet, compression zstd)", chosen)
        return _export_bodies(connection, chosen, target)
    except (duckdb.IOException, OSError) as error:
        raise EventsError(f"{target} cannot be written: {str(error).splitlines()[0]}") from error
    except duckdb.OutOfMemoryException as error:
        raise EventsError(NO_MEMORY.format(target)) from error


def _export_bodies(connection: duckdb.DuckDBPyConnection, chosen: dict[str, int | None], target: Path) -> int:
    """Write a line for each event. Many are written in portions, one after the other: to sort all of them would take long."""
    ((newest,),) = connection.execute(NEWEST).fetchall()
    columns = {"automatic": "automatic", "traits": "", "joined": ""}
    if connection.execute(NEEDS_MORE).fetchone() == (True,):
        connection.execute(FIND_MORE, chosen)
        columns = {
            "automatic": "coalesce(more.automatic, events.automatic)",
            "traits": ', more.traits as "IdentifyProperties"',
            "joined": "left join more_of_lines as more using (seq)",
        }

    def write(condition: str, file: Path, bounds: dict[str, int]) -> int:
        query = _BODIES.format(**columns, condition=f"{SELECTED} and {condition}")
        return _copy(connection, query, file, "(format json)", {**chosen, **bounds})

    try:
        if newest <= EXPORTED_AT_ONCE:
            with contextlib.suppress(duckdb.OutOfMemoryException):
                return write("seq <= $newest", target, {"newest": newest})
        return _join_portions(connection, newest, target, lambda file, bounds: write(OF_PORTION, file, bounds))
    finally:
        connection.execute(FORGET_MORE)


def _join_portions(
    connection: duckdb.DuckDBPyConnection, newest: int, target: Path, write: Callable[[Path, dict[str, int]], int]
) -> int:
    """Write portions of the events one after the other."""
    count = 0
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=target.parent) as aside, target.open("wb") as joined:
        part = Path(aside) / "portion"

        def add(bounds: dict[str, int]) -> None:
            nonlocal count
            count += write(part, bounds)
            with part.open("rb") as lines:
                shutil.copyfileobj(lines, joined)

        run_in_portions(connection, 0, newest, EXPORTED_AT_ONCE, add)
    return count


def _copy(
    connection: duckdb.DuckDBPyConnection, query: str, target: Path, options: str, parameters: dict[str, int | None]
) -> int:
    ((count,),) = connection.execute(f"copy ({query}) to {quote(str(target))} {options}", parameters).fetchall()
    return int(count)
