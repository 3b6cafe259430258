"""The endpoints under WSGI: read the request, wait for the reply in the request's thread, send it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import falcon

from falcon_events.contract.replies import Reply
from falcon_events.errors import RequestRefused
from falcon_events.http.dashboard_routes import DashboardAccess, is_of_dashboard, route_dashboard
from falcon_events.http.demo import PAGE, STREAM, Demo, DemoPage, DemoStream
from falcon_events.http.endpoints import (
    ACTIONS,
    HEALTH,
    OPERATIONS,
    PATHS,
    handle,
    list_paths,
    normalize_prefix,
    reject_method,
    reply_to_exception,
    report_health,
)
from falcon_events.http.home import HOME, HomePage
from falcon_events.http.openapi import PAGES, StaticHandler, make_document_handler
from falcon_events.http.proxies import Proxies
from falcon_events.http.requests import build_request
from falcon_events.http.responses import hold_if_large, send, serialize_error
from falcon_events.http.static import serve_script
from falcon_events.ingest.bodies import SMALL_BYTES, ArrivingBody, Bodies, HeldBody
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MAX_LENGTH_DIGITS = 20
"""A Content-Length with this many digits or more is over any limit, and is not parsed here."""


class WSGIResource:
    """A Falcon resource for one endpoint."""

    def __init__(self, tracking: EventTracking, endpoint: str) -> None:
        self._tracking = tracking
        self._endpoint = endpoint
        self._proxies = Proxies.parse(tracking.settings.trusted_proxies)
        for method in set(falcon.COMBINED_METHODS) - {"WEBSOCKET"}:
            setattr(self, f"on_{method.lower()}", self._handle if method in ACTIONS[endpoint] else self._refuse)

    def _handle(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_body(self._tracking, req.env)
        incoming = build_request(req.method, req.path, body, req.env, req.remote_addr or "", self._proxies, req.params)
        reply = self._tracking.waiter.run(handle(self._tracking, self._endpoint, incoming))
        send(resp, *hold_if_large(self._tracking, self._endpoint, reply))

    def _refuse(self, req: falcon.Request, resp: falcon.Response) -> None:
        send(resp, reject_method(self._endpoint))


class WSGIFastPath:
    """An application that handles POST requests to the documented endpoints itself, without the framework's overhead.

    The replies are those of the Falcon resources.

    Args:
        app: handles every other request.
        tracking: the tracker.
        prefix: the path in front of /api/v1.
    """

    def __init__(self, app: falcon.App[Any, Any], tracking: EventTracking, prefix: str = "") -> None:
        self._app = app
        self._tracking = tracking
        self._proxies = Proxies.parse(tracking.settings.trusted_proxies)
        prefix = normalize_prefix(prefix)
        self._endpoints = {prefix + path: path for path in PATHS if "POST" in ACTIONS[path]}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        if environ["REQUEST_METHOD"] != "POST" or environ.get("PATH_INFO") not in self._endpoints:
            return self._app(environ, start_response)
        held = None
        try:
            reply, held = hold_if_large(self._tracking, self._endpoints[environ["PATH_INFO"]], self._reply(environ))
        except Exception:
            reply = reply_to_exception()
        headers = [
            ("content-type", reply.content_type),
            *[(name.lower(), value) for name, value in reply.headers],
            ("content-length", str(len(reply.body))),
        ]
        start_response(falcon.code_to_http_status(reply.status), headers)
        return [reply.body] if held is None else held

    def _reply(self, environ: WSGIEnvironment) -> Reply:
        tracking, path = self._tracking, environ["PATH_INFO"]
        body = read_body(tracking, environ)
        incoming = build_request("POST", path, body, environ, environ.get("REMOTE_ADDR", "127.0.0.1"), self._proxies)
        return tracking.waiter.run(handle(tracking, self._endpoints[path], incoming))


class _WSGIOperation:
    def __init__(self, tracking: EventTracking, reply: Callable[[EventTracking], Reply]) -> None:
        self._tracking = tracking
        self._reply = reply

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        send(resp, self._reply(self._tracking))


class _WSGIStatic:
    def __init__(self, reply: StaticHandler) -> None:
        self._reply = reply

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        send(resp, self._reply(req))

    on_head = on_get


class WSGIMiddleware:
    """Middleware that handles the documented paths and passes every other request, unchanged, to the wrapped application.

    Args:
        app: the wrapped WSGI application.
        tracking: the tracker.
        prefix: the path in front of /api/v1, such as "/tracking".
        dashboard: who may see the dashboard at `/dashboard/` below the prefix, as in mount(); None: there is none.
    """

    def __init__(
        self, app: WSGIApplication, tracking: EventTracking, prefix: str = "", dashboard: DashboardAccess = None
    ) -> None:
        self._app = app
        prefix = normalize_prefix(prefix)
        self._dashboard = partial(is_of_dashboard, prefix=prefix, dashboard=dashboard)
        self._paths = frozenset(prefix + path for path in list_paths(tracking))
        self._own = WSGIFastPath(_add_documented_endpoints(falcon.App(), tracking, prefix, dashboard), tracking, prefix)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle the request or pass it on."""
        if (path := environ.get("PATH_INFO", "")) in self._paths or self._dashboard(path):
            return self._own(environ, start_response)
        return self._app(environ, start_response)


def mount_wsgi(app: falcon.App[Any, Any], tracking: EventTracking, prefix: str, dashboard: DashboardAccess = None) -> None:
    """Add the documented endpoints, and the dashboard if somebody may see it, to a falcon.App."""
    prefix = normalize_prefix(prefix)
    for path in PATHS:
        app.add_route(prefix + path, WSGIResource(tracking, path))
    if script := tracking.settings.tracker_path:
        app.add_route(prefix + script, _WSGIStatic(serve_script))
    if document := tracking.settings.openapi_path:
        app.add_route(prefix + document, _WSGIStatic(make_document_handler(document)))
    route_dashboard(app, tracking, prefix, dashboard)


def wsgi_app(
    tracking: EventTracking,
    *,
    docs: bool = False,
    operations: bool = False,
    home: bool = False,
    demo: Demo | None = None,
    dashboard: DashboardAccess = None,
) -> WSGIApplication:
    """Return a standalone WSGI application: the endpoints, the tracker's script and /healthz, and what is asked for.

    All its errors have the documented form.

    Args:
        tracking: the tracker. The caller has to close it.
        docs: whether /openapi.json and /docs are served.
        operations: whether /readyz and /metrics are served, which show how much the store has to do.
        home: whether / is a page that says that the server runs, with links to the others.
        demo: the list and key for the page of `serve --demo`; None for no such page.
        dashboard: who may see the dashboard at `/dashboard/`: a function that returns a Principal or None for a request, or
            `keys`: whoever signs in with an API key. None: there is no dashboard.
    """
    app = _add_documented_endpoints(falcon.App(), tracking, "", dashboard)
    for path, reply in OPERATIONS.items() if operations else [(HEALTH, report_health)]:
        app.add_route(path, _WSGIOperation(tracking, reply))
    for path, handler in PAGES.items() if docs else ():
        app.add_route(path, _WSGIStatic(handler))
    if home:
        app.add_route(HOME, HomePage(tracking, has_demo=demo is not None, has_dashboard=dashboard is not None))
    if demo is not None:
        app.add_route(PAGE, DemoPage(tracking, demo))
        app.add_route(STREAM, DemoStream(tracking, demo))
    return WSGIFastPath(app, tracking)


def _add_documented_endpoints(
    app: falcon.App[Any, Any], tracking: EventTracking, prefix: str, dashboard: DashboardAccess
) -> falcon.App[Any, Any]:
    """Add the documented endpoints to an application, give all its errors the documented form, and return it."""
    mount_wsgi(app, tracking, prefix, dashboard)
    app.set_error_serializer(serialize_error)
    app.add_error_handler(Exception, _handle_exception)
    return app


def read_body(tracking: EventTracking, environ: WSGIEnvironment) -> HeldBody | RequestRefused | None:
    """Return the body, or None if it is larger than the limit, or why it is refused.

    The body is empty if it ends before its announced length, or if the length is not a number.
    """
    limit = tracking.settings.max_body_bytes
    text = environ.get("CONTENT_LENGTH", "")
    length = None
    if text.isdecimal() and text.isascii():
        if len(text) >= MAX_LENGTH_DIGITS or (length := int(text)) > limit:
            return None
        if not length:
            return HeldBody()
    elif text or not _is_chunked(environ):
        return HeldBody()
    body = tracking.bodies.begin()
    try:
        if length is not None and length <= SMALL_BYTES:
            data: bytes = environ["wsgi.input"].read(length)
        else:
            data = _read_parts(environ["wsgi.input"].read, tracking.bodies, body, limit + 1 if length is None else length)
        tracking.bodies.check(body)
    except RequestRefused as refused:
        body.let_go()
        return refused.with_traceback(None)  # its frames would hold the body until the garbage collector runs
    except Exception:  # the client has disconnected, or was cut off
        body.let_go()
        return body.refusal or HeldBody()
    except BaseException:  # such as gevent's Timeout
        body.let_go()
        raise
    if len(data) > limit:
        body.let_go()
        return None
    body.data = data if length is None or len(data) == length else b""
    return body


def _read_parts(read: Callable[[int], bytes], bodies: Bodies, body: ArrivingBody, most: int) -> bytes:
    """Read at most this many bytes. Each part is counted before it is read."""
    parts = []
    while most:
        size = min(most, SMALL_BYTES)
        bodies.count(body, size)
        if not (part := read(size)):
            break
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _is_chunked(environ: WSGIEnvironment) -> bool:
    """Whether there may be a body without a length: only if it is chunked. The server marks its end then."""
    return bool(environ.get("wsgi.input_terminated")) or "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()


def _handle_exception(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    send(resp, reply_to_exception())
