"""The demo page of the tracker (`serve --demo`): the snippet, the calls, and the events as they arrive."""

from __future__ import annotations

import secrets
from html import escape
from importlib.resources import files
from typing import Any

import falcon
import falcon.asgi
import msgspec

from falcon_events.assets.snippet import render_snippet
from falcon_events.contract.replies import Reply
from falcon_events.http.responses import send
from falcon_events.http.streams import send_async_stream, send_stream
from falcon_events.tracking import EventTracking

PAGE, STREAM = "/tracker", "/tracker/events"
MOST_SHOWN = 20
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Demo(msgspec.Struct, frozen=True):
    """The list that the page shows, and a key of scope `ingest` for it."""

    list_id: int
    list_name: str
    key: str
    has_own_store: bool = False
    """Whether the store has nothing but the demo's events, so that the dashboard needs no key."""


class DemoPage:
    """The demo page as a resource of a falcon.App."""

    def __init__(self, tracking: EventTracking, demo: Demo) -> None:
        self._tracking = tracking
        self._demo = demo

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the page."""
        send(resp, render_page(self._tracking, self._demo))


class AsyncDemoPage(DemoPage):
    """The demo page as a resource of a falcon.asgi.App."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # type: ignore[override]
        """Send the page."""
        send(resp, render_page(self._tracking, self._demo))


class DemoStream:
    """The events as they arrive, as server-sent events of a falcon.App."""

    def __init__(self, tracking: EventTracking, demo: Demo) -> None:
        self._tracking = tracking
        self._demo = demo

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the list's last events, then new ones until the client disconnects."""
        send_stream(req, resp, self._read_new)

    def _read_new(self, after: int) -> list[tuple[int, bytes]]:
        latest = self._tracking.latest(self._demo.list_id, after=after, most=MOST_SHOWN)
        return [(seq, msgspec.json.encode(event)) for seq, event in latest]


class AsyncDemoStream(DemoStream):
    """The events as they arrive, as server-sent events of a falcon.asgi.App."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # type: ignore[override]
        """Send the list's last events, then new ones until the client disconnects."""
        send_async_stream(req, resp, self._read_new)


def render_page(tracking: EventTracking, demo: Demo) -> Reply:
    """Return the page, with a Content-Security-Policy for its scripts and styles."""
    nonce = secrets.token_urlsafe(16)
    path = tracking.settings.tracker_path
    filled: dict[str, Any] = {
        "NONCE": nonce,
        "LIST_ID": demo.list_id,
        "LIST_NAME": escape(demo.list_name),
        "SNIPPET": escape(render_snippet(demo.list_id, demo.key, path=path).strip()),
        "LIVE": render_snippet(demo.list_id, demo.key, path=path, nonce=nonce),
        "STREAM": STREAM,
    }
    text = files("falcon_events.assets").joinpath("demo.html").read_text("utf-8")
    for name, value in filled.items():
        text = text.replace("{{" + name + "}}", str(value))
    headers = (
        ("Content-Security-Policy", POLICY.format(nonce=nonce)),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
    )
    return Reply(200, text.encode(), headers, "text/html; charset=utf-8")
