"""A Django project in one module, with the tracker around its WSGI (`wsgi`) and its ASGI application (`asgi`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from falcon_events.http import ASGIMiddleware, WSGIMiddleware
from tests.apps.common import BROKEN, GATE_WAIT_S, HELLO, NOT_FOUND, PREFIX, make_tracking

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="not one", LOGGING_CONFIG=None)
django.setup()
gate = threading.Event()


def hello(request: HttpRequest) -> HttpResponse:
    """Answers."""
    return HttpResponse(HELLO)


def broken(request: HttpRequest) -> HttpResponse:
    """Fails."""
    raise RuntimeError


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Sends its second chunk only once /release was asked for."""
    gate.clear()
    return StreamingHttpResponse(_achunks() if isinstance(request, ASGIRequest) else _chunks())


def release(request: HttpRequest) -> HttpResponse:
    """Lets the stream go on."""
    gate.set()
    return HttpResponse()


def _chunks() -> Iterator[bytes]:
    yield b"first"
    yield b"released" if gate.wait(GATE_WAIT_S) else b"timed out"


async def _achunks() -> AsyncIterator[bytes]:
    yield b"first"
    yield b"released" if await asyncio.to_thread(gate.wait, GATE_WAIT_S) else b"timed out"


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The host's own 404."""
    return HttpResponse(NOT_FOUND, status=404)


def handler500(request: HttpRequest) -> HttpResponse:
    """The host's own 500."""
    return HttpResponse(BROKEN, status=500)


urlpatterns = [path("hello", hello), path("broken", broken), path("stream", stream), path("release", release)]

tracking = make_tracking()
wsgi = WSGIMiddleware(get_wsgi_application(), tracking, prefix=PREFIX)
asgi = ASGIMiddleware(get_asgi_application(), tracking, prefix=PREFIX)
