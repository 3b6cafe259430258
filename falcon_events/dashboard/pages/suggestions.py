"""Suggestions for the fields of the forms for segments: event types, names of properties and traits, and values."""

from __future__ import annotations

from collections.abc import Iterable

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.options import DIMENSIONS
from falcon_events.dashboard.segment_form import name_dimension
from falcon_events.model.answers import ValuesResult
from falcon_events.model.sender import HOST
from falcon_events.runtime.steps import Steps

OFFERED = 20
"""How many values a field offers."""
LOOKED_AT = "91d"
"""The events whose values are offered."""


def show_suggestions(context: Context) -> Steps[Reply]:
    """Show what a field offers, given how its text begins and the event type and property that other fields name."""
    request = context.request
    kind, event, name = request.get("of"), request.get("event"), request.get("name").strip()
    found: Iterable[str]
    if kind == "event":
        found = yield from _ask_values(context, "event", "")
    elif kind == "value":
        found = (yield from _ask_values(context, name_dimension(name), event)) if name else []
    elif kind == "trait":
        found = yield from _list_properties(context, "identify")
    else:
        found = [*(yield from _list_properties(context, event)), *DIMENSIONS]
    prefix = request.get("prefix").lower()
    values = [one for one in found if one.lower().startswith(prefix)][:OFFERED]
    return context.render("values.html", title="Values", values=values)


def _ask_values(context: Context, dimension: str, event: str) -> Steps[list[str]]:
    arguments = {
        "dimension": dimension,
        "prefix": context.request.get("prefix"),
        "date_range": LOOKED_AT,
        "filters": [["is", "event", [event]]] if event else None,
        "limit": OFFERED,
    }
    answered = yield from context.ask("values", ValuesResult, arguments)
    return [row.value for row in answered.result.rows]


def _list_properties(context: Context, event: str) -> Steps[list[str]]:
    """Return the names of the properties of an event type, or of all; those that the tracker adds come last."""
    _, names = yield from context.tracking.pipeline.properties({"ListID": context.view.list_id}, HOST)
    found = names.get(event, []) if event else {name for some in names.values() for name in some}
    return sorted(found, key=lambda name: (name.startswith("$"), name))


PAGES = {"people.suggestions": Page(show_suggestions)}
"""The page of suggestions."""
