"""Sessions that reach over an end of the range: they are whole, however long they are."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import duckdb
import pytest

from tests.unit import test_answers as shared
from tests.unit.query_oracle import GAP_US, Event, Oracle
from tests.unit.test_answers import NOW, VISITORS, ask, assert_close, fill, make_events, rows

connections, either_connection = shared.connections, shared.either_connection

MIDNIGHT = int(datetime.fromisoformat("2026-03-10T00:00:00+00:00").timestamp()) * 1_000_000
METRICS = ["sessions", "bounce_rate", "session_seconds", "views_per_session", "people", "conversions", "revenue"]


def walk(chance: random.Random, visitor: str, gaps_before: int, gaps_after: int) -> list[dict[str, Any]]:
    """The events of a visitor around midnight, of one session or of several, in the order in which they happened."""
    at = MIDNIGHT - gaps_before * GAP_US + chance.randrange(GAP_US)
    given = []
    while at < MIDNIGHT + gaps_after * GAP_US:
        event = chance.choice(("pageView", "pageView", "e", "conversion"))
        properties: dict[str, Any] = {"url": f"https://a.example/{chance.randrange(4)}"}
        if event == "conversion":
            properties = {"conversion-id": str(chance.randrange(40)), "conversion-value": chance.randrange(9)}
        given.append({"event": event, "visitor": visitor, "at": at, "properties": properties})
        at += chance.choice((1, GAP_US - 1, GAP_US - 1, GAP_US // 2, GAP_US - 1, chance.choice((GAP_US, GAP_US - 1))))
    return given


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.database), 2])
@pytest.mark.parametrize("days", [("2026-03-10", "2026-03-10"), ("2026-03-09", "2026-03-09"), ("2026-03-08", "2026-03-11")])
@pytest.mark.parametrize("dimensions", [[], ["entry_path"], ["exit_path"], ["time:day"]])
def test_sessions_over_an_end_of_the_range_are_whole(
    either_connection: duckdb.DuckDBPyConnection, seed: int, days: tuple[str, str], dimensions: list[str]
) -> None:
    """Of some events and of a hundred, with pauses of nearly the gap and of just the gap, in any order of storage."""
    chance = random.Random(seed)
    given: list[dict[str, Any]] = []
    for visitor, (before, after) in zip(VISITORS, ((3, 2), (30, 30), (25, 24)), strict=False):
        given += walk(chance, visitor, before + seed % 4, after)
    chance.shuffle(given)
    events: list[Event] = make_events(*given)
    fill(either_connection, events, folds=[len(events)] if seed % 2 else [])
    request: dict[str, Any] = {
        "DateRange": list(days),
        "TimeZone": "UTC",
        "Metrics": METRICS,
        "Dimensions": dimensions,
        "Filters": [["is", "event", ["pageView"]]] if seed % 3 == 0 else [],
        "People": [],
        "Include": [],
        "Limit": 1000,
        "Offset": 0,
        "OrderBy": [],
    }
    oracle = Oracle(events, request, NOW)
    found = {tuple(row[0]): row[1] for row in rows(ask(either_connection, **request))}
    expected = {tuple(row[0]): row[1] for row in oracle.rows()}
    assert found.keys() == expected.keys()
    for key, wanted in expected.items():
        assert_close(found[key], wanted)
