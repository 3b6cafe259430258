"""The properties of an event type: their names and types, and for each its values and the distribution of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import MAX_CSV_ROWS, Context, Page
from falcon_events.dashboard.distribution import NumberRange, ask_distribution, build_histogram, make_ranges
from falcon_events.dashboard.pages.event import of_event, read_event
from falcon_events.dashboard.paging import make_pager, read_page_number
from falcon_events.dashboard.tables import AGGREGATES, ValueTable, build_table, link_to_people
from falcon_events.errors import EventsError
from falcon_events.model.answers import QueryResult
from falcon_events.model.reports import SeenProperties, SeenProperty
from falcon_events.runtime.steps import Call, Steps

TYPES = {
    "VARCHAR": "text",
    "UBIGINT": "number",
    "BIGINT": "number",
    "HUGEINT": "number",
    "UHUGEINT": "number",
    "DOUBLE": "number",
    "DECIMAL": "number",
    "BOOLEAN": "true or false",
    "ARRAY": "list",
    "OBJECT": "object",
    "NULL": "null",
}
"""The words for the types of values in JSON, as the database names them."""
ROWS, VALUES, ALL_VALUES = 15, 10, 100
"""How many properties a page has, how many values are shown of one, and how many on a page of its own."""
NUMBERS = ("avg", "median", "p95", "min", "max", "sum")


class PropertyRow(msgspec.Struct, frozen=True):
    """A row of the table: the property, the words for its types, its events of all time, and its addresses.

    Attributes:
        name: the property.
        types: the words for the types of its values, each with how many events have it.
        events: how many events have it.
        people: the link to the persons of these events.
        link: the event's page with the property opened.
        part: the part that shows the property.
        is_open: whether it is opened.
    """

    name: str
    types: list[tuple[str, int]]
    events: int
    people: str
    link: str
    part: str
    is_open: bool


def show_properties(context: Context) -> Steps[Reply]:
    """Show a page of the event's properties, from the catalogue: those that a tracker adds come last."""
    event = read_event(context)
    search = context.request.get("search").strip()
    number = 1 if context.wants_csv else read_page_number(context, ROWS)
    most = MAX_CSV_ROWS if context.wants_csv else ROWS
    seen: SeenProperties = yield Call(_find_properties, context, event, search, most, (number - 1) * ROWS)
    if context.wants_csv:
        rows = [(one.name, " ".join(word for word, _ in _name_types(one)), one.events) for one in seen.properties]
        return context.csv("event-properties", ("property", "types", "events"), rows)
    shown = "event" if context.is_part else "event.properties"
    return context.render(
        "event_properties.html",
        title=f"Properties of {event}",
        event=event,
        search=search,
        rows=[_build_row(context, event, one) for one in seen.properties],
        pager=make_pager(context, shown, number, ROWS, len(seen.properties), seen.count),
        unsearched=context.links.here(shown, search=None, page=None),
    )


def show_property(context: Context) -> Steps[Reply]:
    """Show a property: its numbers if it has some, and its most frequent values."""
    event, name = read_event(context), read_property(context)
    dimension = f"property:{name}"
    given = _ask_about(context, event, dimension)
    aggregates = ["events", "people", ["distinct", dimension], *([one, dimension] for one in NUMBERS)]
    result = (yield from context.ask("query", QueryResult, {**given, "metrics": aggregates})).result
    events, people, distinct, *numbers = result.rows[0].metrics
    found = dict(zip(NUMBERS, numbers, strict=True))
    if context.wants_csv:
        header = ("property", "events", "people", "distinct", *NUMBERS)
        return context.csv("event-property", header, [(name, events, people, distinct, *numbers)])
    table = None
    if events:
        table = (yield from _ask_values(context, event, dimension, VALUES, 0))[0]
    has_numbers = found["min"] is not None
    if not has_numbers:  # nobody asked for the numbers of a text
        context.warnings = [one for one in context.warnings if one["Code"] != "not_a_number"]
    return context.render(
        "event_property.html",
        title=f"{name} of {event}",
        event=event,
        prop=name,
        events=events,
        count=people,
        distinct=distinct,
        people=link_to_people(context.links, given, Row={"Dimensions": []}),
        numbers=[(AGGREGATES[one], value) for one, value in found.items()] if has_numbers else [],
        histogram=context.links.to("event.numbers", name=event, property=name) if has_numbers else None,
        table=table,
        all_values=context.links.to("event.values", name=event, property=name) if (distinct or 0) >= VALUES else None,
        by=context.links.to("event", name=event, property=name, by=dimension),
    )


def show_numbers(context: Context) -> Steps[Reply]:
    """Show how the numbers of a property are distributed."""
    event, name = read_event(context), read_property(context)
    dimension = f"property:{name}"
    given = _ask_about(context, event, dimension)
    metrics = [[one, dimension] for one in ("min", "max", "p95")]
    low, high, p95 = (yield from context.ask("query", QueryResult, {**given, "metrics": metrics})).result.rows[0].metrics
    types = yield from _find_types(context, event, name)
    ranges: list[NumberRange] = []
    table: ValueTable | None = None
    if low is not None and high is not None and p95 is not None:
        whole = not types & {"DOUBLE", "DECIMAL", "VARCHAR"} and float(low).is_integer() and float(high).is_integer()
        ranges = make_ranges(float(low), float(high), float(p95), whole=whole)
        counts = yield from ask_distribution(context, dimension, ranges, given, has_lists="ARRAY" in types)
        if context.wants_csv:
            rows = [(one.low, one.high, count) for one, count in zip(ranges, counts, strict=True)]
            return context.csv("event-numbers", ("from", "below", "events"), rows)
        kept = {"name": event, "property": name}
        table = build_histogram(context, "event", dimension, ranges, counts, given, kept, whole=whole)
    return context.render("event_numbers.html", title=f"Numbers of {name}", event=event, prop=name, table=table)


def show_property_values(context: Context) -> Steps[Reply]:
    """Show all values of a property, in pages."""
    event, name = read_event(context), read_property(context)
    rows = MAX_CSV_ROWS if context.wants_csv else ALL_VALUES
    number = 1 if context.wants_csv else read_page_number(context, rows)
    dimension, search = f"property:{name}", context.request.get("search").strip()
    table, result = yield from _ask_values(context, event, dimension, rows, (number - 1) * rows, search)
    if context.wants_csv:
        header = (dimension, "events", "people")
        return context.csv("event-values", header, [(*row.dimensions, *row.metrics) for row in result.rows])
    return context.render(
        "event_values.html",
        title=f"Values of {name}",
        event=event,
        prop=name,
        search=search,
        table=table,
        back=context.links.to("event", name=event, property=name),
        pager=make_pager(context, "event.values", number, rows, len(table.rows), result.meta["TotalRows"]),
    )


def read_property(context: Context) -> str:
    """Return the property that the URL names.

    Raises:
        EventsError: it names none.
    """
    if "property" not in context.request.query:
        raise EventsError("property: the address must name a property. The event's page lists them.")
    return context.request.get("property")


def _ask_about(context: Context, event: str, dimension: str) -> dict[str, Any]:
    """Return the arguments of a question about the events that have a property."""
    return context.view.question(filters=[*of_event(event), ("is_set", dimension)])


def _ask_values(
    context: Context, event: str, dimension: str, rows: int, skipped: int, search: str = ""
) -> Steps[tuple[ValueTable, QueryResult]]:
    """Ask for the values of a property, the most frequent first."""
    searched = [("contains", dimension, [search], {"case_sensitive": False})] if search else []
    arguments = context.view.question(
        metrics=["events", "people"],
        dimensions=[dimension],
        filters=[*of_event(event), *searched],
        include=["total_rows"],
        limit=rows,
        offset=skipped,
    )
    result = (yield from context.ask("query", QueryResult, arguments)).result
    kept: Mapping[str, Any] = {"name": event, "property": dimension.removeprefix("property:")}
    return build_table(context, arguments, result, "Value", "event", kept), result


def _build_row(context: Context, event: str, seen: SeenProperty) -> PropertyRow:
    links, name = context.links, seen.name
    given = {"date_range": "all", "filters": [*of_event(event), ("is_set", f"property:{name}")]}
    return PropertyRow(
        name=name,
        types=_name_types(seen),
        events=seen.events,
        people=link_to_people(links, given, Row={"Dimensions": []}),
        link=links.here("event", property=name) + "#property",
        part=links.to("event.property", name=event, property=name),
        is_open="property" in context.request.query and name == context.request.get("property"),
    )


def _name_types(seen: SeenProperty) -> list[tuple[str, int]]:
    """Return the words for the types of a property's values, with how many events have each, the most frequent first."""
    counts: dict[str, int] = {}
    for given, events in seen.types.items():
        word = TYPES.get(given, given.lower())
        counts[word] = counts.get(word, 0) + events
    return sorted(counts.items(), key=lambda one: -one[1])


def _find_properties(context: Context, event: str, search: str, most: int, skipped: int) -> SeenProperties:
    return context.tracking.admin.seen_properties(context.view.list_id, event, search=search, most=most, skipped=skipped)


def _find_types(context: Context, event: str, name: str) -> Steps[set[str]]:
    """Return the types of a property's values, as the database names them."""
    seen: SeenProperties = yield Call(_find_properties, context, event, name, MAX_CSV_ROWS, 0)
    return next((set(one.types) for one in seen.properties if one.name == name), {"ARRAY"})


PAGES = {
    "event.properties": Page(show_properties),
    "event.property": Page(show_property),
    "event.numbers": Page(show_numbers),
    "event.values": Page(show_property_values),
}
