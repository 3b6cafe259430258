"""Rows of a query as an Arrow stream, by DuckDB's own export."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from falcon_events.errors import EventsError
from falcon_events.store.database import duckdb
from falcon_events.store.queries.sql import Limits, refuse_size

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 1000
NO_PYARROW = (
    "The result cannot be exported to Arrow: pyarrow is missing in the environment of the store's owner process, {}. "
    "Install it there: pip install 'falcon-events[arrow]'"
)
TYPE_NAME = b"duckdb_type"
"""The key of a column's type in DuckDB, in the metadata of its field."""
UNLIKE_ARROW = frozenset({"bignum", "bit", "geometry", "time with time zone", "uhugeint", "union", "variant", "varint"})
"""Types that Arrow lacks: DuckDB 1.5 refuses some of them, and both releases export the bytes or another value of others."""


def check_pyarrow(executable: str) -> None:
    """Raise EventsError if this process cannot import pyarrow. `executable` is the interpreter, for the message."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise EventsError(NO_PYARROW.format(executable)) from None


def read_arrow(connection: duckdb.DuckDBPyConnection, query: str, limits: Limits) -> bytes:
    """Run a checked SELECT and return its rows as an Arrow IPC stream, which has the columns' types even without rows.

    Raises:
        EventsError: the result exceeds a limit.
        duckdb.Error: the database refuses the query.
    """
    import pyarrow

    sink = io.BytesIO()
    rows = 0
    try:
        with _export(connection, query) as reader, pyarrow.ipc.new_stream(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
                refuse_size(rows, sink.tell(), limits)
    except MemoryError:  # also Arrow's own, which is an ArrowException, too
        raise
    except (OSError, pyarrow.ArrowException) as error:  # how the Arrow stream passes on what DuckDB raises
        raise _find_error(str(error)) from None
    return sink.getvalue()


def _export(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """Return a reader of batches, which computes them as they are read.

    DuckDB 1.5 and 2.0 differ: 2.0 has no fetch_record_batch(), and copies all rows for a reader of an execute(); so the reader
    is that of a relation, which both have. Types that Arrow lacks are text: 1.5 cannot export VARIANT, and both give a UHUGEINT
    above 2^127 a wrong value, a TIME WITH TIME ZONE no offset and a BIT its inner bytes.
    """
    import duckdb  # noqa: F401 - it gives connections the relational API
    import pyarrow

    relation = connection.sql(query)
    names, types = list(relation.columns), list(relation.types)
    chosen = [f"#{n}::varchar" if _is_unlike_arrow(type_) else f"#{n}" for n, type_ in enumerate(types, 1)]
    reader = relation.project(", ".join(chosen)).to_arrow_reader(BATCH_ROWS)
    fields = [
        field.with_name(name).with_metadata({**(field.metadata or {}), TYPE_NAME: str(type_).encode()})
        for field, name, type_ in zip(reader.schema, names, types, strict=True)
    ]
    return _Renamed(reader, pyarrow.schema(fields))


class _Renamed:
    """A reader whose columns have other names."""

    def __init__(self, reader: pyarrow.RecordBatchReader, schema: pyarrow.Schema) -> None:
        self._reader = reader
        self.schema = schema

    def __iter__(self) -> Any:
        import pyarrow

        for batch in self._reader:
            yield pyarrow.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.close()  # DuckDB 2.0 runs nothing else on the connection before


def _is_unlike_arrow(type_: Any) -> bool:
    """Return whether a type, or one within it, is not in Arrow."""
    if type_.id in UNLIKE_ARROW:
        return True
    if type_.id not in ("list", "array", "struct", "map"):
        return False
    return any(_is_unlike_arrow(child) for _, child in type_.children if not isinstance(child, int))


def _find_error(text: str) -> duckdb.Error:
    if text.startswith("INTERRUPT"):
        return duckdb.InterruptException(text)
    if text.startswith("Out of Memory"):
        return duckdb.OutOfMemoryException(text)
    return duckdb.Error(text)
