"""How the file keeps what takes most of its room: the events' properties, compressed by zstd."""

from __future__ import annotations

import duckdb

# Column by column from the catalogue, as the migrations have left it: events has no constraints but `not null`.
COLUMNS = """
select string_agg(format('{} {}{}{}', column_name, data_type,
    case when column_name = 'properties' then ' using compression zstd' else '' end,
    case when is_nullable then '' else ' not null' end), ', ' order by column_index)
from duckdb_columns() where database_name = $database and table_name = 'events'
"""


def compress_properties(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Makes a database's table of events anew, which must be empty, with zstd for the properties.

    DuckDB's own choice, a dictionary with FSST, takes three times the bytes and twice the time of each checkpoint. It can be
    chosen only when a table is made, and is not copied with it.
    """
    ((columns,),) = connection.execute(COLUMNS, {"database": database}).fetchall()
    connection.execute(f'drop table "{database}".events')
    connection.execute(f'create table "{database}".events ({columns})')
