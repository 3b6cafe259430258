"""Check of a query by DuckDB's own parser: one SELECT that reads the store's tables and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from falcon_events.errors import EventsError
from falcon_events.store.database import duckdb

ONE_SELECT = "query must be one SELECT, such as: select count(*) from events"
QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
"""The kinds of queries that only read. DuckDB 2.0 has others, such as an INSERT in a `with` clause."""
TABLE_FUNCTIONS = {
    "duckdb_columns", "duckdb_constraints", "duckdb_functions", "duckdb_indexes", "duckdb_keywords", "duckdb_schemas",
    "duckdb_settings", "duckdb_tables", "duckdb_types", "duckdb_views", "generate_series", "json_each", "json_tree",
    "pg_timezone_names", "pragma_database_size", "pragma_storage_info", "pragma_table_info", "pragma_version", "range",
    "repeat_row", "unnest",
}  # fmt: skip
"""The functions after `from`. All others are refused: many read files, and some change settings or write."""
REFUSED_FUNCTIONS = {"getenv", "nextval", "setseed", "setval", "sleep_ms", "write_log"}
"""Functions in expressions that do more than compute a value from the rows."""
SERIALIZE = "select json_serialize_sql(?::varchar)"
TABLE_NAMES = """
select lower(table_name) from duckdb_tables()
union all select lower(view_name) from duckdb_views()
"""


def check_select(connection: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    """Check that a query is one SELECT without functions that do more than read.

    Args:
        connection: any connection, which parses the query.
        query: the query.

    Returns:
        The names of the tables and views that it reads, in lower case.

    Raises:
        EventsError: it is something else; the message says what.
        duckdb.Error: it cannot be parsed.
    """
    if len(statements := connection.extract_statements(query)) != 1:  # raises what is wrong with the syntax, and where
        raise EventsError(f"{ONE_SELECT}; this has {len(statements)} statements")
    ((text,),) = connection.execute(SERIALIZE, [query]).fetchall()
    try:
        tree = json.loads(text)
    except RecursionError:
        raise EventsError("query is nested too deeply") from None
    if tree["error"] or len(tree["statements"]) != 1:
        raise EventsError(ONE_SELECT)
    tables: set[str] = set()
    named: set[str] = set()
    for node in _walk(tree["statements"]):
        match node:
            case {"type": str(kind)} if kind.endswith("_NODE") and kind not in QUERY_NODES:
                raise EventsError(f"{ONE_SELECT}; this one also writes")
            case {"type": "TABLE_FUNCTION", "function": {"function_name": str(name)}} if name.lower() not in TABLE_FUNCTIONS:
                raise EventsError(f"query may not use the function {name}() as a table: it reads more than the store, or writes")
            case {"class": "FUNCTION", "function_name": str(name)} if name.lower() in REFUSED_FUNCTIONS:
                raise EventsError(f"query may not use the function {name}(): it does more than read")
            case {"type": "BASE_TABLE", "table_name": str(name)}:
                tables.add(name.lower())
            case {"map": list(expressions)}:  # the names that a `with` clause gives
                named.update(str(one["key"]).lower() for one in expressions if isinstance(one, dict) and "key" in one)
    return tables - named


def check_tables(connection: duckdb.DuckDBPyConnection, tables: set[str]) -> None:
    """Raise EventsError if a name is not a table or view, because the database would look for a file of this name."""
    known = {name for (name,) in connection.execute(TABLE_NAMES).fetchall()}
    if unknown := min(tables - known, default=None):
        raise EventsError(f"query names {unknown!r}, which is not a table of the store; docs/database.md describes the tables")


def _walk(value: Any) -> Iterator[Any]:
    """Yield every object of a JSON value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
