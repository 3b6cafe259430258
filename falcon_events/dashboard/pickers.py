"""Forms that choose dates and filters: their fields become the parameters that every page understands."""

from __future__ import annotations

from falcon_events.dashboard.options import build_condition
from falcon_events.dashboard.requests import DashboardRequest
from falcon_events.dashboard.view import Links, read_view, write_filter


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
    query = {
        name: values for name, values in request.query.items() if name not in ("from", "to", "dimension", "operator", "value")
    }
    links = Links(view, query)
    if first and last:
        return links.here(request.page, range=f"{min(first, last)}..{max(first, last)}")
    condition = build_condition(dimension.strip(), operator, request.get("value"))
    return links.here(request.page, filter=[*map(write_filter, view.filters), write_filter(condition)])
