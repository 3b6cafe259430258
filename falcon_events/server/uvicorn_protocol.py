"""uvicorn's HTTP protocol with limits on the size of a request's head and on the time that a request takes to arrive."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from falcon_events.http.streams import stop_streams

MAX_HEAD_BYTES = 64 << 10
"""The largest request line and headers together; granian's limit is about the same."""
ARRIVAL_S = 60.0
"""How long a request may take to arrive, in seconds from its first byte or from the start of the connection."""
REPLY_S = 10.0
"""How much longer than the setting `body_wait_s` that is at least, in seconds, so that a late body gets its reply."""


class BoundedProtocol(HttpToolsProtocol):
    """A protocol that ends connections whose request never completes: endless heads, and clients that send slowly on purpose."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._requests = 0
        self._in_head = True
        self._is_begun = False
        self._arriving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data, and end the connection if a request's head is too large."""
        before = self._requests
        super().data_received(data)
        if self._in_head and self._requests == before:  # otherwise the data held the rest of another request
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.abort()
        if self._is_begun and self._arriving is None:  # most requests are complete by now and need no timer
            self._start_timer()

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._is_begun = True

    def on_headers_complete(self) -> None:
        """Note that the request's head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is complete: the next request's head follows."""
        self._stop_timer()
        self._requests += 1
        self._head_bytes = 0
        self._in_head = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """Shut down, and end the demo's streams of events, which uvicorn would wait for."""
        stop_streams.set()
        super().shutdown()

    def _start_timer(self) -> None:
        wait_s = max(ARRIVAL_S, getattr(self.app, "body_wait_s", 0.0) + REPLY_S)
        self._arriving = self.loop.call_later(wait_s, self.transport.abort)

    def _stop_timer(self) -> None:
        self._is_begun = False
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None
