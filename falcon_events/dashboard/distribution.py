"""The distribution of a property's numbers: ranges with round bounds, and how many events have a number in each."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from falcon_events.dashboard.context import Context
from falcon_events.dashboard.tables import TableCell, TableRow, ValueTable, link_to_people
from falcon_events.dashboard.templates import format_number
from falcon_events.model.answers import QueryResult
from falcon_events.runtime.steps import Steps

MOST_RANGES = 12
"""How many ranges are wanted; round bounds may make it two more."""
MOST_VALUES = 10_000
"""Up to so many different values, one question tells how often each occurs. Else each range is a question of its own."""
FAR_OUT = 4
"""If the largest number is so many times as far from the smallest as the 95th percentile is, the last range has no end."""


class NumberRange(msgspec.Struct, frozen=True):
    """Numbers from `low` on and below `high`; None: without end."""

    low: float
    high: float | None

    def conditions(self, dimension: str) -> list[tuple[Any, ...]]:
        """Return the conditions on events that have a number of this range."""
        conditions: list[tuple[Any, ...]] = [(">=", dimension, [_simplify(self.low)])]
        if self.high is not None:
            conditions.append(("<", dimension, [_simplify(self.high)]))
        return conditions

    def describe(self, *, whole: bool) -> str:
        """Return the range in words. `whole`: all numbers are whole."""
        low = _write(self.low)
        if self.high is None:
            return f"{low} and more"
        if not whole:
            return f"{low} to below {_write(self.high)}"
        return low if self.high == self.low + 1 else f"{low} to {_write(self.high - 1)}"


def make_ranges(low: float, high: float, p95: float, *, whole: bool) -> list[NumberRange]:
    """Return ranges with round bounds that cover all numbers from `low` to `high`.

    Args:
        low: the smallest number.
        high: the largest number.
        p95: the 95th percentile.
        whole: whether all numbers are whole.
    """
    is_far = high - low > FAR_OUT * (p95 - low) > 0
    top = p95 if is_far else high
    span = top - low
    if not math.isfinite(span) or (span <= 0 and not whole):
        return [NumberRange(low, None)]
    step = _round_up(span / MOST_RANGES) if span > 1e-290 else float(whole)
    step = max(step, 1.0) if whole else step
    if step < 1e-300:
        return [NumberRange(low, None)]
    first = math.floor(low / step)
    digits = max(0, 1 - math.floor(math.log10(step)))
    bounds = [round((first + number) * step, digits) for number in range(math.floor(top / step) - first + 2)]
    if bounds[0] > low:
        bounds.insert(0, bounds[0] - step)  # the quotient was too small for a double, or rounded
    if bounds[-1] <= top:
        bounds.append(bounds[-1] + step)
    if any(one >= other for one, other in pairwise(bounds)):
        return [NumberRange(low, None)]  # the numbers are so large that doubles cannot tell the bounds from each other
    ranges = [NumberRange(one, other) for one, other in pairwise(bounds)]
    return [*ranges, NumberRange(bounds[-1], None)] if high >= bounds[-1] else ranges


def ask_distribution(
    context: Context, dimension: str, ranges: Sequence[NumberRange], given: Mapping[str, Any], *, has_lists: bool
) -> Steps[list[int]]:
    """Ask how many events have a number in each range.

    Args:
        context: the page.
        dimension: the property, as a dimension.
        ranges: the ranges.
        given: the arguments of a question about the property's events.
        has_lists: whether some values are lists; an event with a list counts in each range that one of its numbers is in.
    """
    if not has_lists:
        arguments = {
            **given,
            "filters": [*given["filters"], *ranges[0].conditions(dimension)[:1]],
            "metrics": ["events"],
            "dimensions": [dimension],
            "include": ["total_rows"],
            "limit": MOST_VALUES,
        }
        answered = yield from context.ask("query", QueryResult, arguments)
        if answered.result.meta["TotalRows"] <= MOST_VALUES:
            counts = [0] * len(ranges)
            bounds = [one.low for one in ranges]
            for row in answered.result.rows:
                counts[max(bisect_right(bounds, float(row.dimensions[0] or 0)) - 1, 0)] += int(row.metrics[0] or 0)
            return counts
        context.asked.pop()
    counts = []
    for one in ranges:
        arguments = {**given, "filters": [*given["filters"], *one.conditions(dimension)], "metrics": ["events"]}
        answered = yield from context.ask("query", QueryResult, arguments)
        counts.append(int(answered.result.rows[0].metrics[0] or 0))
    return counts


def build_histogram(
    context: Context,
    page: str,
    dimension: str,
    ranges: Sequence[NumberRange],
    counts: Sequence[int],
    given: Mapping[str, Any],
    kept: Mapping[str, str],
    *,
    whole: bool,
) -> ValueTable:
    """Return the histogram as a table: each range with its events, a bar, and the page that is filtered by it.

    Args:
        context: the page.
        page: the page that a row's link leads to.
        dimension: the property, as a dimension.
        ranges: the ranges.
        counts: how many events each has.
        given: the arguments of a question about the property's events.
        kept: the parameters that a row's link keeps.
        whole: whether all numbers are whole.
    """
    rows = []
    for one, count in zip(ranges, counts, strict=True):
        conditions = one.conditions(dimension)
        people = link_to_people(context.links, {**given, "filters": [*given["filters"], *conditions]}, Row={"Dimensions": []})
        condition = conditions[0] if len(conditions) == 1 else ("and", conditions)
        link = context.links.filtered(page, *condition, **kept)
        share = count / max(counts) if max(counts) else 0
        rows.append(TableRow(one.describe(whole=whole), [TableCell(count, people=people)], share, link))
    return ValueTable("Range", ["Events"], rows)


def _round_up(step: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50, ... that is no less."""
    power = 10.0 ** math.floor(math.log10(step))
    return next((one * power for one in (1, 2, 5) if one * power >= step), 10 * power)


def _simplify(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _write(number: float) -> str:
    """Return a bound with all its digits: 0.025, 1,000."""
    return format_number(number) if float(number).is_integer() and abs(number) < 1e15 else f"{number:,.12g}"
