"""Forms that choose dates and filters: their fields become the parameters that every page understands."""

from __future__ import annotations

from falcon_events.dashboard.options import build_condition
from falcon_events.dashboard.requests import DashboardRequest
from falcon_events.dashboard.view import Links, View, read_view, write_filter


def simplify_address(request: DashboardRequest) -> str | None:
    """Return the address that a form of dates or of a filter means; None if the request has no fields of such a form.

    Raises:
        EventsError: a field is not valid.
    """
    first, last = request.get("from"), request.get("to")
    dimension, operator = request.get("dimension"), request.get("operator")
    if not (first and last) and not (dimension and operator):
        return None
    view, _ = read_view(request)
    fields = ("from", "to", "dimension", "operator", "value")
    query = {name: values for name, values in request.query.items() if name not in fields}
    links = Links(view, query)
    if first and last:
        return links.here(request.page, range=f"{min(first, last)}..{max(first, last)}")
    condition = build_condition(dimension.strip(), operator, request.get("value"))
    filters = [*map(write_filter, view.filters)]
    place = read_place(request, view)
    if place is None:
        filters.append(write_filter(condition))
    else:
        filters[place] = write_filter(condition)
    return links.here(request.page, filter=filters)


def read_place(request: DashboardRequest, view: View) -> int | None:
    """Return the place of the filter that is being changed, among those of the view; None if none is."""
    text = request.get("edit")
    return int(text) if text in map(str, range(len(view.filters))) else None
