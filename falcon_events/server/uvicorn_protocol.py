"""uvicorn's HTTP protocol, with bounds on what a client may send before it counts as a request, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from falcon_events.http.demo import streams_end

MAX_HEAD_BYTES = 64 << 10
"""As much as granian's server allows for a request's line and headers, about."""
ARRIVAL_S = 60.0
"""How long a request may take to arrive, from its first byte or the connection's start, in seconds."""


class BoundedProtocol(HttpToolsProtocol):
    """Ends connections whose request does not come to its end: heads without end, and senders that are slow on purpose."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._requests = 0
        self._in_head = True
        self._is_begun = False
        self._arriving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts waiting for a request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what has come, unless it is too much of a head."""
        before = self._requests
        super().data_received(data)
        if self._in_head and self._requests == before:  # else the data held the rest of another one
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.abort()
        if self._is_begun and self._arriving is None:  # most requests are all there by now, and need no timer
            self._expect()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._is_begun = True

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there; what follows is the next one's head."""
        self._arrived()
        self._requests += 1
        self._head_bytes = 0
        self._in_head = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """The server is told to stop; a stream of events would keep it waiting."""
        streams_end.set()
        super().shutdown()

    def _expect(self) -> None:
        self._arriving = self.loop.call_later(ARRIVAL_S, self.transport.abort)

    def _arrived(self) -> None:
        self._is_begun = False
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None
