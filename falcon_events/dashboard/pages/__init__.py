"""The pages of the dashboard, by their path below its root."""

from __future__ import annotations

from falcon_events.dashboard.context import Page
from falcon_events.dashboard.pages import (
    boards,
    data,
    event,
    event_properties,
    events,
    funnels,
    live,
    names,
    overview,
    people,
    person,
    retention,
    shares,
    suggestions,
    values,
)

PAGES: dict[str, Page] = {
    **boards.PAGES,
    **data.PAGES,
    **event.PAGES,
    **event_properties.PAGES,
    **events.PAGES,
    **funnels.PAGES,
    **live.PAGES,
    **names.PAGES,
    **overview.PAGES,
    **people.PAGES,
    **person.PAGES,
    **retention.PAGES,
    **shares.PAGES,
    **suggestions.PAGES,
    **values.PAGES,
}
"""Every page but those for signing in and out. A part of a page has a path of its own: `overview.trend`."""
