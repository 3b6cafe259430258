"""Storing many events: the next ones are read and checked while the earlier ones are committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from falcon_events.contract.answers import Tracked
from falcon_events.errors import RequestRefused, StoreUnavailable
from falcon_events.pipeline import Pipeline
from falcon_events.senders import HOST
from falcon_events.settings import Settings
from falcon_events.store.pending import Pending
from falcon_events.waiting import Call, Wait, Waiter


def store_many(
    pipeline: Pipeline, waiter: Waiter, settings: Settings, bodies: Iterable[bytes]
) -> Iterator[Tracked | RequestRefused]:
    """The answer to each body, in order, once its event is committed, or why it was refused.

    Args:
        pipeline: checks and stores.
        waiter: waits.
        settings: how much may be under way.
        bodies: request bodies in JSON; credentials in them are not looked at.
    """
    waiting: deque[_Sent] = deque()
    held_bytes = 0
    for body in bodies:
        sent = _Sent(pipeline, waiter, body)
        while isinstance(sent.outcome, StoreUnavailable) and waiting:  # the queue is full of what went before
            held_bytes -= waiting[0].size
            yield waiting.popleft().result()
            sent = _Sent(pipeline, waiter, body)
        waiting.append(sent)
        held_bytes += sent.size
        while len(waiting) > settings.batch_events * 2 or (held_bytes > settings.queue_bytes and len(waiting) > 1):
            held_bytes -= waiting[0].size
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Sent:
    """A body on its way: its steps, stopped at its commit, or its outcome."""

    def __init__(self, pipeline: Pipeline, waiter: Waiter, body: bytes) -> None:
        self.size = len(body)
        self.outcome: Tracked | RequestRefused | None = None
        self._waiter = waiter
        self._steps = pipeline.track(body, HOST)
        self._pending: Future[Any] | Pending[Any] | None = None
        self._advance(self._steps.send, None)

    def result(self) -> Tracked | RequestRefused:
        """The answer, once the event is committed, or why it was refused."""
        while self.outcome is None:
            assert self._pending is not None
            try:
                value = self._pending.result()
            except Exception as error:
                self._advance(self._steps.throw, error)
            else:
                self._advance(self._steps.send, value)
        return self.outcome

    def _advance(self, step: Callable[[Any], Wait], value: object) -> None:
        try:
            wait = step(value)
            while isinstance(wait, Call):
                wait = self._steps.send(self._waiter.call(wait))
            self._pending = wait
        except StopIteration as stop:
            self.outcome = stop.value
        except RequestRefused as refused:
            self.outcome = refused
