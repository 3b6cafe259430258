"""The WSGI door: reads the request, waits in its thread, sends the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import falcon

from falcon_events.contract.replies import Reply
from falcon_events.http.demo import PAGE, STREAM, Demo, Page, Stream
from falcon_events.http.endpoints import ACTIONS, OPERATIONS, PATHS, answer, not_allowed, paths_of, unforeseen_reply
from falcon_events.http.openapi import PAGES, Answering, document_reply
from falcon_events.http.proxies import Proxies
from falcon_events.http.requests import incoming_of
from falcon_events.http.responses import send, serialize_error
from falcon_events.http.static import script_reply
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MANY_DIGITS = 20
"""No length that is read has as many digits."""


class Resource:
    """A Falcon resource that answers one endpoint."""

    def __init__(self, tracking: EventTracking, endpoint: str) -> None:
        self._tracking = tracking
        self._endpoint = endpoint
        self._proxies = Proxies.of(tracking.settings.trusted_proxies)
        for method in set(falcon.COMBINED_METHODS) - {"WEBSOCKET"}:
            setattr(self, f"on_{method.lower()}", self._answer if method in ACTIONS[endpoint] else self._refuse)

    def _answer(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = _read(req, self._tracking.settings.max_body_bytes)
        incoming = incoming_of(req.method, req.path, body, req.env, req.remote_addr or "", self._proxies, req.params)
        send(resp, self._tracking.waiter.run(answer(self._tracking, self._endpoint, incoming)))

    def _refuse(self, req: falcon.Request, resp: falcon.Response) -> None:
        send(resp, not_allowed(self._endpoint))


class Direct:
    """Answers the documented endpoints' POST as their resources do, without what a framework takes of each request's time.

    Args:
        app: answers everything else.
        tracking: the tracker.
        prefix: what stands before /api/v1.
    """

    def __init__(self, app: falcon.App[Any, Any], tracking: EventTracking, prefix: str = "") -> None:
        self._app = app
        self._tracking = tracking
        self._proxies = Proxies.of(tracking.settings.trusted_proxies)
        self._endpoints = {prefix + path: path for path in PATHS if "POST" in ACTIONS[path]}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers."""
        if environ["REQUEST_METHOD"] != "POST" or environ.get("PATH_INFO") not in self._endpoints:
            return self._app(environ, start_response)
        try:
            reply = self._reply(environ)
        except Exception:
            reply = unforeseen_reply()
        headers = [
            ("content-type", reply.content_type),
            *[(name.lower(), value) for name, value in reply.headers],
            ("content-length", str(len(reply.body))),
        ]
        start_response(falcon.code_to_http_status(reply.status), headers)
        return [reply.body]

    def _reply(self, environ: WSGIEnvironment) -> Reply:
        tracking, path = self._tracking, environ["PATH_INFO"]
        limit = tracking.settings.max_body_bytes
        length = environ.get("CONTENT_LENGTH", "")
        if len(length) < MANY_DIGITS and length.isdecimal() and int(length) <= limit:
            body: bytes | None = _read_whole(environ, int(length))
        else:  # let the framework make something of it
            body = _read(falcon.Request(environ), limit)
        incoming = incoming_of("POST", path, body, environ, environ.get("REMOTE_ADDR", "127.0.0.1"), self._proxies)
        return tracking.waiter.run(answer(tracking, self._endpoints[path], incoming))


class _Operation:
    def __init__(self, tracking: EventTracking, reply: Callable[[EventTracking], Reply]) -> None:
        self._tracking = tracking
        self._reply = reply

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        send(resp, self._reply(self._tracking))


class _Static:
    def __init__(self, reply: Answering) -> None:
        self._reply = reply

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        send(resp, self._reply(req))

    on_head = on_get


class WSGIMiddleware:
    """Answers the documented paths and passes every other request to the wrapped application, untouched.

    Args:
        app: the wrapped WSGI application.
        tracking: the tracker.
        prefix: what stands before /api/v1, such as "/tracking".
    """

    def __init__(self, app: WSGIApplication, tracking: EventTracking, prefix: str = "") -> None:
        self._app = app
        self._paths = frozenset(prefix + path for path in paths_of(tracking))
        self._own = Direct(_documented(falcon.App(), tracking, prefix), tracking, prefix)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers, or passes on."""
        if environ.get("PATH_INFO") in self._paths:
            return self._own(environ, start_response)
        return self._app(environ, start_response)


def mount_wsgi(app: falcon.App[Any, Any], tracking: EventTracking, prefix: str) -> None:
    """Adds the documented endpoints to a falcon.App."""
    for path in PATHS:
        app.add_route(prefix + path, Resource(tracking, path))
    if script := tracking.settings.tracker_path:
        app.add_route(prefix + script, _Static(script_reply))
    if document := tracking.settings.openapi_path:
        app.add_route(prefix + document, _Static(document_reply(document)))


def wsgi_app(tracking: EventTracking, *, demo: Demo | None = None) -> WSGIApplication:
    """A WSGI application of its own: the endpoints, /healthz, /readyz, /metrics and /docs; failures are as documented.

    Args:
        tracking: the tracker; closing it stays the caller's business.
        demo: what the page of `serve --demo` is about; None for no such page.
    """
    app = _documented(falcon.App(), tracking, "")
    for path, reply in OPERATIONS.items():
        app.add_route(path, _Operation(tracking, reply))
    for path, answering in PAGES.items():
        app.add_route(path, _Static(answering))
    if demo is not None:
        app.add_route(PAGE, Page(tracking, demo))
        app.add_route(STREAM, Stream(tracking, demo))
    return Direct(app, tracking)


def _documented(app: falcon.App[Any, Any], tracking: EventTracking, prefix: str) -> falcon.App[Any, Any]:
    """The application with the documented endpoints; whatever fails in it has the documented shape."""
    mount_wsgi(app, tracking, prefix)
    app.set_error_serializer(serialize_error)
    app.add_error_handler(Exception, _unforeseen)
    return app


def _read_whole(environ: WSGIEnvironment, length: int) -> bytes:
    """A body of this length; one that cannot be read to its end counts as empty."""
    try:
        body: bytes = environ["wsgi.input"].read(length)
    except Exception:  # what the server says of a client that is gone
        return b""
    return body if len(body) == length else b""


def _read(req: falcon.Request, limit: int) -> bytes | None:
    """The body, or None where it is over the limit; one that cannot be read to its announced end counts as empty."""
    try:
        length = req.content_length
        if length is not None and length > limit:
            return None
        # Without a length there is a body only if it is chunked, and the server marks its end.
        stream = req.stream if length is None and _is_chunked(req) else req.bounded_stream
        body: bytes = stream.read(limit + 1)
    except Exception:  # the length is no number, or what the server says of a client that is gone
        return b""
    if len(body) > limit:
        return None
    return b"" if length is not None and len(body) < length else body


def _is_chunked(req: falcon.Request) -> bool:
    return bool(req.env.get("wsgi.input_terminated")) or "chunked" in req.env.get("HTTP_TRANSFER_ENCODING", "").lower()


def _unforeseen(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    send(resp, unforeseen_reply())
