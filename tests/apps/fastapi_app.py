"""A FastAPI application: the tracker below a path of it (`mounted`), or around it (`wrapped`)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from falcon_events.http import ASGIMiddleware, asgi_app
from tests.apps.common import BROKEN, GATE_WAIT_S, HELLO, NOT_FOUND, PREFIX, make_tracking, record

gate = asyncio.Event()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The host's own lifespan."""
    record("startup")
    yield
    record("shutdown")


def make_app() -> FastAPI:
    """The host application, without a tracker."""
    app = FastAPI(lifespan=lifespan)

    @app.get("/hello", response_class=PlainTextResponse)
    async def hello() -> str:
        return HELLO

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        gate.clear()
        return StreamingResponse(chunks())

    @app.get("/release")
    async def release() -> None:
        gate.set()

    @app.exception_handler(404)
    async def not_found(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(NOT_FOUND, 404)

    @app.exception_handler(RuntimeError)
    async def failed(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(BROKEN, 500)

    return app


async def chunks() -> AsyncIterator[bytes]:
    """A stream that sends its second chunk only once /release was asked for."""
    yield b"first"
    await asyncio.wait_for(gate.wait(), GATE_WAIT_S)
    yield b"released"


tracking = make_tracking()
mounted = make_app()
mounted.mount(PREFIX, asgi_app(tracking))
wrapped = ASGIMiddleware(make_app(), tracking, prefix=PREFIX)
