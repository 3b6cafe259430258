"""A falcon.asgi.App with error handlers and an error serializer of its own; the tracker's endpoints are routes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import falcon.asgi

from falcon_events.http import mount
from tests.apps.common import BROKEN, GATE_WAIT_S, HELLO, NOT_FOUND, PREFIX, make_tracking, record

gate = asyncio.Event()


class Host:
    """The host's own routes."""

    async def on_get_hello(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answers."""
        resp.text = HELLO

    async def on_get_broken(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Fails."""
        raise RuntimeError

    async def on_get_stream(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Sends its second chunk only once /release was asked for."""
        gate.clear()
        resp.stream = self._chunks()

    async def on_get_release(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Lets the stream go on."""
        gate.set()

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(gate.wait(), GATE_WAIT_S)
        yield b"released"


class Lifespan:
    """The host's own lifespan."""

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Says so."""
        record("startup")

    async def process_shutdown(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Says so."""
        record("shutdown")


async def broken(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]) -> None:
    """The host's error handler."""
    resp.status, resp.text = 500, BROKEN


def serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """The host's error serializer."""
    resp.content_type, resp.text = falcon.MEDIA_TEXT, NOT_FOUND


tracking = make_tracking()
app = falcon.asgi.App(middleware=[Lifespan()])
for name in ("hello", "broken", "stream", "release"):
    app.add_route(f"/{name}", Host(), suffix=name)
app.add_error_handler(Exception, broken)
app.set_error_serializer(serialize)
mount(app, tracking, prefix=PREFIX)
