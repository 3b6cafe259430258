"""Export of selected events to a Parquet or NDJSON file."""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec

from falcon_events.errors import EventsError
from falcon_events.model.reports import Selection
from falcon_events.store.queries.maintenance import quote

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


def export(connection: duckdb.DuckDBPyConnection, selection: Selection, target: Path, form: str) -> int:
    """Write the selected events to a file in order of arrival, and return their number."""
    query, options = _FORMS[form]
    parameters = msgspec.to_builtins(selection)
    try:
        result = connection.execute(f"copy ({query}) to {quote(str(target))} {options}", parameters).fetchall()
    except duckdb.IOException as error:
        raise EventsError(f"{target} cannot be written: {str(error).splitlines()[0]}") from error
    ((count,),) = result
    return int(count)
