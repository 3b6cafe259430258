"""The overview: how many came, from where, what they looked at, and what they brought."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.figures import ask_figures
from falcon_events.dashboard.tables import METRICS, build_table, link_to_people
from falcon_events.dashboard.trend import UNITS, ask_trend, choose_unit
from falcon_events.model.answers import QueryResult
from falcon_events.runtime.steps import Steps

FIGURES = ("people", "views", "sessions", "bounce_rate", "session_seconds", "conversions", "revenue")
"""The metrics at the top of the page."""
NOW = timedelta(minutes=5)
"""How long after doing something a person counts as being there now."""
HOSTS = 20
"""How many hosts of a site are left out of the referrers."""
NOW_EVERY_S = 10
"""For this time the question about those who are there now stays the same, so that its answer is shown again."""
ROWS, ALL_ROWS = 9, 200
"""How many rows a table has on the overview, and on a page of its own."""


class Breakdown(msgspec.Struct, frozen=True):
    """A table of the overview: its tab's name, what its first column has, its metrics, conditions on events.

    `empty` stands for an empty value.
    """

    name: str
    head: str
    metrics: tuple[str, ...] = ("people", "events")
    filters: tuple[Any, ...] = ()
    empty: str = "(empty)"


VIEWS = ("is", "event", ["pageView"])
BREAKDOWNS = {
    "path": Breakdown("Pages", "Page", ("people", "views"), (VIEWS,)),
    "entry_path": Breakdown("Entry pages", "Entry page", ("people", "sessions")),
    "exit_path": Breakdown("Exit pages", "Exit page", ("people", "sessions")),
    "referring_domain": Breakdown("Referrers", "Referrer", ("people", "views"), (VIEWS,), "(direct)"),
    "source": Breakdown("Sources", "Source", ("people", "conversions", "revenue")),
    "campaign": Breakdown("Campaigns", "Campaign", ("people", "conversions", "revenue")),
    "utm_medium": Breakdown("Mediums", "Medium", ("people", "views"), (VIEWS,)),
    "event": Breakdown("Events", "Event"),
    "browser": Breakdown("Browsers", "Browser"),
    "os": Breakdown("Systems", "System"),
    "device_type": Breakdown("Devices", "Device"),
    "language": Breakdown("Languages", "Language"),
    "screen": Breakdown("Screens", "Screen"),
}
CARDS = (
    ("Pages", "pages", ("path", "entry_path", "exit_path")),
    ("Sources", "sources", ("referring_domain", "source", "campaign", "utm_medium")),
    ("Events", "events", ("event",)),
    ("Devices", "devices", ("browser", "os", "device_type", "language", "screen")),
)
"""The tables that share a place on the page: a title, a parameter that says which one is shown, and their dimensions."""


def show_overview(context: Context) -> Steps[Reply]:
    """Show the page. Its parts are asked for one by one, so that a slow one does not keep the others."""
    cards = [
        (title, name, [(one, BREAKDOWNS[one].name) for one in dimensions], _choose(context, name, dimensions))
        for title, name, dimensions in CARDS
    ]
    return context.render("overview.html", title="Overview", cards=cards)
    yield


def show_figures(context: Context) -> Steps[Reply]:
    """Show the figures at the top, each with its change."""
    figures = yield from ask_figures(context, FIGURES, context.request.get("metric", "people"))
    if context.wants_csv:
        rows = [(one["name"], one["value"], one["before"]) for one in figures]
        return context.csv("figures", ("metric", "value", "before"), rows)
    return context.render("figures.html", title="Figures", figures=figures, above="")


def show_trend(context: Context) -> Steps[Reply]:
    """Show one metric over time."""
    metric = context.request.get("metric", "people")
    metric = metric if metric in METRICS else "people"
    unit = choose_unit(context)
    trend = yield from ask_trend(context, metric, unit)
    if context.wants_csv:
        return context.csv(f"trend-{metric}", ("time", metric, "before"), trend.list_rows())
    return context.render("trend.html", title=METRICS[metric], trend=trend, units=UNITS, shown="overview.trend", above="")


def show_table(context: Context) -> Steps[Reply]:
    """Show the most frequent values of a dimension."""
    dimension = context.request.get("by", "path")
    breakdown = BREAKDOWNS.get(dimension)
    if breakdown is None:
        reason = f"by: {dimension[:50]!r} must be one of {', '.join(BREAKDOWNS)}."
        return context.refuse([reason])
    filters = list(breakdown.filters)
    if dimension == "referring_domain" and (hosts := (yield from _find_hosts(context))):
        filters.append(("is_not", dimension, hosts))  # who goes from page to page of the site does not come from elsewhere
    arguments = context.view.question(
        dimensions=[dimension],
        metrics=list(breakdown.metrics),
        filters=filters,
        limit=ROWS if context.is_part else 10_000 if context.wants_csv else ALL_ROWS,
    )
    answered = yield from context.ask("query", QueryResult, arguments)
    if context.wants_csv:
        rows = [(*row.dimensions, *row.metrics) for row in answered.result.rows]
        return context.csv(f"by-{dimension.replace('_', '-')}", (dimension, *breakdown.metrics), rows)
    table = build_table(context, arguments, answered.result, breakdown.head)
    return context.render(
        "table.html",
        title=breakdown.name,
        table=table,
        shown="overview.table",
        by=dimension,
        most=arguments["limit"],
        empty=breakdown.empty,
    )


def _find_hosts(context: Context) -> Steps[list[str]]:
    """Return the hosts of the site's own pages, those with most events."""
    hosts = {"date_range": context.view.date_range, "dimensions": ["host"], "metrics": ["events"], "limit": HOSTS}
    answered = yield from context.ask("query", QueryResult, hosts, is_told=False)
    return [row.dimensions[0] for row in answered.result.rows if row.dimensions[0]]


def show_now(context: Context) -> Steps[Reply]:
    """Show how many are there now."""
    now = datetime.fromtimestamp(context.tracking.clock() // NOW_EVERY_S * NOW_EVERY_S, UTC)
    days = [(now - NOW).isoformat(), (now + timedelta(seconds=NOW_EVERY_S)).isoformat()]
    arguments = {**context.view.question(), "date_range": days, "metrics": ["people"]}
    answered = yield from context.ask("query", QueryResult, arguments)
    (row,) = answered.result.rows
    people = link_to_people(context.links, arguments, Row={"Dimensions": []})
    return context.render("now.html", title="Now", number=row.metrics[0], people=people)


def _choose(context: Context, name: str, dimensions: tuple[str, ...]) -> str:
    chosen = context.request.get(name)
    return chosen if chosen in dimensions else dimensions[0]


PAGES = {
    "": Page(show_overview),
    "overview.figures": Page(show_figures),
    "overview.trend": Page(show_trend),
    "overview.table": Page(show_table),
    "overview.now": Page(show_now),
}
