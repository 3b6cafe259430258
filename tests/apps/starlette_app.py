"""A Starlette application: the tracker below a path of it (`mounted`), or around it (`wrapped`)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from falcon_events.http import ASGIMiddleware, asgi_app
from tests.apps.common import BROKEN, GATE_WAIT_S, HELLO, NOT_FOUND, PREFIX, make_tracking, record

gate = asyncio.Event()


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The host's own lifespan."""
    record("startup")
    yield
    record("shutdown")


async def hello(request: Request) -> PlainTextResponse:
    """Answers."""
    return PlainTextResponse(HELLO)


async def broken(request: Request) -> PlainTextResponse:
    """Fails."""
    raise RuntimeError


async def stream(request: Request) -> StreamingResponse:
    """Sends its second chunk only once /release was asked for."""
    gate.clear()
    return StreamingResponse(_chunks())


async def release(request: Request) -> PlainTextResponse:
    """Lets the stream go on."""
    gate.set()
    return PlainTextResponse("")


async def echo(socket: WebSocket) -> None:
    """Sends one message back."""
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


async def not_found(request: Request, error: Exception) -> PlainTextResponse:
    """The host's own 404."""
    return PlainTextResponse(NOT_FOUND, 404)


async def failed(request: Request, error: Exception) -> PlainTextResponse:
    """The host's own 500."""
    return PlainTextResponse(BROKEN, 500)


async def _chunks() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.wait_for(gate.wait(), GATE_WAIT_S)
    yield b"released"


def make_app(*routes: BaseRoute) -> Starlette:
    """The host application."""
    own = [Route(f"/{endpoint.__name__}", endpoint) for endpoint in (hello, broken, stream, release)]
    return Starlette(
        routes=[*own, WebSocketRoute("/echo", echo), *routes],
        exception_handlers={404: not_found, RuntimeError: failed},
        lifespan=lifespan,
    )


tracking = make_tracking()
mounted = make_app(Mount(PREFIX, asgi_app(tracking)))
wrapped = ASGIMiddleware(make_app(), tracking, prefix=PREFIX)
