"""A falcon.App with error handlers and an error serializer of its own; the tracker's endpoints are routes of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import falcon

from falcon_events.http import mount
from tests.apps.common import BROKEN, GATE_WAIT_S, HELLO, NOT_FOUND, PREFIX, make_tracking

gate = threading.Event()


class Host:
    """The host's own routes."""

    def on_get_hello(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answers."""
        resp.text = HELLO

    def on_get_broken(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Fails."""
        raise RuntimeError

    def on_get_stream(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Sends its second chunk only once /release was asked for."""
        gate.clear()
        resp.stream = self._chunks()

    def on_get_release(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Lets the stream go on."""
        gate.set()

    def _chunks(self) -> Iterator[bytes]:
        yield b"first"
        yield b"released" if gate.wait(GATE_WAIT_S) else b"timed out"


def broken(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    """The host's error handler."""
    resp.status, resp.text = 500, BROKEN


def serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """The host's error serializer."""
    resp.content_type, resp.text = falcon.MEDIA_TEXT, NOT_FOUND


tracking = make_tracking()
app = falcon.App()
for name in ("hello", "broken", "stream", "release"):
    app.add_route(f"/{name}", Host(), suffix=name)
app.add_error_handler(Exception, broken)
app.set_error_serializer(serialize)
mount(app, tracking, prefix=PREFIX)
