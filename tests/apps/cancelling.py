"""An ASGI application that cancels a request after as many turns of the event loop as its header X-Cancel-After says."""

from __future__ import annotations

import asyncio
import contextlib

from falcon_events.http import asgi_app
from falcon_events.http.asgi import Receive, Scope, Send
from tests.apps.common import make_tracking

inner = asgi_app(make_tracking())


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request that was cancelled before it was answered with 499."""
    turns = dict(scope.get("headers", ())).get(b"x-cancel-after")
    if turns is None:
        await inner(scope, receive, send)
        return
    task = asyncio.ensure_future(inner(scope, receive, send))
    for _ in range(int(turns)):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
        return
    await send({"type": "http.response.start", "status": 499, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
