"""The dashboard's routes under WSGI and ASGI: read the request, wait for the page, send it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import Any

import falcon
import falcon.asgi

from falcon_events.contract.replies import Reply, common_reply
from falcon_events.dashboard.cookies import FORM_TOKEN
from falcon_events.dashboard.host_users import Who
from falcon_events.dashboard.requests import HEADERS, DashboardRequest, parse_cookies, parse_fields
from falcon_events.dashboard.site import Dashboard
from falcon_events.dashboard.static_files import load_static
from falcon_events.http.dashboard_routes import ROOT
from falcon_events.http.disconnects import run_while_connected
from falcon_events.http.endpoints import reply_to_exception
from falcon_events.http.proxies import Proxies
from falcon_events.http.responses import send
from falcon_events.http.static import FOREVER, accepts_gzip, serve_file
from falcon_events.http.streams import send_async_stream, send_stream
from falcon_events.runtime.steps import Steps
from falcon_events.tracking import EventTracking

STREAM = "live.stream"
GRACE_S = 2.0
"""How long a page is made for a browser that has disconnected, in seconds: its answers are kept for the next one that asks."""
MAX_FORM_BYTES = 2**20
FORM_TYPE = "application/x-www-form-urlencoded"
REVALIDATED = "no-cache"
OF_FORM_TOKEN = f'name="{FORM_TOKEN}"'.encode()
LEAST_COMPRESSED = 1_000
"""From this number of bytes on, a part of a page is compressed."""
COMPRESSION = 4
"""How much, from 1 to 9. Larger numbers take twice the time for a few bytes less."""


def add_dashboard(
    app: falcon.App[Any, Any] | falcon.asgi.App[Any, Any], tracking: EventTracking, prefix: str, who: Who | None
) -> None:
    """Add the dashboard's routes to an application of either kind.

    Args:
        app: the application.
        tracking: the tracker.
        prefix: the path in front of `/dashboard/`.
        who: the host's function that says who sent a request; None: people sign in with an API key.
    """
    dashboard = Dashboard(tracking, who, embedders=tracking.settings.dashboard_embedders.replace(",", " ").split())
    is_async = isinstance(app, falcon.asgi.App)
    pages = _AsyncPages(dashboard, tracking) if is_async else _Pages(dashboard, tracking)
    files = _AsyncFiles() if is_async else _Files()
    root = prefix + ROOT
    app.add_route(root[:-1], pages)
    app.add_route(root, pages)
    app.add_route(root + "{page}", pages)
    app.add_route(root + STREAM, _AsyncLive(dashboard, tracking) if is_async else _Live(dashboard, tracking))
    app.add_route(root + "static/{name}", files)


class _Pages:
    """The pages as a resource of a falcon.App."""

    def __init__(self, dashboard: Dashboard, tracking: EventTracking) -> None:
        self._dashboard = dashboard
        self._tracking = tracking
        self._proxies = Proxies.parse(tracking.settings.trusted_proxies)

    def on_get(self, req: falcon.Request, resp: falcon.Response, page: str = "") -> None:
        """Send a page."""
        if page or req.env["PATH_INFO"].endswith("/"):  # req.path has no slash there if the host has all of them removed
            self._send(req, resp, self._tracking.waiter.run(self._dashboard.handle(self._build(req, page, b""))))
        else:
            self._redirect(req, resp)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response, page: str = "") -> None:
        """Handle a form and send where the browser goes next."""
        body = req.bounded_stream.read(MAX_FORM_BYTES + 1)
        if refused := self._check_form(req, len(body)):
            send(resp, refused)
            return
        self._send(req, resp, self._tracking.waiter.run(self._dashboard.handle(self._build(req, page, body))))

    def _build(self, req: falcon.Request, page: str, body: bytes) -> DashboardRequest:
        given = {name.replace("-", "_").upper(): value for name, value in req.headers.items()}
        headers = {name: given[short] for name in HEADERS if (short := name.removeprefix("HTTP_")) in given}
        return build_request(req, page, body, headers, self._proxies)

    def _check_form(self, req: falcon.Request, length: int) -> Reply | None:
        if length > MAX_FORM_BYTES:
            return common_reply(413)
        return None if (req.content_type or "").partition(";")[0].strip().lower() == FORM_TYPE else common_reply(415)

    def _redirect(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the browser to the address with a slash at its end, which relative links need."""
        query = f"?{req.query_string}" if req.query_string else ""
        resp.status = 307
        resp.set_header("Location", "dashboard/" + query)

    def _send(self, req: falcon.Request, resp: falcon.Response, reply: Reply) -> None:
        reply = compress_part(req, reply)
        cookies = [header for header in reply.headers if header[0] == "Set-Cookie"]
        others = tuple(header for header in reply.headers if header[0] != "Set-Cookie")
        send(resp, Reply(reply.status, reply.body, others, reply.content_type))
        for name, value in cookies:  # a response may have several
            resp.append_header(name, value)


class _AsyncPages(_Pages):
    """The pages as a resource of a falcon.asgi.App. A question that nobody waits for any more is stopped."""

    async def on_get(  # type: ignore[override]
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, page: str = ""
    ) -> None:
        """Send a page."""
        if not page and not req.scope["path"].endswith("/"):
            self._redirect(req, resp)
            return
        work = self._tracking.waiter.arun(self._dashboard.handle(self._build(req, page, b"")))
        reply = await run_while_connected(req._receive, work, GRACE_S)  # the framework has no public way
        if reply is not None:
            self._send(req, resp, reply)

    on_head = on_get  # type: ignore[assignment]

    async def on_post(  # type: ignore[override]
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, page: str = ""
    ) -> None:
        """Handle a form and send where the browser goes next."""
        body = await req.stream.read(MAX_FORM_BYTES + 1)
        if refused := self._check_form(req, len(body)):
            send(resp, refused)
            return
        self._send(req, resp, await self._tracking.waiter.arun(self._dashboard.handle(self._build(req, page, body))))


class _Live(_Pages):
    """The events as they arrive, as a resource of a falcon.App."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, page: str = "") -> None:
        """Send the list's last events, then new ones until the client disconnects or may not see them any more."""
        run = self._tracking.waiter.run
        try:
            read = run(self._dashboard.open_stream(self._build(req, page, b""), run))
        except Exception:
            send(resp, reply_to_exception())
            return
        if read is None:
            send(resp, common_reply(99998))
        else:
            send_stream(req, resp, read)

    on_head = on_post = None  # type: ignore[assignment]


class _AsyncLive(_Pages):
    """The events as they arrive, as a resource of a falcon.asgi.App."""

    async def on_get(  # type: ignore[override]
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, page: str = ""
    ) -> None:
        """Send the list's last events, then new ones until the client disconnects or may not see them any more."""
        loop, arun = asyncio.get_running_loop(), self._tracking.waiter.arun

        def run(steps: Steps[bool]) -> bool:
            """Run steps on the server's event loop, to which what the host's coroutines use may belong."""
            return asyncio.run_coroutine_threadsafe(arun(steps), loop).result()

        try:
            read = await arun(self._dashboard.open_stream(self._build(req, page, b""), run))
        except Exception:
            send(resp, reply_to_exception())
            return
        if read is None:
            send(resp, common_reply(99998))
        else:
            send_async_stream(req, resp, read)

    on_head = on_post = None  # type: ignore[assignment]


class _Files:
    """The scripts and styles as a resource of a falcon.App."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Send a file, which a browser keeps for ever under an address that names its version."""
        found = load_static(name)
        if found is None:
            send(resp, common_reply(404))
            return
        is_versioned = req.params.get("v") == found.version
        headers = (
            ("Cache-Control", FOREVER if is_versioned else REVALIDATED),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        )
        send(resp, serve_file(req, found, headers))

    on_head = on_get


class _AsyncFiles(_Files):
    """The scripts and styles as a resource of a falcon.asgi.App."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:  # type: ignore[override]
        """Send a file."""
        super().on_get(req, resp, name)

    on_head = on_get  # type: ignore[assignment]


def compress_part(req: falcon.Request, reply: Reply) -> Reply:
    """Return a reply compressed, if it is a large part of a page that the page's own script asked for.

    A secret that is compressed beside a text of somebody's choice can be guessed by the length. So what has a form's token is not
    compressed, nor what another site asks for.
    """
    is_ours = req.get_header("Sec-Fetch-Site") in (None, "same-origin")
    if req.params.get("part") != "1" or not is_ours or len(reply.body) < LEAST_COMPRESSED or OF_FORM_TOKEN in reply.body:
        return reply
    headers = tuple((name, f"{value}, Accept-Encoding" if name == "Vary" else value) for name, value in reply.headers)
    if not accepts_gzip(req.get_header("Accept-Encoding") or ""):
        return Reply(reply.status, reply.body, headers, reply.content_type)
    body = gzip.compress(reply.body, COMPRESSION, mtime=0)
    return Reply(reply.status, body, (*headers, ("Content-Encoding", "gzip")), reply.content_type)


def build_request(
    req: falcon.Request, page: str, body: bytes, headers: Mapping[str, str], proxies: Proxies | None
) -> DashboardRequest:
    """Build the dashboard's request from that of the framework.

    Args:
        req: the framework's request.
        page: the path below the dashboard's root.
        body: the form that a POST request has.
        headers: the headers that the dashboard reads.
        proxies: the proxies that are trusted to name the client's address and scheme; None: no proxy.
    """
    peer = req.remote_addr or ""
    address = peer if proxies is None else proxies.find_client(peer, req.get_header("X-Forwarded-For") or "")
    is_proxy = proxies is not None and proxies.trusts_peer(peer)
    forwarded = headers.get("HTTP_X_FORWARDED_PROTO", "") if is_proxy else ""
    if is_proxy and (host := headers.get("HTTP_X_FORWARDED_HOST", "").split(",")[-1].strip()):
        headers = {**headers, "HTTP_HOST": host}
    return DashboardRequest(
        method=req.method,
        page=page,
        query=parse_fields(req.query_string),
        form=parse_fields(body.decode("utf-8", "replace")) if body else {},
        headers=headers,
        cookies=parse_cookies(headers.get("HTTP_COOKIE", "")),
        address=address,
        is_secure=(forwarded.split(",")[-1].strip() or req.scheme) == "https",
        native=req,
    )
