"""The check of queries: one SELECT on the store's tables, by DuckDB's own parser."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from falcon_events import EventsError
from falcon_events.store.database.connect import open_parser
from falcon_events.store.queries.select_check import TABLE_FUNCTIONS, check_select

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    """What parses the queries of others."""
    with open_parser() as connection:
        yield connection


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("select count(*) from events", {"events"}),
        ("from Events select event;", {"events"}),
        ("values (1), (2)", set()),
        ("with recursive t as (select 1 as i union all select i + 1 from t where i < 9) select * from t, bindings", {"bindings"}),
        ("select 1 union select list_id from lists order by 1 limit 1 -- a comment; with a semicolon", {"lists"}),
        ("select * from range(3), unnest([1]), json_each('{}'), generate_series(1, 2)", set()),
        ("describe events", {"events"}),
        ("show tables", set()),
        ("select {'type': 'TABLE_FUNCTION', 'function_name': 'read_csv'}, 'copy x to y; drop table events'", set()),
    ],
)
def test_a_select_is_accepted_with_the_tables_that_it_reads(
    parser: duckdb.DuckDBPyConnection, query: str, tables: set[str]
) -> None:
    """Words in texts and comments mean nothing; names that a `with` clause gives are no tables."""
    assert check_select(parser, query) == tables


@pytest.mark.parametrize(
    "query",
    [
        "explain analyze copy (select 1) to 'x.csv'",
        "explain select 1",
        "copy events to 'x.csv'",
        "attach 'x.duckdb'",
        "set memory_limit = '1TB'",
        "reset memory_limit",
        "pragma database_list",
        "call pragma_version()",
        "install httpfs",
        "load httpfs",
        "checkpoint",
        "use memory",
        "begin",
        "prepare p as select 1",
        "execute p",
        "create temp table t as select 1",
        "create macro m() as 1",
        "select 1; select 2",
        "select 1; drop table events",
        "pivot events on event using count(*)",
        "with x as (insert into accounts values ('q') returning *) select * from x",
        "with x as (delete from events returning *) select * from x",
        "",
        "-- nothing",
        "selec 1",
        "select * from read_text('/etc/passwd')",
        "select (select count(*) from READ_CSV('/etc/passwd'))",
        "with x as (from read_json('x')) from x",
        "select * from events where event in (select content from read_blob('x'))",
        "select * from events, lateral (select * from glob(event))",
        "select * from query('select * from read_text(''x'')')",
        "select * from query_table('events')",
        "select * from parquet_metadata('x')",
        "select * from sniff_csv('x')",
        "select * from force_checkpoint()",
        "select * from enable_logging()",
        "select * from json_execute_serialized_sql('x')",
        "select * from duckdb_secrets()",
        "select getenv('HOME')",
        "select Write_Log(event) from events",
        "select nextval('x')",
        "select 1" + " + 1" * 5000,
    ],
)
def test_everything_else_is_refused(parser: duckdb.DuckDBPyConnection, query: str) -> None:
    """Whatever writes, reads files, changes settings or is several statements, however deep it stands."""
    with pytest.raises((EventsError, duckdb.ParserException)):
        check_select(parser, query)


def test_every_table_function_that_is_allowed_exists_and_reads_no_file(parser: duckdb.DuckDBPyConnection) -> None:
    """A new DuckDB may drop or rename one; functions of files and settings have tell-tale names."""
    rows = parser.execute("select distinct function_name from duckdb_functions()").fetchall()
    assert {name for (name,) in rows} >= TABLE_FUNCTIONS - {"unnest"}
    assert not [
        name for name in TABLE_FUNCTIONS if any(part in name for part in ("read", "scan", "log", "query", "glob", "secret"))
    ]
