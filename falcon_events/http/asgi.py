"""The endpoints under ASGI: read the request, await the reply, send it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import falcon
import falcon.asgi

from falcon_events.contract.replies import Reply
from falcon_events.http.asgi_bodies import DISCONNECTED, Message, Receive, read_body
from falcon_events.http.dashboard_routes import DashboardAccess, is_of_dashboard, route_dashboard
from falcon_events.http.demo import PAGE, STREAM, AsyncDemoPage, AsyncDemoStream, Demo
from falcon_events.http.disconnects import run_while_connected
from falcon_events.http.endpoints import (
    ACTIONS,
    HEALTH,
    OPERATIONS,
    PATHS,
    QUESTION_PATHS,
    handle,
    list_paths,
    normalize_prefix,
    reject_method,
    reply_to_exception,
    report_health,
)
from falcon_events.http.home import HOME, AsyncHomePage
from falcon_events.http.openapi import PAGES, StaticHandler, make_document_handler
from falcon_events.http.proxies import Proxies
from falcon_events.http.requests import HEADERS, IncomingRequest, build_request
from falcon_events.http.responses import hold_if_large, send, serialize_error
from falcon_events.http.static import serve_script
from falcon_events.ingest.answers import HeldAnswer
from falcon_events.tracking import EventTracking

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

LENGTH = "CONTENT_LENGTH"
HTTP_VERSIONS = frozenset({"1.0", "1.1", "2", "3"})
"""The versions that the framework accepts. A client may claim any other one: `GET / HTTP/9.0`."""
_HEADER_NAMES = {name.removeprefix("HTTP_").replace("_", "-").lower().encode(): name for name in (LENGTH, *HEADERS)}
_LOWER_NAMES = {name.decode(): known for name, known in _HEADER_NAMES.items()}


class ASGIResource:
    """A Falcon resource for one endpoint."""

    def __init__(self, tracking: EventTracking, endpoint: str) -> None:
        self._tracking = tracking
        self._endpoint = endpoint
        self._proxies = Proxies.parse(tracking.settings.trusted_proxies)
        for method in set(falcon.COMBINED_METHODS) - {"WEBSOCKET"}:
            setattr(self, f"on_{method.lower()}", self._handle if method in ACTIONS[endpoint] else self._refuse)

    async def _handle(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        given = req.headers_lower  # not the scope's: the framework's test client lets them be read only once, which it has done
        headers = {name: given[lower] for lower, name in _LOWER_NAMES.items() if lower in given}
        body = await read_body(self._tracking, headers.get(LENGTH), _receive_from(req))
        incoming = build_request(req.method, req.path, body, headers, req.remote_addr or "", self._proxies, req.params)
        reply = await self._run(req, incoming)
        if reply is not None:
            reply, held = hold_if_large(self._tracking, self._endpoint, reply)
            send(resp, reply, None if held is None else _stream(held, self._tracking.answers.wait_s))

    async def _run(self, req: falcon.asgi.Request, incoming: IncomingRequest) -> Reply | None:
        """Return the reply; None: nobody waits for it any more."""
        reply = self._tracking.waiter.arun(handle(self._tracking, self._endpoint, incoming))
        if self._endpoint not in QUESTION_PATHS:
            return await reply
        return await run_while_connected(req._receive, reply)  # the framework has no public way

    async def _refuse(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        send(resp, reject_method(self._endpoint))


class ASGIFastPath:
    """An application that handles POST requests to the documented endpoints itself, without the framework's overhead.

    The replies are those of the Falcon resources. The application may be mounted below a path: ASGI frameworks leave that path
    at the start of `path`.

    Args:
        app: handles every other request.
        tracking: the tracker.
        prefix: the path in front of /api/v1.
    """

    def __init__(self, app: falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str = "") -> None:
        self._app = app
        self._tracking = tracking
        self._proxies = Proxies.parse(tracking.settings.trusted_proxies)
        prefix = normalize_prefix(prefix)
        self._endpoints = {prefix + path: path for path in PATHS if "POST" in ACTIONS[path]}
        self.body_wait_s = tracking.settings.body_wait_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope.get("root_path"):
            scope = {**scope, "path": _strip_root_path(scope)}
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._endpoints:
            if scope.get("http_version", "1.1") not in HTTP_VERSIONS:  # the framework would raise an exception
                scope = {**scope, "http_version": "1.1"}
            await self._app(scope, receive, send)
            return
        held = None
        try:
            reply = await self._reply(scope, receive)
            if reply is not None:
                reply, held = hold_if_large(self._tracking, self._endpoints[scope["path"]], reply)
        except Exception:
            reply = reply_to_exception()
        if reply is None:
            return
        headers = [(b"content-type", reply.content_type.encode()), (b"content-length", b"%d" % len(reply.body))]
        for name, value in reply.headers:
            headers.append((name.lower().encode(), value.encode("latin-1")))
        start = {"type": "http.response.start", "status": reply.status, "headers": headers}
        if held is not None:
            await _send_parts(send, start, held, self._tracking.answers.wait_s)
            return
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Scope, receive: Receive) -> Reply | None:
        """Return the reply; None if the client has disconnected before it sent anything, or before its question was answered."""
        tracking, path = self._tracking, scope["path"]
        headers = _read_headers(scope)
        body = await read_body(tracking, headers.get(LENGTH), receive)
        if body is DISCONNECTED:
            return None
        incoming = build_request("POST", path, body, headers, _read_peer_address(scope), self._proxies)
        endpoint = self._endpoints[path]
        reply = tracking.waiter.arun(handle(tracking, endpoint, incoming))
        return await (run_while_connected(receive, reply) if endpoint in QUESTION_PATHS else reply)


class _ASGIOperation:
    def __init__(self, tracking: EventTracking, reply: Callable[[EventTracking], Reply]) -> None:
        self._tracking = tracking
        self._reply = reply

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        send(resp, await asyncio.to_thread(self._reply, self._tracking))


class _ASGIStatic:
    def __init__(self, reply: StaticHandler) -> None:
        self._reply = reply

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        send(resp, self._reply(req))

    on_head = on_get


class Lifespan:
    """A Falcon middleware that closes the tracker when the server shuts down and, if `opens`, opens it when the server starts.

    A server may start an application again after its shutdown: adapters for AWS Lambda do so for each call, test clients for
    each test. The tracker is then used again.
    """

    def __init__(self, tracking: EventTracking, *, opens: bool) -> None:
        self._tracking = tracking
        self._opens = opens
        self._closed = False

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Open the store, so that the server does not start if that fails."""
        if self._closed:
            self._tracking.reopen()
            self._closed = False
        if self._opens:
            await asyncio.to_thread(self._tracking.open)

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Close the tracker. Every request has its reply by now."""
        self._closed = True
        await asyncio.to_thread(self._tracking.close)


class ASGIMiddleware:
    """Middleware that handles the documented paths and passes everything else, lifespan included, to the wrapped application.

    Args:
        app: the wrapped ASGI application.
        tracking: the tracker. It is closed when the wrapped application has shut down.
        prefix: the path in front of /api/v1, such as "/tracking".
        dashboard: who may see the dashboard at `/dashboard/` below the prefix, as in mount(); None: there is none.
    """

    def __init__(
        self, app: ASGIApplication, tracking: EventTracking, prefix: str = "", dashboard: DashboardAccess = None
    ) -> None:
        self._app = app
        self._tracking = tracking
        prefix = normalize_prefix(prefix)
        self._dashboard = partial(is_of_dashboard, prefix=prefix, dashboard=dashboard)
        self._paths = frozenset(prefix + path for path in list_paths(tracking))
        self._closed = False
        self._own = ASGIFastPath(_add_documented_endpoints(falcon.asgi.App(), tracking, prefix, dashboard), tracking, prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the request or pass it on."""
        if scope["type"] == "http" and ((path := _strip_root_path(scope)) in self._paths or self._dashboard(path)):
            await self._own(scope, receive, send)
        elif scope["type"] == "lifespan":
            if self._closed:  # the server starts the application again
                self._tracking.reopen()
                self._closed = False
            await self._app(scope, receive, self._close_after_shutdown(send))
        else:
            await self._app(scope, receive, send)

    def _close_after_shutdown(self, send: Send) -> Send:
        async def send_and_close(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                self._closed = True
                await asyncio.to_thread(self._tracking.close)
            await send(message)

        return send_and_close


def mount_asgi(app: falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str, dashboard: DashboardAccess = None) -> None:
    """Add the documented endpoints, and the dashboard if somebody may see it, to a falcon.asgi.App."""
    prefix = normalize_prefix(prefix)
    for path in PATHS:
        app.add_route(prefix + path, ASGIResource(tracking, path))
    if script := tracking.settings.tracker_path:
        app.add_route(prefix + script, _ASGIStatic(serve_script))
    if document := tracking.settings.openapi_path:
        app.add_route(prefix + document, _ASGIStatic(make_document_handler(document)))
    route_dashboard(app, tracking, prefix, dashboard)


def asgi_app(
    tracking: EventTracking,
    *,
    docs: bool = False,
    operations: bool = False,
    home: bool = False,
    demo: Demo | None = None,
    dashboard: DashboardAccess = None,
) -> ASGIApplication:
    """Return a standalone ASGI application: the endpoints, the tracker's script and /healthz, and what is asked for.

    All its errors have the documented form. It opens the tracker when the server starts and closes it when the server shuts
    down (lifespan).

    Args:
        tracking: the tracker.
        docs: whether /openapi.json and /docs are served.
        operations: whether /readyz and /metrics are served, which show how much the store has to do.
        home: whether / is a page that says that the server runs, with links to the others.
        demo: the list and key for the page of `serve --demo`; None for no such page.
        dashboard: who may see the dashboard at `/dashboard/`: a function that returns a Principal or None for a request, or
            `keys`: whoever signs in with an API key. None: there is no dashboard.
    """
    app = _add_documented_endpoints(falcon.asgi.App(middleware=[Lifespan(tracking, opens=True)]), tracking, "", dashboard)
    for path, reply in OPERATIONS.items() if operations else [(HEALTH, report_health)]:
        app.add_route(path, _ASGIOperation(tracking, reply))
    for path, handler in PAGES.items() if docs else ():
        app.add_route(path, _ASGIStatic(handler))
    if home:
        app.add_route(HOME, AsyncHomePage(tracking, has_demo=demo is not None, has_dashboard=dashboard is not None))
    if demo is not None:
        app.add_route(PAGE, AsyncDemoPage(tracking, demo))
        app.add_route(STREAM, AsyncDemoStream(tracking, demo))
    return ASGIFastPath(app, tracking)


def _add_documented_endpoints(
    app: falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str, dashboard: DashboardAccess
) -> falcon.asgi.App[Any, Any]:
    """Add the documented endpoints to an application, give all its errors the documented form, and return it."""
    mount_asgi(app, tracking, prefix, dashboard)
    app.set_error_serializer(serialize_error)
    app.add_error_handler(Exception, _handle_exception)
    return app


async def _send_parts(send: Send, start: Message, held: HeldAnswer, wait_s: float) -> None:
    """Send a large reply in parts, each when the client has read most of those before. If it takes too long, stop in between."""
    try:
        async with asyncio.timeout(wait_s):
            await send(start)
            for part in held:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        pass
    finally:
        held.close()


async def _stream(held: HeldAnswer, wait_s: float) -> AsyncIterator[bytes]:
    """Yield the parts of a large reply to the framework, and cancel its task if the client takes too long."""
    task = asyncio.current_task()
    timer = None if task is None else asyncio.get_running_loop().call_later(wait_s, task.cancel)
    try:
        for part in held:
            yield part
    finally:
        if timer is not None:
            timer.cancel()
        held.close()


def _receive_from(req: falcon.asgi.Request) -> Receive:
    """Return a function that returns a body's next part as an ASGI server does, though the framework reads its messages."""
    parts: AsyncIterator[bytes] | None = None

    async def receive() -> Message:
        nonlocal parts
        if parts is None:  # not before: the framework raises an exception for a length that is not a number
            parts = aiter(req.stream)
        async for part in parts:
            return {"type": "http.request", "body": part, "more_body": True}
        return {"type": "http.request"}

    return receive


def _read_headers(scope: Scope) -> dict[str, str]:
    """Return the body's length and the HEADERS that the core needs. Repeated headers are joined, as WSGI servers join them."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        if (key := _HEADER_NAMES.get(name)) is not None:
            text = value.decode("latin-1")
            headers[key] = f"{headers[key]},{text}" if key in headers and key != "HTTP_USER_AGENT" else text
    return headers


def _read_peer_address(scope: Scope) -> str:
    """Return the peer's address, or 127.0.0.1 if the server does not give one, as Falcon does."""
    client = scope.get("client")
    return client[0] or "" if client else "127.0.0.1"


def _strip_root_path(scope: Scope) -> str:
    """Return the path below the application's mount point (in ASGI, `path` includes `root_path`)."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


async def _handle_exception(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    send(resp, reply_to_exception())
