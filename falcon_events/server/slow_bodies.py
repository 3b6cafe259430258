"""Ending requests under granian whose bodies take too long: granian neither does it nor offers a way to."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from falcon_events.contract.replies import refusal_reply
from falcon_events.ingest.answers import Answers
from falcon_events.ingest.bodies import ArrivingBody, Bodies

logger = logging.getLogger(__name__)

TICK_S = 0.25
SENDING_S = 0.05
"""How long granian gets to send the replies before their connections are looked for, in seconds."""
_LAST_SENT = struct.Struct("44xI")
"""The place of tcpi_last_data_sent in Linux's struct tcp_info: how long ago data was sent, in milliseconds."""


class SlowBodies:
    """Watches the threads that read bodies, and frees those whose senders hold back.

    A thread waits for a body until its connection ends. granian does not tell which connection that is. So the reply is sent
    first, past the waiting thread, and then the connections that were silent before and have just sent something are those
    of the replies. Meanwhile other replies to the same addresses wait (see hold()), so that their connections stay silent.

    Args:
        bodies: the bodies that arrive.
        answers: the large answers that clients read. Connections whose clients read nothing for too long are ended.
        most: how many may arrive at once. Beyond that the oldest are cut off, as threads are needed for other requests.
    """

    def __init__(self, bodies: Bodies, answers: Answers, most: int) -> None:
        self._bodies = bodies
        self._answers = answers
        self._most = most
        self._cut: list[ArrivingBody] = []
        self._is_warned = False
        self.held: frozenset[str] = frozenset()
        """The addresses to which no other reply may be sent at the moment."""
        self._let_go = threading.Event()
        if hasattr(socket, "TCP_INFO") and sys.platform == "linux":
            bodies.cut_thread = self._cut.append
            threading.Thread(target=self._run, name="falcon-events-bodies", daemon=True).start()

    def hold(self, address: str) -> None:
        """Wait while no other reply may be sent to this address. Call it before a reply if anything is held."""
        if address in self.held:
            self._let_go.wait()

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            try:
                self._bodies.cut_overdue(self._most)
                if self._cut:
                    self._end_connections()
                if self._answers.is_stuck():
                    self._end_unread()
            except Exception:
                logger.exception("Requests whose bodies do not arrive cannot be ended")
            finally:
                self.held = frozenset()
                self._let_go.set()

    def _end_connections(self) -> None:
        cut = self._cut[:]
        del self._cut[: len(cut)]  # others may have been added meanwhile
        self._let_go.clear()
        self.held = frozenset(filter(None, map(_find_address, cut)))
        time.sleep(SENDING_S)  # for replies on their way
        silent = self._list_connections(lambda sent_ms: sent_ms > SENDING_S * 1000)
        began = time.monotonic()
        for body in cut:
            self._send_reply(body)
        time.sleep(SENDING_S)
        passed_ms = (time.monotonic() - began) * 1000 + 5
        for descriptor, peer in self._list_connections(lambda sent_ms: sent_ms <= passed_ms).items():
            if silent.get(descriptor) == peer and peer[0] in self.held:
                _end_connection(descriptor, peer)

    def _end_unread(self) -> None:
        """End the connections that have data to send, and could not send any for too long."""
        for descriptor, peer in self._list_connections(lambda sent_ms: sent_ms > self._answers.wait_s * 1000).items():
            _end_connection(descriptor, peer, unread=True)

    def _send_reply(self, body: ArrivingBody) -> None:
        send, is_over = _find_sender(body)
        if is_over:
            return
        if send is None:
            if not self._is_warned:
                self._is_warned = True
                logger.error("This release of granian is unknown: requests whose bodies do not arrive cannot be ended")
            return
        assert body.refusal is not None
        reply = refusal_reply(body.refusal)
        headers = [("content-type", reply.content_type), ("connection", "close"), *reply.headers]
        send(reply.status, [(name.lower(), value) for name, value in headers], reply.body)

    def _list_connections(self, matches: Callable[[int], bool]) -> dict[int, Any]:
        """Return the peers of this process's TCP connections, by file descriptor, that sent their last data so long ago."""
        found = {}
        for path in Path("/proc/self/fd").iterdir():
            descriptor = int(path.name)
            try:
                connection = socket.socket(fileno=descriptor)
            except OSError:  # not a socket, or closed meanwhile
                continue
            try:
                if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
                    peer = connection.getpeername()
                    (sent_ms,) = _LAST_SENT.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_SENT.size))
                    if matches(sent_ms):
                        found[descriptor] = peer
            except OSError:  # it listens, or is closed
                pass
            finally:
                connection.detach()
        return found


def _end_connection(descriptor: int, peer: Any, *, unread: bool = False) -> None:
    """End a connection.

    Args:
        descriptor: its file descriptor.
        peer: its peer's address. With another peer, the descriptor is that of another connection now.
        unread: whether to end it only if its peer has not read all that was sent, which is dropped then.
    """
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.getpeername() != peer:
            return
        if not unread:
            connection.shutdown(socket.SHUT_RD)  # ends the wait for the body; the reply still goes out
        elif any(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))):
            connection.shutdown(socket.SHUT_RDWR)


def _find_address(body: ArrivingBody) -> str | None:
    """Return the client's address of the request that a thread reads a body of; None if it has done with the body."""
    frame = sys._current_frames().get(body.thread)
    while frame is not None:
        if frame.f_locals.get("body") is body and "environ" in frame.f_locals:
            address: str = frame.f_locals["environ"]["REMOTE_ADDR"]
            return address
        frame = frame.f_back
    return None


def _find_sender(body: ArrivingBody) -> tuple[Callable[..., object] | None, bool]:
    """Find granian's function that sends the reply to a body's request: it is a local variable of the thread that reads the body.

    Returns:
        The function, or None if there is none; and whether the thread has done with this body, so that the reply is another's.
    """
    frame = sys._current_frames().get(body.thread)
    reads = False
    while frame is not None:
        reads = reads or frame.f_locals.get("body") is body
        send: Callable[..., object] | None = getattr(frame.f_locals.get("proto"), "response_bytes", None)
        if send is not None:
            return send, not reads
        frame = frame.f_back
    return None, not reads
