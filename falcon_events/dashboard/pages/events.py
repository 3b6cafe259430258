"""Events: every event type with its numbers, a small line, and when it was seen first and last."""

from __future__ import annotations

from typing import Any

import msgspec

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import MAX_CSV_ROWS, Context, Page
from falcon_events.dashboard.paging import make_pager, read_page_number
from falcon_events.dashboard.sparklines import AUTOMATIC, Sparkline, ask_sparklines
from falcon_events.dashboard.tables import TableRow, build_table
from falcon_events.model.answers import QueryResult
from falcon_events.model.reports import SeenEvent, SeenEvents
from falcon_events.runtime.steps import Call, Steps

ROWS = 50
"""How many event types a page has."""
METRICS = ["events", "people"]
ORDERS = {"events": "desc", "people": "desc", "event": "asc"}
"""The columns that the table can be ordered by, with their directions."""


class EventTypeRow(msgspec.Struct, frozen=True):
    """A row of the table: the event type with its numbers, its line, when it was seen, and its page."""

    numbers: TableRow
    link: str
    line: Sparkline | None
    seen: SeenEvent | None


def show_events(context: Context) -> Steps[Reply]:
    """Show the page, whose table is a part."""
    return context.render("events.html", title="Events", search=context.request.get("search"))
    yield


def show_event_table(context: Context) -> Steps[Reply]:
    """Show a page of the event types of the range of time."""
    search = context.request.get("search").strip()
    order = context.request.get("sort", "events")
    order = order if order in ORDERS else "events"
    number = 1 if context.wants_csv else read_page_number(context, ROWS)
    arguments = context.view.question(
        metrics=METRICS,
        dimensions=["event"],
        filters=[("contains", "event", [search], {"case_sensitive": False})] if search else [],
        order_by=[[order, ORDERS[order]]],
        limit=MAX_CSV_ROWS if context.wants_csv else ROWS,
        offset=(number - 1) * ROWS,
        include=["total_rows"],
    )
    result = (yield from context.ask("query", QueryResult, arguments)).result
    names = [row.dimensions[0] for row in result.rows]
    catalogue: SeenEvents = yield Call(_find_seen, context, names, search)
    seen = {one.event: one for one in catalogue.types}
    if context.wants_csv:
        return context.csv("events", ("event", *METRICS, "first_seen", "last_seen"), _list_csv(result, seen))
    lines = yield from ask_sparklines(context, "event", names)
    shown = "events" if context.is_part else "events.table"
    rows = [
        EventTypeRow(row, context.links.to("event", name=row.value), lines.get(row.value or ""), seen.get(row.value or ""))
        for row in build_table(context, arguments, result, "Event").rows
    ]
    total = result.meta["TotalRows"]
    is_hidden = AUTOMATIC in seen and AUTOMATIC not in names and search.lower() in AUTOMATIC  # all are beside other events
    return context.render(
        "events_table.html",
        title="Events",
        rows=rows,
        search=search,
        orders=[(key, context.links.here(shown, sort=key, page=None), key == order) for key in ORDERS],
        pager=make_pager(context, shown, number, ROWS, len(rows), total),
        has_more=catalogue.count - is_hidden > total and context.view.range_text != "all",
        has_any=catalogue.count > 0,
        ever=context.links.here(shown, range="all", page=None),
        unsearched=context.links.here(shown, search=None, page=None),
    )


def _find_seen(context: Context, names: list[str], search: str) -> SeenEvents:
    return context.tracking.admin.seen_events(context.view.list_id, [*names, AUTOMATIC], search=search)


def _list_csv(result: QueryResult, seen: dict[str, SeenEvent]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for row in result.rows:
        found = seen.get(row.dimensions[0] or "")
        moments = (found.first_seen.isoformat(), found.last_seen.isoformat()) if found else (None, None)
        rows.append((*row.dimensions, *row.metrics, *moments))
    return rows


PAGES = {"events": Page(show_events), "events.table": Page(show_event_table)}
