"""Events as they arrive, as server-sent events: one generator for WSGI, one for ASGI."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import falcon
import falcon.asgi
from falcon.asgi import SSEvent

from falcon_events.errors import EventsError

POLL_S = 0.5
"""The pause between two reads of new events while a client is connected, in seconds."""
HEADERS = (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))
"""The second one has nginx pass each event on at once."""

ReadNew = Callable[[int], Sequence[tuple[int, bytes]] | None]
"""Returns the events after a sequence number, each with its own; None ends the stream. It may block."""

stop_streams = threading.Event()
"""Set when the server is told to stop. Otherwise it would wait for the streams to end."""


def send_stream(req: falcon.Request, resp: falcon.Response, read: ReadNew) -> None:
    """Send the last events, then new ones until the client disconnects."""
    _set_headers(resp)
    resp.content_type = "text/event-stream"
    resp.stream = _serialize(read, read_last_event_id(req))


def send_async_stream(req: falcon.asgi.Request, resp: falcon.asgi.Response, read: ReadNew) -> None:
    """Send the last events, then new ones until the client disconnects."""
    _set_headers(resp)
    resp.sse = _generate(read, read_last_event_id(req))


def read_last_event_id(req: falcon.Request) -> int:
    """Return the sequence number of the last event that a browser has which connects again; 0 if it has none."""
    given = req.get_header("Last-Event-ID") or ""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0


def _set_headers(resp: falcon.Response) -> None:
    for name, value in HEADERS:
        resp.set_header(name, value)


def _serialize(read: ReadNew, after: int) -> Iterator[bytes]:
    try:
        while not stop_streams.is_set():
            fresh = read(after)
            if fresh is None:
                return
            yield b"".join(_encode(seq, data).serialize() for seq, data in fresh) or b": nothing new\n\n"
            after = fresh[-1][0] if fresh else after
            time.sleep(POLL_S)
    except EventsError:  # the store is closed: the browser reconnects
        return


async def _generate(read: ReadNew, after: int) -> AsyncIterator[SSEvent | None]:
    try:
        while not stop_streams.is_set():
            fresh = await asyncio.to_thread(read, after)
            if fresh is None:
                return
            for after, data in fresh:
                yield _encode(after, data)
            if not fresh:
                yield None  # a comment: sending it shows whether the client has disconnected
            await asyncio.sleep(POLL_S)
    except EventsError:
        return


def _encode(seq: int, data: bytes) -> SSEvent:
    return SSEvent(data=data, event_id=str(seq))
