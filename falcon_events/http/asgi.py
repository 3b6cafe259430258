"""The ASGI door: reads the request, awaits, sends the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import falcon
import falcon.asgi

from falcon_events.contract.replies import Reply
from falcon_events.http.demo import PAGE, STREAM, AsyncPage, AsyncStream, Demo
from falcon_events.http.endpoints import ACTIONS, OPERATIONS, PATHS, answer, not_allowed, paths_of, unforeseen_reply
from falcon_events.http.openapi import PAGES, Answering, document_reply
from falcon_events.http.proxies import Proxies
from falcon_events.http.requests import HEADERS, incoming_of
from falcon_events.http.responses import send, serialize_error
from falcon_events.http.static import script_reply
from falcon_events.tracking import EventTracking

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

LENGTH = "CONTENT_LENGTH"
_TOLD = {name.removeprefix("HTTP_").replace("_", "-").lower().encode(): name for name in (LENGTH, *HEADERS)}


class Resource:
    """A Falcon resource that answers one endpoint."""

    def __init__(self, tracking: EventTracking, endpoint: str) -> None:
        self._tracking = tracking
        self._endpoint = endpoint
        self._proxies = Proxies.of(tracking.settings.trusted_proxies)
        for method in set(falcon.COMBINED_METHODS) - {"WEBSOCKET"}:
            setattr(self, f"on_{method.lower()}", self._answer if method in ACTIONS[endpoint] else self._refuse)

    async def _answer(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        body = await _read(req, self._tracking.settings.max_body_bytes)
        incoming = incoming_of(req.method, req.path, body, _headers(req.scope), _address(req.scope), self._proxies, req.params)
        send(resp, await self._tracking.waiter.arun(answer(self._tracking, self._endpoint, incoming)))

    async def _refuse(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        send(resp, not_allowed(self._endpoint))


class Direct:
    """Answers the documented endpoints' POST as their resources do, without what a framework takes of each request's time.

    It may be mounted below a path, which ASGI frameworks leave in front of `path`.

    Args:
        app: answers everything else.
        tracking: the tracker.
        prefix: what stands before /api/v1.
    """

    def __init__(self, app: falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str = "") -> None:
        self._app = app
        self._tracking = tracking
        self._proxies = Proxies.of(tracking.settings.trusted_proxies)
        self._endpoints = {prefix + path: path for path in PATHS if "POST" in ACTIONS[path]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""
        if scope.get("root_path"):
            scope = {**scope, "path": _path(scope)}
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._endpoints:
            await self._app(scope, receive, send)
            return
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        try:
            reply = await self._reply(scope, receive, event)
        except Exception:
            reply = unforeseen_reply()
        headers = [(b"content-type", reply.content_type.encode()), (b"content-length", b"%d" % len(reply.body))]
        for name, value in reply.headers:
            headers.append((name.lower().encode(), value.encode("latin-1")))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Scope, receive: Receive, event: Message) -> Reply:
        tracking, path = self._tracking, scope["path"]
        limit = tracking.settings.max_body_bytes
        headers = _headers(scope)
        first: bytes = event.get("body", b"")
        is_whole = not event.get("more_body") and headers.get(LENGTH) == str(len(first)) and len(first) <= limit
        # Whatever else a server or a client may make of a body is the framework's to put together.
        body = first if is_whole else await _read(falcon.asgi.Request(scope, receive, dict(event)), limit)
        incoming = incoming_of("POST", path, body, headers, _address(scope), self._proxies)
        return await tracking.waiter.arun(answer(tracking, self._endpoints[path], incoming))


class _Operation:
    def __init__(self, tracking: EventTracking, reply: Callable[[EventTracking], Reply]) -> None:
        self._tracking = tracking
        self._reply = reply

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        send(resp, await asyncio.to_thread(self._reply, self._tracking))


class _Static:
    def __init__(self, reply: Answering) -> None:
        self._reply = reply

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        send(resp, self._reply(req))

    on_head = on_get


class Lifespan:
    """A Falcon middleware that closes the tracker when the server shuts down, and may open it when it starts."""

    def __init__(self, tracking: EventTracking, *, opens: bool) -> None:
        self._tracking = tracking
        self._opens = opens

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Opens the store, so that a server that cannot have it does not start."""
        if self._opens:
            await asyncio.to_thread(self._tracking.open)

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Closes the tracker; every request has been answered by now."""
        await asyncio.to_thread(self._tracking.close)


class ASGIMiddleware:
    """Answers the documented paths and passes everything else, lifespan included, to the wrapped application.

    Args:
        app: the wrapped ASGI application.
        tracking: the tracker; it is closed when the wrapped application has shut down.
        prefix: what stands before /api/v1, such as "/tracking".
    """

    def __init__(self, app: ASGIApplication, tracking: EventTracking, prefix: str = "") -> None:
        self._app = app
        self._tracking = tracking
        self._paths = frozenset(prefix + path for path in paths_of(tracking))
        self._own = Direct(_documented(falcon.asgi.App(), tracking, prefix), tracking, prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes on."""
        if scope["type"] == "http" and _path(scope) in self._paths:
            await self._own(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, self._closing(send))
        else:
            await self._app(scope, receive, send)

    def _closing(self, send: Send) -> Send:
        async def send_and_close(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await asyncio.to_thread(self._tracking.close)
            await send(message)

        return send_and_close


def mount_asgi(app: falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str) -> None:
    """Adds the documented endpoints to a falcon.asgi.App."""
    for path in PATHS:
        app.add_route(prefix + path, Resource(tracking, path))
    if script := tracking.settings.tracker_path:
        app.add_route(prefix + script, _Static(script_reply))
    if document := tracking.settings.openapi_path:
        app.add_route(prefix + document, _Static(document_reply(document)))


def asgi_app(tracking: EventTracking, *, demo: Demo | None = None) -> ASGIApplication:
    """An ASGI application of its own: the endpoints, /healthz, /readyz, /metrics and /docs; failures are as documented.

    It opens the tracker when the server starts it and closes it when the server shuts down (lifespan).

    Args:
        tracking: the tracker.
        demo: what the page of `serve --demo` is about; None for no such page.
    """
    app = _documented(falcon.asgi.App(middleware=[Lifespan(tracking, opens=True)]), tracking, "")
    for path, reply in OPERATIONS.items():
        app.add_route(path, _Operation(tracking, reply))
    for path, answering in PAGES.items():
        app.add_route(path, _Static(answering))
    if demo is not None:
        app.add_route(PAGE, AsyncPage(tracking, demo))
        app.add_route(STREAM, AsyncStream(tracking, demo))
    return Direct(app, tracking)


def _documented(app: falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str) -> falcon.asgi.App[Any, Any]:
    """The application with the documented endpoints; whatever fails in it has the documented shape."""
    mount_asgi(app, tracking, prefix)
    app.set_error_serializer(serialize_error)
    app.add_error_handler(Exception, _unforeseen)
    return app


async def _read(req: falcon.asgi.Request, limit: int) -> bytes | None:
    """The body, or None where it is over the limit; one that cannot be read to its announced end counts as empty."""
    try:
        length = req.content_length
        if length is not None and length > limit:
            return None
        body: bytes = await req.stream.read(limit + 1)
    except Exception:  # the length is no number, or what the server says of a client that is gone
        return b""
    if len(body) > limit:
        return None
    return b"" if length is not None and len(body) < length else body


def _headers(scope: Scope) -> dict[str, str]:
    """The body's length, and the headers that the core is told; several of one name are put together as WSGI servers do."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        if (told := _TOLD.get(name)) is not None:
            text = value.decode("latin-1")
            headers[told] = f"{headers[told]},{text}" if told in headers and told != "HTTP_USER_AGENT" else text
    return headers


def _address(scope: Scope) -> str:
    """The peer's address; that of this machine where the server names none (as Falcon has it)."""
    client = scope.get("client")
    return client[0] or "" if client else "127.0.0.1"


def _path(scope: Scope) -> str:
    """The path below the one that the application is mounted at (ASGI: `path` includes `root_path`)."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


async def _unforeseen(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]) -> None:
    send(resp, unforeseen_reply())
