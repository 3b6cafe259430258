"""Routes, applications and middleware for WSGI and ASGI, and the visitor of a request. The only package that imports falcon."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from falcon_events.http.asgi import ASGIMiddleware, Lifespan, asgi_app, mount_asgi
from falcon_events.http.dashboard_routes import DashboardAccess
from falcon_events.http.django_users import django_user
from falcon_events.http.visitors import visitor_of
from falcon_events.http.wsgi import WSGIMiddleware, mount_wsgi, wsgi_app
from falcon_events.tracking import EventTracking

__all__ = ["ASGIMiddleware", "WSGIMiddleware", "asgi_app", "django_user", "mount", "visitor_of", "wsgi_app"]


def mount(
    app: falcon.App[Any, Any] | falcon.asgi.App[Any, Any],
    tracking: EventTracking,
    prefix: str = "",
    *,
    dashboard: DashboardAccess = None,
) -> None:
    """Add the documented endpoints to a Falcon application of either kind.

    Args:
        app: a falcon.App or a falcon.asgi.App. A falcon.asgi.App also closes the tracker when it shuts down.
        tracking: the tracker.
        prefix: the path in front of /api/v1, such as "/tracking".
        dashboard: who may see the dashboard at `/dashboard/` below the prefix: a function that gets the request (of Falcon; its
            `scope` or `env` is that of the server) and returns a Principal or None, plain or async; or `keys`: whoever signs in
            with an API key. None: there is no dashboard.

    Raises:
        EventsError: the dashboard's libraries are not installed (`falcon-events[dashboard]`).
    """
    if isinstance(app, falcon.asgi.App):
        mount_asgi(app, tracking, prefix, dashboard)
        app.add_middleware(Lifespan(tracking, opens=False))
    else:
        mount_wsgi(app, tracking, prefix, dashboard)
