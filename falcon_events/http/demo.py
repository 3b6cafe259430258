"""The demo page of the tracker (`serve --demo`): the snippet, the calls, and the events as they arrive."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from html import escape
from importlib.resources import files
from typing import Any

import falcon
import falcon.asgi
import msgspec
from falcon.asgi import SSEvent

from falcon_events.assets.snippet import render_snippet
from falcon_events.contract.replies import Reply
from falcon_events.errors import EventsError
from falcon_events.http.responses import send
from falcon_events.model.persons import StoredEvent
from falcon_events.tracking import EventTracking

PAGE, STREAM = "/tracker", "/tracker/events"
POLL_S = 0.5
"""The pause between two reads of new events while a client is connected, in seconds."""
MOST_SHOWN = 20
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

stop_streams = threading.Event()
"""Set when the server is told to stop. Otherwise it would wait for the streams to end."""


class Demo(msgspec.Struct, frozen=True):
    """The list that the page shows, and a key of scope `ingest` for it."""

    list_id: int
    list_name: str
    key: str


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
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")
        resp.stream = self._serialize(_read_last_event_id(req))

    def _serialize(self, after: int) -> Iterator[bytes]:
        try:
            while not stop_streams.is_set():
                fresh = self._read_new(after)
                yield b"".join(_encode_event(seq, event).serialize() for seq, event in fresh) or b": nothing new\n\n"
                after = fresh[-1][0] if fresh else after
                time.sleep(POLL_S)
        except EventsError:  # the store is closed: the browser reconnects
            return

    def _read_new(self, after: int) -> list[tuple[int, StoredEvent]]:
        return self._tracking.latest(self._demo.list_id, after=after, most=MOST_SHOWN)


class AsyncDemoStream(DemoStream):
    """The events as they arrive, as server-sent events of a falcon.asgi.App."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # type: ignore[override]
        """Send the list's last events, then new ones until the client disconnects."""
        resp.set_header("Cache-Control", "no-store")
        resp.sse = self._generate(_read_last_event_id(req))

    async def _generate(self, after: int) -> AsyncIterator[SSEvent | None]:
        try:
            while not stop_streams.is_set():
                fresh = await asyncio.to_thread(self._read_new, after)
                for after, event in fresh:
                    yield _encode_event(after, event)
                if not fresh:
                    yield None  # a comment: sending it shows whether the client has disconnected
                await asyncio.sleep(POLL_S)
        except EventsError:
            return


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


def _encode_event(seq: int, event: StoredEvent) -> SSEvent:
    return SSEvent(data=msgspec.json.encode(event), event_id=str(seq))


def _read_last_event_id(req: falcon.Request) -> int:
    given = req.get_header("Last-Event-ID") or ""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
