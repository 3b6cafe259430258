"""Sending frames without blocking the caller: small ones at once, large ones in a thread."""

from __future__ import annotations

import threading
from collections import deque

from falcon_events.link.channel import Channel
from falcon_events.runtime.lifecycle import fork_lock

INLINE_BYTES = 1 << 16
"""The largest frame sent by the caller. It fits into the socket's buffer, so that an event loop may send it without blocking."""


class Transmitter:
    """Sends frames to the connected owner. Frames that are not sent when the connection ends are discarded."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self._large: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def connect(self, channel: Channel | None) -> None:
        """Send over this connection from now on; None: there is no connection."""
        with self._changed:
            self.channel = channel
            self._large.clear()

    def send(self, frame: bytes) -> None:
        """Send a frame, or discard it if the connection has ended; the thread that reads from it handles that."""
        with self._changed:
            channel = self.channel
            if channel is None:
                return
            if len(frame) > INLINE_BYTES or self._large:
                self._large.append(frame)
                if self._thread is None:
                    with fork_lock:
                        self._thread = threading.Thread(target=self._run, name="falcon-events-sending", daemon=True)
                        self._thread.start()
                self._changed.notify()
                return
        _send(channel, frame)

    def close(self) -> None:
        """End the thread, if it was started."""
        with self._changed:
            self._closed = True
            self._large.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._large or self._closed)
                if self._closed:
                    return
                frame, channel = self._large[0], self.channel
            if channel is not None:
                _send(channel, frame)
            with self._changed:
                if self._large and self._large[0] is frame:
                    self._large.popleft()


def _send(channel: Channel, frame: bytes) -> None:
    try:
        channel.send_bytes(frame)
    except OSError:
        channel.end()  # the thread that reads notices, reconnects and sends everything again
