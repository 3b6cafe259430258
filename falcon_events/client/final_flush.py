"""Sending a queue's events where one is: at the end, and where neither a thread nor a task sends them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from falcon_events.client.answers import Answer
from falcon_events.client.connection import Connection
from falcon_events.client.events import Queued
from falcon_events.client.retries import Pause, Send, Steps, drive
from falcon_events.errors import NoAnswer


class _Late(Exception):
    """There is no time left."""


def send_rest(
    take: Callable[[], list[Queued]], deliver: Callable[[Sequence[Queued]], Steps[None]], connection: Connection, deadline: float
) -> None:
    """Sends batch after batch and waits for the answers.

    Args:
        take: gives the next batch; an empty one at the end.
        deliver: the steps of sending it.
        connection: sends a request and waits for the answer.
        deadline: when to stop, as a moment of time.monotonic().
    """

    def left_s() -> float:
        if (seconds := deadline - time.monotonic()) <= 0:
            raise _Late
        return seconds

    def ask(send: Send) -> Answer | NoAnswer:
        return connection.ask(send, left_s())

    def rest(pause: Pause) -> None:
        time.sleep(min(pause.seconds, left_s()))

    with contextlib.suppress(_Late):
        while left_s() and (part := take()):
            drive(deliver(part), ask, rest)
