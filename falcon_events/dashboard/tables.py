"""Tables of a query's rows: each value with its numbers, a bar, a link that filters by it and one to its persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from falcon_events.dashboard.context import Context
from falcon_events.dashboard.view import Links
from falcon_events.model.answers import QueryResult
from falcon_events.query.arguments import write_params

METRICS = {
    "people": "People",
    "visitors": "Visitors",
    "events": "Events",
    "views": "Views",
    "sessions": "Sessions",
    "bounce_rate": "Bounce rate",
    "session_seconds": "Session time",
    "views_per_session": "Views per session",
    "conversions": "Conversions",
    "revenue": "Revenue",
}
"""The metrics, with what people read."""
FORMS = {"bounce_rate": "share", "session_seconds": "seconds"}
"""How a metric is written, if not as a number."""
_CONVERSION = ("is", "event", ["conversion"])
NARROWED_BY = {"views": ("is", "event", ["pageView"]), "conversions": _CONVERSION, "revenue": _CONVERSION}
"""The condition that the events meet which a metric counts; others count every event."""


AGGREGATES = {
    "sum": "Sum",
    "avg": "Average",
    "median": "Median",
    "p95": "95th percentile",
    "min": "Smallest",
    "max": "Largest",
    "distinct": "Different values",
}
"""The aggregates of a dimension, with what people read."""


class TableCell(msgspec.Struct, frozen=True):
    """A number of a table: its value, how it is written, the value to compare with, and the link to its persons."""

    value: float | None
    form: str = "number"
    before: float | None = None
    people: str | None = None


class TableRow(msgspec.Struct, frozen=True):
    """A row of a table.

    Attributes:
        value: the value of the dimension; None: the events have none.
        cells: the numbers.
        share: the first number as a share of the largest, from 0 to 1, for the bar.
        link: the page that is filtered by the value; empty: no filter is for this value alone, which is an array or object.
    """

    value: str | None
    cells: list[TableCell]
    share: float
    link: str


class ValueTable(msgspec.Struct, frozen=True):
    """A table: what its first column has, the names of the others, and the rows."""

    head: str
    metrics: list[str]
    rows: list[TableRow]


def link_to_people(links: Links, arguments: Mapping[str, Any], **counted: Any) -> str:
    """Return the page with the persons whom a number counts.

    Args:
        links: the page's links.
        arguments: the arguments of the question, as the Python API has them.
        counted: which number is meant: `Row`, or `Step` and `Dropped`, or `Cohort` and `Period`.
    """
    kept = {name: value for name, value in arguments.items() if name not in ("limit", "offset", "order_by", "include", "compare")}
    of = {**write_params(kept), **counted}
    return links.to("people", of=msgspec.json.encode(of).decode(), filter=None, segment=None)


def condition_of(dimension: str, value: str | None) -> tuple[Any, ...]:
    """Return the filter for the events that have a value, or for those that have none."""
    return ("is_not_set", dimension) if value is None else ("is", dimension, [value])


def name_metric(metric: str | Sequence[str]) -> str:
    """Return the name of a metric, as people read it."""
    if isinstance(metric, str):
        return METRICS.get(metric, metric)
    aggregate, dimension = metric
    return f"{AGGREGATES.get(aggregate, aggregate)} of {dimension.removeprefix('property:')}"


def narrow_to_counted(arguments: Mapping[str, Any], metric: str | Sequence[str]) -> Mapping[str, Any]:
    """Return the arguments of a query about the events that a metric counts."""
    condition = NARROWED_BY.get(metric) if isinstance(metric, str) else None
    return arguments if condition is None else {**arguments, "filters": [*arguments.get("filters", []), condition]}


def build_table(
    context: Context,
    arguments: Mapping[str, Any],
    result: QueryResult,
    head: str,
    page: str = "",
    kept: Mapping[str, Any] | None = None,
) -> ValueTable:
    """Build the table of a query with one dimension.

    Args:
        context: the page.
        arguments: the arguments of the query.
        result: its result.
        head: what the first column has, as people read it.
        page: the page that a row's link leads to, filtered by the row's value.
        kept: the parameters that the page needs beside.
    """
    (dimension,) = arguments["dimensions"]
    metrics = arguments["metrics"]
    largest = max((row.metrics[0] or 0 for row in result.rows), default=0)
    rows = []
    for row in result.rows:
        (value,) = row.dimensions
        cells = [
            TableCell(
                number,
                FORMS.get(metric, "number") if isinstance(metric, str) else "number",
                None if row.compared is None else row.compared[place],
                link_to_people(context.links, narrow_to_counted(arguments, metric), Row={"Dimensions": [value]}),
            )
            for place, (metric, number) in enumerate(zip(metrics, row.metrics, strict=True))
        ]
        share = (row.metrics[0] or 0) / largest if largest else 0
        is_nested = dimension.startswith("property:") and (value or "").startswith(("[", "{"))
        link = "" if is_nested else context.links.filtered(page, *condition_of(dimension, value), **(kept or {}))
        rows.append(TableRow(value, cells, share, link))
    return ValueTable(head, [name_metric(metric) for metric in metrics], rows)
