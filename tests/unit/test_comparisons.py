"""Which bucket of another range a bucket is compared with, and what a metric beyond a double is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import pytest

from tests.unit import test_answers as shared
from tests.unit.test_answers import ask, fill, make_events

pytestmark = pytest.mark.database

connections, either_connection = shared.connections, shared.either_connection


def moment(text: str) -> int:
    """A moment in microseconds since 1970."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def compare(connection: duckdb.DuckDBPyConnection, **asked: Any) -> dict[str, Any]:
    """What each row has in the other range, by its label; the resolved question gives the same answer."""
    answered = ask(connection, Metrics=["events"], Limit=2_000, **asked)
    again = ask(connection, **{name: value for name, value in answered["Query"].items() if name != "ListID"})
    assert again == answered
    return {row["Dimensions"][0]: row["Compared"] and row["Compared"][0] for row in answered["Results"]}


def test_a_leap_day_shifts_no_other_day(either_connection: duckdb.DuckDBPyConnection) -> None:
    """A year earlier, each day is that of the calendar; 29 February has none."""
    days = ("2023-02-28", "2023-03-01", "2023-03-02", "2023-03-02", "2023-12-31")
    fill(either_connection, make_events(*({"at": moment(f"{day}T12:00:00Z")} for day in days)))
    asked = {"DateRange": ["2024-01-01", "2024-12-31"], "Dimensions": ["time:day"]}
    found = compare(either_connection, **asked, Compare="year")
    assert [found[day] for day in ("2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02", "2024-12-31")] == [1, None, 1, 2, 1]
    assert compare(either_connection, **asked, Compare=["2023-01-01", "2023-12-31"]) == found
    later = compare(either_connection, DateRange=["2023-01-01", "2023-12-31"], Dimensions=["time:day"], Compare="year")
    assert (later["2023-03-01"], len(later)) == (0, 365)


@pytest.mark.parametrize(
    ("day", "at", "expected"),
    [
        ("2026-03-29", "2026-03-28T10:10:00+01:00", {"2026-03-29T10:00:00+02:00": 1, "2026-03-29T11:00:00+02:00": 0}),
        ("2026-03-30", "2026-03-29T10:10:00+02:00", {"2026-03-30T10:00:00+02:00": 1, "2026-03-30T02:00:00+02:00": None}),
        ("2026-10-25", "2026-10-24T10:10:00+02:00", {"2026-10-25T10:00:00+01:00": 1, "2026-10-25T09:00:00+01:00": 0}),
        ("2026-10-25", "2026-10-24T02:10:00+02:00", {"2026-10-25T02:00:00+02:00": 1, "2026-10-25T02:00:00+01:00": None}),
        ("2026-10-26", "2026-10-25T02:10:00+02:00", {"2026-10-26T02:00:00+01:00": 1, "2026-10-26T03:00:00+01:00": 0}),
    ],
)
def test_hours_are_compared_by_local_time(
    either_connection: duckdb.DuckDBPyConnection, day: str, at: str, expected: dict[str, int | None]
) -> None:
    """Also where the clock is changed on one of the two days: an hour that the other one lacks has none."""
    fill(either_connection, make_events({"at": moment(at)}))
    asked = {"DateRange": [day, day], "TimeZone": "Europe/Berlin", "Dimensions": ["time:hour"], "Compare": "previous"}
    found = compare(either_connection, **asked)
    assert {label: found[label] for label in expected} == expected
    minutes = compare(either_connection, **{**asked, "Dimensions": ["time:minute"]})
    assert {label: number for label, number in minutes.items() if number} == (
        {label.replace(":00:00", ":10:00"): 1 for label, number in expected.items() if number}
    )


def test_ranges_of_no_days_are_compared_in_order(either_connection: duckdb.DuckDBPyConnection) -> None:
    """The hours before the last three."""
    now = int(shared.NOW.timestamp()) * 1_000_000
    fill(either_connection, make_events({"at": now - 4 * 3_600_000_000}))
    found = list(compare(either_connection, DateRange="3h", Dimensions=["time:hour"], Compare="previous").values())
    assert sum(number or 0 for number in found) == 1
    assert found[-1] == 0


def test_sums_beyond_a_double_are_null_and_told(either_connection: duckdb.DuckDBPyConnection) -> None:
    """A mean that is none is right, as is a sum that exceeds a double on its way only."""
    orders = [{"event": "conversion", "properties": {"conversion-id": str(n), "conversion-value": 1e308}} for n in range(2)]
    fill(either_connection, make_events(*orders, {"properties": {"n": -1e308}}, {"properties": {"n": 1e308}}))
    value = "property:conversion-value"
    asked = {
        "DateRange": ["2026-03-28", "2026-03-29"],
        "Metrics": ["revenue", ["sum", value], ["avg", value], ["sum", "property:n"]],
    }
    answered = ask(either_connection, **asked)
    assert answered["Results"][0]["Metrics"] == [None, None, 1e308, 0]
    told = [(one["Code"], one["Name"], one["Rows"]) for one in answered["Meta"]["Warnings"]]
    assert told == [("too_large", "revenue", 1), ("too_large", f"sum {value}", 1)]


def test_fifty_conditions_on_properties_fit_into_memory(either_connection: duckdb.DuckDBPyConnection) -> None:
    """As many as a question may have, on properties of half a kilobyte."""
    fill(either_connection, [])
    either_connection.execute(
        "insert into events select range + 1, uuid(), 'a', 1, 'e', uuid(), 'x', null, make_timestamp($at), make_timestamp($at),"
        " json_object('n', range % 100, 'text', repeat('x', 400), 'a', [1, 2], 'b', range, 'c', 'd'), null, null, null"
        " from range(20000)",
        {"at": shared.SPRING},
    )
    filters = [["is_not", "property:n", [number]] for number in range(50)]
    answered = ask(either_connection, DateRange=["2026-03-28", "2026-03-29"], Metrics=["events"], Filters=filters)
    assert answered["Results"][0]["Metrics"] == [10_000]
