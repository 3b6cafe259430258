"""The names that conditions and breakdowns can be about: dimensions, and the properties that the list's events have."""

from __future__ import annotations

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.model.sender import HOST
from falcon_events.runtime.steps import Steps

OFFERED_NAMES = 30
"""How many names a field offers."""


def show_names(context: Context) -> Steps[Reply]:
    """Show the names that have what the reader wrote; those that begin with it come first."""
    _, properties = yield from context.tracking.pipeline.properties({"ListID": context.view.list_id}, HOST)
    names = sorted({name for of_event in properties.values() for name in of_event})
    wanted = context.request.get("prefix").strip().lower()
    found = [one for one in (*context.dimensions, *(f"property:{name}" for name in names)) if wanted in one.lower()]
    found.sort(key=lambda one: not one.lower().removeprefix("property:").startswith(wanted.removeprefix("property:")))
    return context.render("values.html", title="Names", values=found[:OFFERED_NAMES])


PAGES = {"names": Page(show_names)}
