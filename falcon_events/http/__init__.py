"""Routes, applications and middleware for WSGI and ASGI, and the visitor of a request. The only package that imports falcon."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from falcon_events.http.asgi import ASGIMiddleware, Lifespan, asgi_app, mount_asgi
from falcon_events.http.visitors import visitor_of
from falcon_events.http.wsgi import WSGIMiddleware, mount_wsgi, wsgi_app
from falcon_events.tracking import EventTracking

__all__ = ["ASGIMiddleware", "WSGIMiddleware", "asgi_app", "mount", "visitor_of", "wsgi_app"]


def mount(app: falcon.App[Any, Any] | falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str = "") -> None:
    """Add the documented endpoints to a Falcon application of either kind.

    Args:
        app: a falcon.App or a falcon.asgi.App. A falcon.asgi.App also closes the tracker when it shuts down.
        tracking: the tracker.
        prefix: the path in front of /api/v1, such as "/tracking".
    """
    if isinstance(app, falcon.asgi.App):
        mount_asgi(app, tracking, prefix)
        app.add_middleware(Lifespan(tracking, opens=False))
    else:
        mount_wsgi(app, tracking, prefix)
