"""Session of a process that is connected to the owner, and the failures sent to it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import Any

from falcon_events.errors import EventsError, QueryTooLong, StoreUnavailable
from falcon_events.link import messages
from falcon_events.link.channel import MAX_FRAME_BYTES, Channel
from falcon_events.link.messages import Answer, AnswerPart, Failed, Hello

MAX_OPEN_CALLS = 256
PART_BYTES = 1 << 16
"""The largest part of an answer that is sent at once. The outcomes of events wait for one part at most."""
TOO_LARGE = "The result is larger than 1 GiB, the most that the store's owner can send. Ask for less at once."

logger = logging.getLogger(__name__)


class ClientSession:
    """Session of a connected process."""

    def __init__(self, channel: Channel, hello: Hello) -> None:
        self.channel = channel
        self.pid = hello.pid
        self.id = hello.client
        self.waiting = 0
        self.open_calls = threading.Semaphore(MAX_OPEN_CALLS)
        """Limits the calls without an answer. Beyond the limit, a call fails at once."""
        self.futures: dict[int, Future[Any]] = {}
        """The calls without an answer, by number."""
        self.noted = 0
        self.leaving = False

    def send(self, message: messages.FromOwner) -> None:
        """Send a message. If the client does not read, end its connection."""
        try:
            self.channel.send_bytes(messages.encode(message))
        except OSError:
            self.channel.end()

    def send_answer(self, answer: Answer) -> None:
        """Send an answer, in parts if it is large. If the client does not read, end its connection."""
        frame = messages.encode(answer)
        if len(frame) > MAX_FRAME_BYTES:
            frame = messages.encode(Failed(answer.number, "EventsError", TOO_LARGE))
        try:
            if len(frame) <= PART_BYTES:
                self.channel.send_bytes(frame)
                return
            for start in range(0, len(frame), PART_BYTES):
                end = start + PART_BYTES
                self.channel.send_bytes(messages.encode(AnswerPart(answer.number, frame[start:end], end >= len(frame))))
        except OSError:
            self.channel.end()


def build_failure(number: int, error: BaseException) -> Failed:
    """Build the message for a failed call, and log errors that are not an EventsError."""
    if isinstance(error, StoreUnavailable):
        kind = "QueryTooLong" if isinstance(error, QueryTooLong) else "StoreUnavailable"
        return Failed(number, kind, error.failures[0].message)
    if isinstance(error, EventsError):
        return Failed(number, type(error).__name__, str(error))
    logger.error("An operation on the store failed", exc_info=error)
    return Failed(
        number, "EventsError", f"The database says: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    )
