"""One connected process, as its owner sees it."""

from __future__ import annotations

import logging
import threading

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.link import messages
from falcon_events.link.channel import Channel
from falcon_events.link.messages import Failed, Hello

QUESTIONS = 256

logger = logging.getLogger(__name__)


class Client:
    """One connected process."""

    def __init__(self, channel: Channel, hello: Hello) -> None:
        self.channel = channel
        self.pid = hello.pid
        self.id = hello.client
        self.waiting = 0
        self.questions = threading.Semaphore(QUESTIONS)
        """What it may ask at once; who asks for more is not read until there are answers."""
        self.noted = 0
        self.leaving = False

    def send(self, message: messages.FromOwner) -> None:
        """Sends a message, or ends the connection of a client that does not read."""
        try:
            self.channel.send_bytes(messages.encode(message))
        except OSError:
            self.channel.end()


def failure_of(number: int, error: BaseException) -> Failed:
    """Why there is no answer to a question; what nobody expected goes to the log."""
    if isinstance(error, StoreUnavailable):
        return Failed(number, "StoreUnavailable", error.failures[0].message)
    if isinstance(error, EventsError):
        return Failed(number, type(error).__name__, str(error))
    logger.error("an operation failed", exc_info=error)
    return Failed(
        number, "EventsError", f"The database says: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    )
