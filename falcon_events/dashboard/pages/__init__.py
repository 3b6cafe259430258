"""The pages of the dashboard, by their path below its root."""

from __future__ import annotations

from falcon_events.dashboard.context import Page
from falcon_events.dashboard.pages import event, event_properties, events, overview, values

PAGES: dict[str, Page] = {
    **overview.PAGES,
    **events.PAGES,
    **event.PAGES,
    **event_properties.PAGES,
    **values.PAGES,
}
"""Every page but those for signing in and out. A part of a page has a path of its own: `overview.trend`."""
