"""Sending a queue's events in the caller's thread: at the end, and if neither a thread nor a task sends them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from falcon_events.client.connection import Connection
from falcon_events.client.events import QueuedEvent
from falcon_events.client.replies import ServerReply
from falcon_events.client.retries import Pause, Request, RequestSteps, drive
from falcon_events.errors import NoAnswer


class _Late(Exception):
    """The deadline has passed."""


def flush_remaining(
    take: Callable[[], list[QueuedEvent]],
    send: Callable[[Sequence[QueuedEvent]], RequestSteps[None]],
    connection: Connection,
    deadline: float,
) -> None:
    """Send batch after batch and wait for the replies.

    Args:
        take: returns the next batch, and an empty one at the end.
        send: returns the steps that send a batch.
        connection: sends a request and waits for the reply.
        deadline: when to stop, by time.monotonic().
    """

    def compute_left_s() -> float:
        if (seconds := deadline - time.monotonic()) <= 0:
            raise _Late
        return seconds

    def ask(request: Request) -> ServerReply | NoAnswer:
        return connection.ask(request, compute_left_s())

    def wait(pause: Pause) -> None:
        time.sleep(min(pause.seconds, compute_left_s()))

    with contextlib.suppress(_Late):
        while compute_left_s() and (part := take()):
            drive(send(part), ask, wait)
