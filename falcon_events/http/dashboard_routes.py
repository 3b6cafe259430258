"""Where the dashboard is mounted, if it is. The libraries that make its pages are only loaded for an application that has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import falcon
import falcon.asgi

from falcon_events.access.protocol import Principal
from falcon_events.errors import EventsError
from falcon_events.tracking import EventTracking

ROOT = "/dashboard/"
DashboardAccess = Callable[[Any], Principal | Awaitable[Principal | None] | None] | Literal["keys"] | None
"""Who may see the dashboard: a function that says who sent a request, `keys`: whoever signs in with an API key, None: nobody."""


def route_dashboard(
    app: falcon.App[Any, Any] | falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str, dashboard: DashboardAccess
) -> None:
    """Add the dashboard to an application of either kind, if somebody may see it.

    Raises:
        EventsError: the libraries that make its pages are not installed, or `dashboard` is neither a function nor `keys`.
    """
    if dashboard is None:
        return
    if dashboard != "keys" and not callable(dashboard):
        raise EventsError(f"dashboard: {dashboard!r} must be a function that returns a Principal or None, or 'keys'.")
    try:
        from falcon_events.http.dashboard import add_dashboard
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "limits"):
            raise
        raise EventsError(f"The dashboard needs {error.name}: pip install 'falcon-events[dashboard]'.") from error
    add_dashboard(app, tracking, prefix, None if dashboard == "keys" else dashboard)


def is_of_dashboard(path: str, prefix: str, dashboard: DashboardAccess) -> bool:
    """Whether a path leads to the dashboard of an application that has it."""
    root = prefix + ROOT
    return dashboard is not None and (path.startswith(root) or path == root[:-1])
