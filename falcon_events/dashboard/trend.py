"""A metric over time, as a line that a chart draws and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from falcon_events.dashboard.context import Context
from falcon_events.dashboard.tables import FORMS, link_to_people, name_metric, narrow_to_counted
from falcon_events.model.answers import QueryResult
from falcon_events.runtime.steps import Steps

UNITS = {"hour": "Hours", "day": "Days", "week": "Weeks", "month": "Months"}
_DEFAULT_UNITS = {"today": "hour", "yesterday": "hour", "year": "week", "365d": "week", "all": "month", "91d": "day"}


class TrendPoint(msgspec.Struct, frozen=True):
    """A bucket of time: its label, the number in it, the one to compare with, why it is not whole, and its persons."""

    label: str
    value: float | None
    before: float | None
    partial: str
    people: str


class Trend(msgspec.Struct, frozen=True):
    """A metric over time.

    Attributes:
        metric: the metric's name.
        name: the metric's name, as people read it.
        form: how its numbers are written: `number`, `share` or `seconds`.
        unit: the unit of time.
        points: the buckets, the oldest first.
        compares: whether there are numbers to compare with.
    """

    metric: str
    name: str
    form: str
    unit: str
    points: list[TrendPoint]
    compares: bool

    def list_rows(self) -> list[tuple[str, float | None, float | None]]:
        """Return the rows of the table."""
        return [(point.label, point.value, point.before) for point in self.points]

    def describe_chart(self) -> dict[str, Any]:
        """Return what the chart's script draws."""
        return {
            "name": self.name,
            "form": self.form,
            "unit": self.unit,
            "labels": [point.label for point in self.points],
            "values": [point.value for point in self.points],
            "before": [point.before for point in self.points] if self.compares else None,
            "partial": [bool(point.partial) for point in self.points],
            "people": [point.people for point in self.points],
        }


def choose_unit(context: Context) -> str:
    """Return the unit of time that the URL names, or one that fits the range."""
    given = context.request.get("unit")
    if given in UNITS:
        return given
    text = context.view.range_text
    first, between, last = text.partition("..")
    if between:
        try:
            days = (date.fromisoformat(last) - date.fromisoformat(first)).days
        except ValueError:
            return "day"
        return "hour" if days < 2 else "day" if days < 100 else "week" if days < 500 else "month"
    return _DEFAULT_UNITS.get(text, "hour" if text.endswith("h") else "day")


def ask_trend(context: Context, metric: str, unit: str, more: Mapping[str, Any] | None = None) -> Steps[Trend]:
    """Ask for a metric over time.

    Args:
        context: the page.
        metric: the metric.
        unit: the unit of time: `hour`, `day`, `week` or `month`.
        more: more arguments of the question, such as filters.
    """
    arguments = context.view.question(
        metrics=[metric],
        dimensions=[f"time:{unit}"],
        compare=context.view.compare,
        include=["time_labels"],
        limit=10_000,
        **(more or {}),
    )
    answered = yield from context.ask("query", QueryResult, arguments)
    result = answered.result
    now = context.tracking.clock()
    partial = {one["Label"]: _tell_partial(one["To"], now) for one in result.meta.get("TimeLabels", []) if one["Partial"]}
    points = []
    for row in result.rows:
        label = row.dimensions[0] or ""
        people = link_to_people(context.links, narrow_to_counted(arguments, metric), Row={"Dimensions": row.dimensions})
        before = None if row.compared is None else row.compared[0]
        points.append(TrendPoint(label, row.metrics[0], before, partial.get(label, ""), people))
    return Trend(metric, name_metric(metric), FORMS.get(metric, "number"), unit, points, "compare" in arguments)


def _tell_partial(until: str, now: float) -> str:
    """Return why a bucket of time is not whole: it goes on, or the range has only a part of it."""
    return "not over" if datetime.fromisoformat(until).timestamp() > now else "in part"
