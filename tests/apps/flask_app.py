"""A Flask application: the tracker beside it under a path (`dispatched`), or around it (`wrapped`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from flask import Flask, Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from falcon_events.http import WSGIMiddleware, wsgi_app
from tests.apps.common import BROKEN, GATE_WAIT_S, HELLO, NOT_FOUND, PREFIX, make_tracking

gate = threading.Event()
app = Flask(__name__)


@app.get("/hello")
def hello() -> str:
    """Answers."""
    return HELLO


@app.get("/broken")
def broken() -> str:
    """Fails."""
    raise RuntimeError


@app.get("/stream")
def stream() -> Response:
    """Sends its second chunk only once /release was asked for."""
    gate.clear()

    def chunks() -> Iterator[bytes]:
        yield b"first"
        yield b"released" if gate.wait(GATE_WAIT_S) else b"timed out"

    return Response(chunks())


@app.get("/release")
def release() -> str:
    """Lets the stream go on."""
    gate.set()
    return ""


@app.errorhandler(404)
def not_found(error: Exception) -> tuple[str, int]:
    """The host's own 404."""
    return NOT_FOUND, 404


@app.errorhandler(RuntimeError)
def failed(error: Exception) -> tuple[str, int]:
    """The host's own 500."""
    return BROKEN, 500


tracking = make_tracking()
dispatched = DispatcherMiddleware(app.wsgi_app, {PREFIX: wsgi_app(tracking)})
wrapped = WSGIMiddleware(app.wsgi_app, tracking, prefix=PREFIX)
