"""Storage of the events' properties, which take most of the file: compressed by zstd."""

from __future__ import annotations

from falcon_events.store.database import duckdb

# The columns as DuckDB lists them after the migrations. The table events has no constraints except `not null`.
COLUMNS = """
select string_agg(format('{} {}{}{}', column_name, data_type,
    case when column_name = 'properties' then ' using compression zstd' else '' end,
    case when is_nullable then '' else ' not null' end), ', ' order by column_index)
from duckdb_columns() where database_name = $database and table_name = 'events'
"""


def compress_properties(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Create the empty table events of a database again, with zstd compression for the properties.

    DuckDB would choose a dictionary with FSST, which takes three times the bytes and makes each checkpoint take twice as long.
    The compression can be chosen only when a table is created, and copying a table does not copy it.
    """
    ((columns,),) = connection.execute(COLUMNS, {"database": database}).fetchall()
    connection.execute(f'drop table "{database}".events')
    connection.execute(f'create table "{database}".events ({columns})')
