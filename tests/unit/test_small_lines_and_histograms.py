"""Small lines and histograms of the dashboard: units of time, and ranges with round bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, strategies as st

from falcon_events.dashboard.distribution import NumberRange, make_ranges
from falcon_events.dashboard.sparklines import choose_small_unit, draw

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("today", "hour"),
        ("28d", "day"),
        ("48h", "hour"),
        ("2000h", "day"),
        ("365d", "week"),
        ("3000d", "month"),
        ("all", "month"),
        ("2026-03-01..2026-03-03", "hour"),
        ("2026-03-01..2026-03-31", "day"),
        ("2020-03-01..2026-03-31", "month"),
        ("2026-03-01T00:00:00Z..2026-03-02T00:00:00Z", "hour"),
        ("2026-03-01..2026-03-02T00:00:00Z", "month"),
        ("soon", "month"),
    ],
)
def test_a_small_line_has_neither_few_nor_many_points(text: str, unit: str) -> None:
    """So that one question answers those of a page."""
    assert choose_small_unit(text) == unit


def test_a_small_line_says_what_it_shows() -> None:
    """A line of nothing is flat, and one of a single number is level."""
    assert draw([0, 4, 2], "day").points == "0.0,24.0 60.0,2.0 120.0,13.0"
    assert draw([0, 4, 2], "day").description == "3 days: at most 4 in one, 2 in the last"
    assert draw([7], "month").points == "0.0,2.0 120.0,2.0"
    assert draw([0, 0], "day").points == "0.0,24.0 120.0,24.0"
    assert draw([], "day").points == ""


def test_bounds_are_round() -> None:
    """Whole numbers have whole bounds, far-out ones are in a last range without end, and few have a range each."""
    assert [one.describe(whole=True) for one in make_ranges(1, 3, 3, whole=True)] == ["1", "2", "3"]
    assert [one.describe(whole=True) for one in make_ranges(0, 100, 95, whole=True)][:2] == ["0 to 9", "10 to 19"]
    assert [one.describe(whole=True) for one in make_ranges(0, 100, 95, whole=True)][-1] == "100 to 109"
    assert make_ranges(0.25, 0.5, 0.5, whole=False)[0].describe(whole=False) == "0.25 to below 0.3"
    assert make_ranges(1, 1_000_000, 5, whole=True)[-1] == NumberRange(6, None)
    assert make_ranges(2.5, 2.5, 2.5, whole=False) == [NumberRange(2.5, None)]


@example(1e308, -1e308, 0.5, False)
@example(0.0, 5e-324, 1.0, False)
@example(1e300, 1e300 * (1 + 1e-15), 1.0, False)
@example(2.0**60, 2.0**60 + 256, 0.5, True)
@given(NUMBERS, NUMBERS, st.floats(0, 1), st.booleans())
def test_every_number_is_in_one_range(one: float, other: float, share: float, whole: bool) -> None:
    """Whatever the numbers are: there are few ranges, without gaps."""
    if whole:
        one, other = float(math.floor(one)), float(math.floor(other))
    low, high = sorted((one, other))
    p95 = min(max(low + share * (high - low), low), high) if math.isfinite(high - low) else high
    ranges = make_ranges(low, high, p95, whole=whole)
    assert 1 <= len(ranges) <= 16
    assert ranges[0].low <= low
    assert ranges[-1].high is None or high < ranges[-1].high
    assert [one.high for one in ranges[:-1]] == [one.low for one in ranges[1:]]
    assert all(one.high is None or one.low < one.high for one in ranges)
