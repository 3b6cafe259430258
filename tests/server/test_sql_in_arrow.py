"""Results of SQL in Arrow: types, limits, and what is missing, on each of DuckDB's lines."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from falcon_events import EventsError, EventTracking
from falcon_events.settings import Settings
from falcon_events.store.memory import MemoryStore
from falcon_events.store.queries.arrow import read_arrow
from falcon_events.store.queries.sql import Limits, run_select

pytestmark = pytest.mark.database

UUID = "00000000-0000-4000-8000-000000000001"
TYPES: list[tuple[str, pa.DataType, Any]] = [
    ("9223372036854775807::bigint", pa.int64(), 9223372036854775807),
    ("18446744073709551615::ubigint", pa.uint64(), 18446744073709551615),
    ("-123456789012345678901234567890::hugeint", pa.decimal128(38, 0), Decimal("-123456789012345678901234567890")),
    ("340282366920938463463374607431768211455::uhugeint", pa.string(), "340282366920938463463374607431768211455"),
    ("1.25::decimal(9, 2)", pa.decimal128(9, 2), Decimal("1.25")),
    ("12345678901234567890.123456789::decimal(38, 9)", pa.decimal128(38, 9), Decimal("12345678901234567890.123456789")),
    ("'nan'::double is null", pa.bool_(), False),
    ("date '2026-03-29'", pa.date32(), date(2026, 3, 29)),
    ("timestamp '2026-03-29 01:02:03.123456'", pa.timestamp("us"), datetime(2026, 3, 29, 1, 2, 3, 123456)),
    ("timestamp_s '2026-03-29 01:02:03'", pa.timestamp("s"), datetime(2026, 3, 29, 1, 2, 3)),
    ("time '01:02:03.5'", pa.time64("us"), time(1, 2, 3, 500000)),
    ("'01:02:03+02'::timetz", pa.string(), "01:02:03+02"),
    ("interval '1 month 2 days 3 seconds'", pa.month_day_nano_interval(), pa.MonthDayNano([1, 2, 3_000_000_000])),
    (f"'{UUID}'::uuid", pa.string(), UUID),
    ("""'{"a":  1e400}'::json""", pa.string(), '{"a":  1e400}'),
    (r"'\x00\xff'::blob", pa.binary(), b"\x00\xff"),
    ("'101'::bit", pa.string(), "101"),
    ("['101'::bit]", pa.string(), "[101]"),
    ("union_value(number := 2)", pa.string(), "2"),
    ("'x'::variant", pa.string(), "x"),
    ("[1, null]::integer[]", pa.list_(pa.field("l", pa.int32())), [1, None]),
    ("[]::varchar[]", pa.list_(pa.field("l", pa.string())), []),
    (f"{{'a': 1::hugeint, 'b': ['{UUID}'::uuid]}}", None, {"a": Decimal(1), "b": [UUID]}),
    ("map {'k': 1}", pa.map_(pa.string(), pa.int32()), [("k", 1)]),
    ("null::double", pa.float64(), None),
    ("'a😀\"'", pa.string(), 'a😀"'),
]
LIMITS = Limits(60, 1000, 1 << 20, 256)


def export(connection: duckdb.DuckDBPyConnection, query: str, limits: Limits = LIMITS) -> pa.Table:
    """The result of a query in a database."""
    return pa.ipc.open_stream(run_select(connection, query, limits, read_arrow)).read_all()


@pytest.fixture(scope="module")
def connection() -> Any:
    """A database in memory."""
    with duckdb.connect() as opened:
        yield opened


@pytest.mark.parametrize(("expression", "type_", "value"), TYPES, ids=[expression for expression, _, _ in TYPES])
def test_types_survive(connection: duckdb.DuckDBPyConnection, expression: str, type_: pa.DataType | None, value: Any) -> None:
    """Values are exact, with rows and without; what Arrow lacks is text; the field tells DuckDB's type."""
    table = export(connection, f"select {expression} as found")
    assert table.column_names == ["found"]
    assert type_ is None or table.schema.field(0).type == type_
    assert table.column(0).to_pylist() == [value]
    assert table.schema.field(0).metadata[b"duckdb_type"] == str(connection.sql(f"select {expression}").types[0]).encode()
    empty = export(connection, f"select {expression} as found where false")
    assert empty.num_rows == 0
    assert empty.schema == table.schema


def test_all_forms_of_a_query_have_the_rows_of_sql(connection: duckdb.DuckDBPyConnection) -> None:
    """In the same order, under the same names, of which two may be the same."""
    for query in (
        "select i, i * 2 as I, i as i, '1'::bit from range(2500) as r(i) order by i desc limit 900;",
        "with a as (select 1 as b) select * from a union all from a -- the end",
        "values (1, 'a'), (2, null)",
        'select 1 as "x y""z", 2 as "select"',
    ):
        table = export(connection, query)
        result = connection.execute(query)
        assert table.column_names == [column[0] for column in result.description or ()]
        assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == result.fetchall()


@pytest.mark.parametrize(
    ("limits", "query", "reason"),
    [
        (Limits(60, 1000, 1 << 20, 256), "select i from range(1001) as r(i)", "more than 1000 rows .setting sql_rows"),
        (Limits(60, 1000, 1 << 20, 256), "select i from range(1000000000000) as r(i)", "sql_rows"),
        (Limits(60, 1000, 5000, 256), "select repeat('x', 1000) from range(9)", "sql_bytes"),
        (Limits(0.2, 1000, 5000, 256), "select count(*) from range(3000000000000) as r(i) where hash(i) % 7 = 1", "sql_time_s"),
        (
            Limits(0.2, 1 << 40, 1 << 40, 256),
            "select 1 from range(3000000000000) as r(i) where hash(i) % 7000000 = 1",
            "sql_time_s",
        ),
        (LIMITS, "select case when i = 900 then error('no such luck') else i end from range(1000) as r(i)", "no such luck"),
    ],
)
def test_limits_hold(connection: duckdb.DuckDBPyConnection, limits: Limits, query: str, reason: str) -> None:
    """Those of sql(), before the first row and between two; the connection goes on."""
    with pytest.raises(EventsError, match=reason):
        export(connection, query, limits)
    assert export(connection, "select 1 as a").to_pydict() == {"a": [1]}


def test_a_tracker_exports_what_it_stored(tracking: EventTracking) -> None:
    """Through the owner, from a process of the query's own; sql() gives the same rows in JSON's types, and no Arrow of others."""
    tracking.directory.ensure_list(1, "news")
    tracking.track(1, "sale", email="ada@example.com", properties={"price": 12.5}, timestamp="2026-03-29T01:02:03.5Z")
    query = "select event, occurred_at, event_id, properties from events where event = 'sale'"
    result = tracking.sql(query)
    table = tracking.sql_arrow(query)
    (row,) = table.to_pylist()
    assert row["occurred_at"].replace(tzinfo=UTC) == datetime(2026, 3, 29, 1, 2, 3, 500000, tzinfo=UTC)
    assert [row["event"], row["event_id"], row["properties"]] == [result.rows[0][0], *result.rows[0][2:]]
    assert result.meta == {}
    assert result.to_arrow() == table
    assert result.to_pandas()["event"].tolist() == result.to_polars()["event"].to_list() == ["sale"]
    for wrong in ("delete from events", "select * from nothing"):
        with pytest.raises(EventsError):
            tracking.sql_arrow(wrong)
    twice = tracking.sql("select 1 as a, interval '1 month' as b, 2 as a")
    with pytest.raises(EventsError, match="two columns are named 'a'"):
        twice.to_polars()
    assert list(twice.to_pandas().columns) == ["a", "b", "a"]
    with pytest.raises(EventsError, match="column 'b' has intervals"):
        tracking.sql("select [interval '1 month'] as b").to_polars()


def test_a_memory_store_exports_too() -> None:
    """As a store in a file does."""
    store = MemoryStore(Settings.from_environment())
    try:
        assert pa.ipc.open_stream(store.sql_arrow("select 1::hugeint as a").result()).read_all().to_pydict() == {
            "a": [Decimal(1)]
        }
    finally:
        store.close()


def test_an_owner_without_pyarrow_says_where_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's own environment is not always that of the owner."""
    (tmp_path / "pyarrow.py").write_text("raise ImportError('as if it was not there')\n")
    monkeypatch.syspath_prepend(str(tmp_path))  # what the owner's process starts with; this process has imported it already
    with EventTracking(tmp_path / "events.duckdb") as tracking:
        with pytest.raises(EventsError, match=r"environment of the store's owner process, .*python.*falcon-events\[arrow\]"):
            tracking.sql_arrow("select 1")
        assert tracking.sql("select 1 as a").rows == [[1]]


def test_the_call_that_lacks_pyarrow_is_named(tracking: EventTracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the query is run again."""
    result = tracking.sql("select 1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EventsError, match=r"^sql_arrow\(\) needs pyarrow: pip install 'falcon-events\[arrow\]'"):
        tracking.sql_arrow("select 1")
    with pytest.raises(EventsError, match=r"^to_arrow\(\) needs pyarrow"):
        result.to_arrow()
