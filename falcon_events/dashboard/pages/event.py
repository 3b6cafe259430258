"""One event type: how often and by how many, over time, its properties, and what it can be broken down by."""

from __future__ import annotations

from typing import Any

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import MAX_CSV_ROWS, Context, Page
from falcon_events.dashboard.figures import ask_figures
from falcon_events.dashboard.options import DIMENSIONS
from falcon_events.dashboard.paging import make_pager, read_page_number
from falcon_events.dashboard.tables import AGGREGATES, METRICS, build_table
from falcon_events.dashboard.trend import UNITS, ask_trend, choose_unit
from falcon_events.errors import EventsError
from falcon_events.model.answers import QueryResult
from falcon_events.model.reports import SeenEvents, SeenProperties
from falcon_events.query.names import is_dimension
from falcon_events.runtime.steps import Call, Steps

FIGURES = ("events", "people", "sessions")
USUAL = ("source", "campaign", "device_type", "path")
"""The dimensions that are offered beside the properties."""
OFFERED, FIRST_OFFERED = 200, 6
"""How many properties the fields offer, and how many have a link."""
ROWS, ALL_ROWS = 12, 100
"""How many rows a breakdown has on the event's page, and on a page of its own."""


def read_event(context: Context) -> str:
    """Return the event type that the URL names.

    Raises:
        EventsError: it names none.
    """
    name = context.request.get("name")
    if not name:
        raise EventsError("name: the address must name an event type, such as event?name=signup. The page Events lists them.")
    return name


def of_event(event: str) -> list[tuple[Any, ...]]:
    """Return the conditions on the events of a type."""
    return [("is", "event", [event])]


def show_event(context: Context) -> Steps[Reply]:
    """Show the page. Its numbers are parts."""
    event = read_event(context)
    catalogue: SeenEvents = yield Call(context.tracking.admin.seen_events, context.view.list_id, [event])
    return context.render(
        "event.html",
        status=200 if catalogue.types else 404,
        title=event,
        event=event,
        seen=catalogue.types[0] if catalogue.types else None,
        search=context.request.get("search"),
        opened=context.request.get("property") if "property" in context.request.query else None,
    )


def show_event_figures(context: Context) -> Steps[Reply]:
    """Show the figures of the event, each with its change."""
    given = {"filters": of_event(read_event(context))}
    figures = yield from ask_figures(context, FIGURES, _choose_metric(context), given)
    if context.wants_csv:
        rows = [(one["name"], one["value"], one["before"]) for one in figures]
        return context.csv("event-figures", ("metric", "value", "before"), rows)
    return context.render("figures.html", title="Figures", figures=figures, above="event")


def show_event_trend(context: Context) -> Steps[Reply]:
    """Show the events, or who did them, over time."""
    metric, unit = _choose_metric(context), choose_unit(context)
    trend = yield from ask_trend(context, metric, unit, {"filters": of_event(read_event(context))})
    if context.wants_csv:
        return context.csv(f"event-{metric}", ("time", metric, "before"), trend.list_rows())
    return context.render("trend.html", title=METRICS[metric], trend=trend, units=UNITS, shown="event.trend", above="event")


def show_breakdown(context: Context) -> Steps[Reply]:
    """Show the event by the values of a dimension, with a number of each value."""
    event = read_event(context)
    seen: SeenProperties = yield Call(_find_offered, context, event)
    properties = [one.name for one in seen.properties]
    by, of = _read_dimension(context, "by"), _read_dimension(context, "of")
    aggregate = context.request.get("aggregate", "sum")
    aggregate = aggregate if aggregate in AGGREGATES else "sum"
    shown = "event" if context.is_part else "event.breakdown"
    table = pager = None
    if by:
        rows = MAX_CSV_ROWS if context.wants_csv else ROWS if context.is_part else ALL_ROWS
        number = 1 if context.is_part or context.wants_csv else read_page_number(context, rows)
        metrics: list[Any] = ["events", "people", *([[aggregate, of]] if of else [])]
        arguments = context.view.question(
            metrics=metrics,
            dimensions=[by],
            filters=of_event(event),
            include=["total_rows"],
            limit=rows,
            offset=(number - 1) * rows,
        )
        result = (yield from context.ask("query", QueryResult, arguments)).result
        if context.wants_csv:
            header = (by, *(one if isinstance(one, str) else " ".join(one) for one in metrics))
            return context.csv("event-breakdown", header, [(*row.dimensions, *row.metrics) for row in result.rows])
        head = by.removeprefix("property:")
        table = build_table(context, arguments, result, head, "event", {"name": event})
        pager = make_pager(context, "event.breakdown", number, rows, len(result.rows), result.meta["TotalRows"])
    offered = [*(f"property:{name}" for name in properties[:FIRST_OFFERED]), *USUAL]
    return context.render(
        "event_breakdown.html",
        title=f"Break down {event}",
        event=event,
        table=table,
        pager=pager,
        by=by,
        of=of,
        aggregate=aggregate,
        aggregates=AGGREGATES,
        offered=[(one.removeprefix("property:"), context.links.here(shown, by=one, page=None), one == by) for one in offered],
        dimensions=[*(f"property:{name}" for name in properties), *DIMENSIONS],
        properties=[f"property:{name}" for name in properties],
        more=context.links.here("event.breakdown", search=None, page=None),
    )


def _choose_metric(context: Context) -> str:
    metric = context.request.get("metric", FIGURES[0])
    return metric if metric in FIGURES else FIGURES[0]


def _find_offered(context: Context, event: str) -> SeenProperties:
    return context.tracking.admin.seen_properties(context.view.list_id, event, most=OFFERED)


def _read_dimension(context: Context, name: str) -> str:
    """Return the dimension that a field names. What is no dimension's name is that of a property."""
    given = context.request.get(name).strip()
    return given if not given or is_dimension(given) else f"property:{given}"


PAGES = {
    "event": Page(show_event),
    "event.figures": Page(show_event_figures),
    "event.trend": Page(show_event_trend),
    "event.breakdown": Page(show_breakdown),
}
