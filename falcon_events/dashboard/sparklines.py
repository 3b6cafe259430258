"""Small lines beside the rows of a table: how often something happened over the range of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from falcon_events.dashboard.context import Context
from falcon_events.dashboard.templates import format_number
from falcon_events.model.answers import QueryResult
from falcon_events.runtime.steps import Steps

WIDTH, HEIGHT = 120, 26
AUTOMATIC = "identify"
"""The event type whose events are also stored beside others."""
MAX_ROWS = 10_000
"""How many rows one question may have: the events of a page of values, times the buckets of the range."""
LONGEST = ((4, "hour"), (120, "day"), (800, "week"))
"""The longest range in days that is drawn by a unit of time; a longer one is drawn by months."""
_DAYS = {"today": 1, "yesterday": 1, "week": 7, "month": 31, "year": 366}


class Sparkline(msgspec.Struct, frozen=True):
    """A small line: the points of its SVG, those of the area below it, and what it says in words."""

    points: str
    area: str
    description: str


def ask_sparklines(context: Context, dimension: str, values: Sequence[str | None]) -> Steps[dict[str, Sparkline]]:
    """Ask how often each of some values happened over the range of time, with one question.

    Args:
        context: the page.
        dimension: the dimension.
        values: its values. Those without a name have no line.
    """
    named = [value for value in values if value is not None]
    if not named:
        return {}
    unit = choose_small_unit(context.view.range_text)
    condition: Any = ("is", dimension, named)
    if dimension == "event" and AUTOMATIC in named:
        # Asked for by `is`, they would all count, also those that are stored beside another event.
        others = [value for value in named if value != AUTOMATIC]
        is_other = [("is", dimension, others)] if others else []
        condition = ("or", [*is_other, ("starts_with", dimension, [AUTOMATIC])])
    arguments = context.view.question(
        metrics=["events"],
        dimensions=[dimension, f"time:{unit}"],
        filters=[condition],
        include=["time_labels"],
        limit=MAX_ROWS,
    )
    answered = yield from context.ask("query", QueryResult, arguments)
    places = {label["Label"]: place for place, label in enumerate(answered.result.meta["TimeLabels"])}
    if len(answered.result.rows) == MAX_ROWS:
        return {}  # the lines would lack what the answer has no room for
    numbers: dict[str, list[float]] = {value: [0] * len(places) for value in named}
    for row in answered.result.rows:
        value, label = row.dimensions
        if value in numbers and label in places:
            numbers[value][places[label]] = row.metrics[0] or 0
    return {value: draw(line, unit) for value, line in numbers.items()}


def choose_small_unit(range_text: str) -> str:
    """Return the unit of time with which a range of time has enough buckets for a small line, and not too many."""
    first, between, last = range_text.partition("..")
    days: float
    if between:
        try:
            days = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).days + 1
        except (ValueError, TypeError):
            return "month"
    elif match := re.fullmatch(r"(\d{1,6})([dh])", range_text):
        days = int(match[1]) / (24 if match[2] == "h" else 1)
    else:
        days = _DAYS.get(range_text, 10_000)
    return next((unit for longest, unit in LONGEST if days < longest), "month")


def draw(numbers: Sequence[float], unit: str) -> Sparkline:
    """Return the small line of some numbers, the oldest first."""
    most = max(numbers, default=0)
    step = WIDTH / max(len(numbers) - 1, 1)
    tops = [(place * step, HEIGHT - 2 - (number / most if most else 0) * (HEIGHT - 4)) for place, number in enumerate(numbers)]
    if len(tops) == 1:
        tops.append((WIDTH, tops[0][1]))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in tops)
    last: Any = numbers[-1] if numbers else 0
    said = f"{len(numbers)} {unit}s: at most {format_number(most)} in one, {format_number(last)} in the last"
    return Sparkline(points, f"0,{HEIGHT} {points} {WIDTH},{HEIGHT}", said)
