"""What waits for the writer: events, and work on its connection; bounded, and in the order in which it came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import duckdb

from falcon_events.errors import StoreClosed, StoreUnavailable
from falcon_events.settings import Settings
from falcon_events.store.pending import Pending, Turnstile
from falcon_events.store.records import NewEvent, Receipt

FULL = "The event store's queue is full. Try again later."

Task = Callable[[duckdb.DuckDBPyConnection], Any]


class Waiting(Pending[Receipt]):
    """An event that waits for its commit, and then has its receipt."""

    __slots__ = ("event",)

    def __init__(self, event: NewEvent, turnstile: Turnstile) -> None:
        super().__init__(turnstile)
        self.event = event


class Queue:
    """Any thread puts something in, the writer's takes it out.

    Args:
        settings: the limits of the queue and of a batch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[list[Waiting] | tuple[Task, Future[Any]]] = deque()
        self._queued = self._queued_bytes = 0
        self._turnstile = Turnstile()
        self._changed = threading.Condition(threading.Lock())
        self._sleeping = False
        self.closed = False
        """Whether nothing more comes in."""

    def put(self, events: Sequence[NewEvent]) -> list[Pending[Receipt]]:
        """Puts events in, all or none, to be committed together.

        Raises:
            StoreUnavailable: it is full.
            StoreClosed: close() was called.
        """
        with self._changed:
            if self.closed:
                raise StoreClosed
            if self.is_full():
                raise StoreUnavailable(FULL)
            queued: list[Waiting] = []
            for event in events:
                if self._turnstile.left == self._settings.batch_events:
                    self._turnstile = Turnstile()  # the next batch's
                waiting = Waiting(event, self._turnstile)
                self._queued_bytes += event.size
                queued.append(waiting)
            self._queued += len(queued)
            self._queue.append(queued)
            if self._sleeping:
                self._changed.notify()
        return list(queued)

    def put_task(self, task: Task) -> Future[Any]:
        """Puts a piece of work in; raises StoreClosed after close()."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            if self.closed:
                raise StoreClosed
            self._queue.append((task, future))
            self._changed.notify()
        return future

    def next(self, wait_s: float) -> tuple[list[Waiting], tuple[Task, Future[Any]] | None]:
        """The events that wait, as many as one batch takes, or else the next task; neither where nothing comes.

        Args:
            wait_s: how long to wait for something, in seconds.
        """
        batch: list[Waiting] = []
        queue = self._queue
        with self._changed:
            if not queue and not self.closed:
                self._sleeping = True
                self._changed.wait(wait_s)
                self._sleeping = False
            while queue:
                first = queue[0]
                if isinstance(first, tuple):
                    if not batch:
                        queue.popleft()
                        return [], first
                    break
                if batch and len(batch) + len(first) > self._settings.batch_events:
                    break
                queue.popleft()
                batch += first
                self._queued -= len(first)
                self._queued_bytes -= sum(waiting.event.size for waiting in first)
            self._turnstile = Turnstile()  # what waits now is answered together
        return batch, None

    def __len__(self) -> int:
        return self._queued

    def is_full(self) -> bool:
        """Whether the next event would be refused."""
        return self._queued >= self._settings.queue_events or self._queued_bytes >= self._settings.queue_bytes

    def close(self) -> None:
        """Lets nothing more in; what is in there can be taken out."""
        with self._changed:
            self.closed = True
            self._changed.notify()
