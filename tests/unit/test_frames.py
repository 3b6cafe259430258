"""Answers as tables: the names and types of their columns, with rows and without, in Arrow, pandas and polars."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from falcon_events import (
    FunnelResult,
    PeopleResult,
    QueryResult,
    RetentionResult,
    SavedResult,
    TimelineResult,
    ValuesResult,
)
from falcon_events.model.frames import Columnar

BERLIN = pa.timestamp("us", "Europe/Berlin")
MOMENT = pa.timestamp("us", "UTC")


def query(dimensions: list[str], metrics: list[Any], rows: list[dict[str, Any]], compare: Any = None) -> QueryResult:
    """The answer to a query in Berlin."""
    asked = {"Dimensions": dimensions, "Metrics": metrics, "Compare": compare, "TimeZone": "Europe/Berlin"}
    return msgspec.convert({"Results": rows, "Meta": {}, "Query": asked}, QueryResult)


def types(result: Columnar) -> dict[str, pa.DataType]:
    """The types of a result's columns."""
    return {field.name: field.type for field in result.to_arrow().schema}


def test_columns_are_named_after_dimensions_and_metrics() -> None:
    """As in the request, an aggregate with its dimension, a comparison with `compared` in front; missing values stay missing."""
    metrics = ["people", ["sum", "property:price"], ["distinct", "path"], "bounce_rate"]
    rows = [
        {"Dimensions": ["2026-03-29", None], "Metrics": [3, 12, 2, None], "Compared": [1, 7.5, 1, 0.5]},
        {"Dimensions": ["2026-03-30", "spring"], "Metrics": [0, 2**60, 0, 1], "Compared": None},
    ]
    result = query(["time:day", "campaign"], metrics, rows, ["2026-01-01", "2026-01-02"])
    counted = {"people": pa.int64(), "sum property:price": pa.float64(), "distinct path": pa.int64(), "bounce_rate": pa.float64()}
    compared = {f"compared {name}": type_ for name, type_ in counted.items()}
    expected = {"time:day": pa.date32(), "campaign": pa.string(), **counted, **compared}
    assert types(result) == expected
    assert types(query(["time:day", "campaign"], metrics, [], "previous")) == expected
    first, second = result.to_arrow().to_pylist()
    assert first == {
        "time:day": date(2026, 3, 29), "campaign": None, "people": 3, "sum property:price": 12.0, "distinct path": 2,
        "bounce_rate": None, "compared people": 1, "compared sum property:price": 7.5, "compared distinct path": 1,
        "compared bounce_rate": 0.5,
    }  # fmt: skip
    assert second["sum property:price"] == float(2**60)
    assert [second[name] for name in compared] == [None] * 4


@pytest.mark.parametrize(
    ("dimension", "labels", "type_", "values"),
    [
        ("time:week", ["2026-03-23"], pa.date32(), [date(2026, 3, 23)]),
        ("time:month", ["2026-03"], pa.date32(), [date(2026, 3, 1)]),
        (
            "time:hour",
            ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"],
            BERLIN,
            [datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)],
        ),
        ("time:minute", ["2026-03-29T03:59:00+02:00"], BERLIN, [datetime(2026, 3, 29, 1, 59, tzinfo=UTC)]),
        ("property:time:day", ["2026-03-23", "x"], pa.string(), ["2026-03-23", "x"]),
    ],
)
def test_times_are_days_or_instants(dimension: str, labels: list[str], type_: pa.DataType, values: list[Any]) -> None:
    """The two hours that autumn has twice are two instants, an hour apart."""
    rows = [{"Dimensions": [label], "Metrics": [1]} for label in labels]
    table = query([dimension], ["events"], rows).to_arrow()
    assert table.schema.field(0) == pa.field(dimension, type_)
    found = table.column(0).to_pylist()
    assert [value.astimezone(UTC) if isinstance(value, datetime) else value for value in found] == values


def test_data_frames_keep_the_types() -> None:
    """Integers that are missing are no floats, and days no text, with rows and without."""
    rows = [{"Dimensions": ["2026-03-29"], "Metrics": [3, None], "Compared": None}]
    for given in (rows, []):
        result = query(["time:day"], ["people", "revenue"], given, "year")
        frame = result.to_pandas()
        assert isinstance(frame, pd.DataFrame)
        assert list(map(str, frame.dtypes)) == ["datetime64[ms]", "Int64", "float64", "Int64", "float64"]
        schema = [pl.Date, pl.Int64, pl.Float64, pl.Int64, pl.Float64]
        assert result.to_polars().schema == pl.Schema(zip(frame.columns, schema, strict=True))
    frame = query(["time:day"], ["people", "revenue"], rows, "year").to_pandas()
    assert frame["people"].sum() == 3
    assert frame["compared people"].isna().all()


def test_steps_of_a_funnel() -> None:
    """One row for each step, or for each value of the breakdown and step."""
    counts = {"OfFirst": 1.0, "OfPrevious": None, "MedianSeconds": None}
    step = {"Event": None, "People": 4, **counts, "Compared": {"People": 2, **counts}}
    asked: dict[str, Any] = {"Breakdown": None, "Compare": None}
    told: dict[str, Any] = {"Steps": [step, step], "Meta": {}, "Query": asked}
    plain = msgspec.convert(told, FunnelResult)
    names = ["people", "of_first", "of_previous", "median_seconds"]
    assert plain.to_arrow().column_names == ["step", "event", *names]
    assert plain.to_arrow().column("step").to_pylist() == [1, 2]
    asked |= {"Breakdown": "property:plan", "Compare": "previous"}
    for groups, values in (([], []), ([{"Value": "free", "Steps": [step]}, {"Value": None, "Steps": [step]}], ["free", None])):
        divided = msgspec.convert({**told, "Breakdown": groups}, FunnelResult)
        assert divided.to_arrow().column("property:plan").to_pylist() == values
        compared = {f"compared {name}": pa.float64() for name in names} | {"compared people": pa.int64()}
        assert types(divided) == {
            "property:plan": pa.string(),
            "step": pa.int64(),
            "event": pa.string(),
            "people": pa.int64(),
            **dict.fromkeys(names[1:], pa.float64()),
            **compared,
        }


def test_cohorts_of_a_retention() -> None:
    """One row for each cohort and period; a period that is not over is missing."""
    cohorts = [{"Cohort": "2026-03", "Size": 9, "Returned": [9, None]}]
    result = msgspec.convert({"Cohorts": cohorts, "Meta": {}, "Query": {}}, RetentionResult)
    rows = [(date(2026, 3, 1), 9, 0, 9), (date(2026, 3, 1), 9, 1, None)]
    assert [tuple(row.values()) for row in result.to_arrow().to_pylist()] == rows
    empty = msgspec.convert({"Cohorts": [], "Meta": {}, "Query": {}}, RetentionResult)
    assert types(result) == types(empty) == {"cohort": pa.date32(), **dict.fromkeys(("size", "period", "returned"), pa.int64())}


def test_persons_events_values_and_what_is_saved() -> None:
    """Instants are instants, lists lists, and what has no fixed fields is JSON text."""
    seen = "2026-03-29T01:00:00.123456Z"
    person = {"Email": None, "IDs": ["7"], "UUIDs": [], "FirstSeen": seen, "LastSeen": None, "Events": 2, "Traits": {"a": [1]}}
    people = msgspec.convert({"People": [person], "Count": 1, "NextCursor": None}, PeopleResult, strict=False)
    (row,) = people.to_arrow().to_pylist()
    assert (row["ids"], row["uuids"], row["first_seen"]) == (["7"], [], datetime(2026, 3, 29, 1, 0, 0, 123456, tzinfo=UTC))
    assert json.loads(row["traits"]) == {"a": [1]}
    assert types(people)["last_seen"] == MOMENT
    assert types(people)["uuids"] == pa.list_(pa.string())
    timeline = msgspec.convert({"Person": person, "Events": [], "NextCursor": None}, TimelineResult)
    assert types(timeline)["occurred_at"] == MOMENT
    assert types(timeline)["properties"] == pa.string()
    values = msgspec.convert({"Values": [{"Value": "a", "Events": 1}], "Meta": {}}, ValuesResult)
    assert types(values) == {"value": pa.string(), "events": pa.int64()}
    saved = msgspec.convert({"Saved": [{"Name": "a", "Kind": "query", "SavedAt": seen, "Query": {"Limit": 1}}]}, SavedResult)
    assert saved.to_arrow().column("query").to_pylist() == ['{"Limit":1}']
    assert saved.meta == {}
    for result in (people, timeline, values, saved):
        assert list(result.to_pandas().columns) == result.to_polars().columns == list(types(result))


@pytest.mark.parametrize(
    ("method", "missing", "extra"),
    [
        ("to_arrow", "pyarrow", "arrow"),
        ("to_pandas", "pandas", "pandas"),
        ("to_pandas", "pyarrow", "pandas"),
        ("to_polars", "polars", "polars"),
        ("to_polars", "pyarrow", "polars"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, method: str, missing: str, extra: str
) -> None:
    """The message has the line that installs it."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(Exception, match=rf"needs {missing}: pip install 'falcon-events\[{extra}\]'") as raised:
        getattr(query([], ["events"], []), method)()
    assert type(raised.value).__name__ == "EventsError"


def test_the_libraries_are_loaded_on_first_use() -> None:
    """A program that makes no data frames does not wait for them."""
    code = "import falcon_events, falcon_events.client, sys; falcon_events.QueryResult, falcon_events.EventTracking; " \
        "print({'pyarrow', 'pandas', 'polars', 'numpy'} & sys.modules.keys())"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
