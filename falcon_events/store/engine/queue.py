"""Queue of the events that wait for their commit: bounded, grouped by request, first in, first out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from falcon_events.errors import StoreClosed, StoreUnavailable
from falcon_events.model.events import FULL, NewEvent, Outcome
from falcon_events.settings import Settings


class Group:
    """Events that were submitted together and are answered together."""

    __slots__ = ("events", "future", "size")

    def __init__(self, events: Sequence[NewEvent]) -> None:
        self.events = events
        self.size = sum(event.size for event in events)
        self.future: Future[list[Outcome]] = Future()
        self.future.set_running_or_notify_cancel()


class Queue:
    """Queue that any thread puts events into and one thread takes batches from.

    Args:
        settings: the limits of the queue and of a batch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: deque[Group] = deque()
        self._events = self._bytes = 0
        self._changed = threading.Condition(threading.Lock())
        self.closed = False
        """Whether put() raises StoreClosed."""

    def put(self, events: Sequence[NewEvent]) -> Group:
        """Add events, all of them or none.

        Raises:
            StoreUnavailable: the queue is full.
            StoreClosed: close() was called.
        """
        group = Group(events)
        with self._changed:
            if self.closed:
                raise StoreClosed
            if self.is_full():
                raise StoreUnavailable(FULL)
            self._events += len(events)
            self._bytes += group.size
            self._groups.append(group)
            self._changed.notify()
        return group

    def take(self) -> list[Group]:
        """Wait for events and take as many groups as one batch may hold.

        The groups count toward the limits until release().

        Returns:
            The groups. Empty: the queue is closed and has been taken completely.
        """
        batch: list[Group] = []
        events = 0
        with self._changed:
            self._changed.wait_for(lambda: self._groups or self.closed)
            while self._groups and (not batch or events + len(self._groups[0].events) <= self._settings.batch_events):
                group = self._groups.popleft()
                batch.append(group)
                events += len(group.events)
        return batch

    def release(self, batch: Sequence[Group]) -> None:
        """Subtract groups that were taken from the size of the queue."""
        with self._changed:
            self._events -= sum(len(group.events) for group in batch)
            self._bytes -= sum(group.size for group in batch)

    def __len__(self) -> int:
        return self._events

    def is_full(self) -> bool:
        """Whether the next event would be refused."""
        return self._events >= self._settings.queue_events or self._bytes >= self._settings.queue_bytes

    def close(self) -> None:
        """Refuse further events. Queued ones can still be taken."""
        with self._changed:
            self.closed = True
            self._changed.notify()
