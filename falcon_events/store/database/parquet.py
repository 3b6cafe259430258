"""The rows of an answer as a Parquet file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from falcon_events.errors import EventsError
from falcon_events.model.reports import Table
from falcon_events.store.database import duckdb

_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?").fullmatch


def write_parquet(table: Table, target: Path) -> None:
    """Write rows to a file. DuckDB finds the types of the columns in their values; a column of nulls is text.

    Args:
        table: the rows.
        target: the file to write.

    Raises:
        EventsError: two columns have the same name, or the file cannot be written.
    """
    if len(set(table.columns)) < len(table.columns):
        raise EventsError("Two columns have the same name, which Parquet does not allow; name them with `as`.")
    names = [name.replace('"', '""') for name in table.columns]
    with tempfile.TemporaryDirectory(prefix="falcon-events-") as aside, duckdb.connect() as connection:
        source = Path(aside) / "rows.ndjson"
        lines = (msgspec.json.encode(dict(zip(table.columns, row, strict=True))) for row in table.rows)
        source.write_bytes(b"\n".join(lines))
        columns = list(zip(names, zip(*table.rows, strict=True), strict=False))
        if table.rows:
            times = [f'"{name}"::timestamp as "{name}"' for name, values in columns if _are_times(values)]
            chosen = f"* replace ({', '.join(times)})" if times else "*"
            rows = f"select {chosen} from read_json({_quote(str(source))}, format = 'newline_delimited', sample_size = -1)"
        else:
            rows = "select " + ", ".join(f'null::varchar as "{name}"' for name in names) + " where false"
        try:
            connection.execute(f"copy ({rows}) to {_quote(str(target))} (format parquet)")
        except duckdb.Error as error:
            raise EventsError(f"{target} cannot be written: {' '.join(str(error).split())}") from None


def _are_times(values: Sequence[Any]) -> bool:
    """Return whether every value of a column is a time or null; an answer has times as text."""
    texts = [value for value in values if value is not None]
    return bool(texts) and all(isinstance(text, str) and _is_time(text) for text in texts)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
