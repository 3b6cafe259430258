"""Events that wait to be taken in: bounded, in groups, and in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from falcon_events.errors import StoreClosed, StoreUnavailable
from falcon_events.model.events import FULL, NewEvent, Outcome
from falcon_events.settings import Settings


class Group:
    """Events that came together and are answered together."""

    __slots__ = ("events", "future", "size")

    def __init__(self, events: Sequence[NewEvent]) -> None:
        self.events = events
        self.size = sum(event.size for event in events)
        self.future: Future[list[Outcome]] = Future()
        self.future.set_running_or_notify_cancel()


class Queue:
    """Any thread puts events in, one takes them out.

    Args:
        settings: the limits of the queue and of a batch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: deque[Group] = deque()
        self._events = self._bytes = 0
        self._changed = threading.Condition(threading.Lock())
        self.closed = False
        """Whether nothing more comes in."""

    def put(self, events: Sequence[NewEvent]) -> Group:
        """Puts events in, all or none.

        Raises:
            StoreUnavailable: it is full.
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

    def next(self) -> list[Group]:
        """The groups that wait, as many as one batch takes, once there is one; none after close(). They count until done()."""
        batch: list[Group] = []
        events = 0
        with self._changed:
            self._changed.wait_for(lambda: self._groups or self.closed)
            while self._groups and (not batch or events + len(self._groups[0].events) <= self._settings.batch_events):
                group = self._groups.popleft()
                batch.append(group)
                events += len(group.events)
        return batch

    def done(self, batch: Sequence[Group]) -> None:
        """What was taken out counts no longer."""
        with self._changed:
            self._events -= sum(len(group.events) for group in batch)
            self._bytes -= sum(group.size for group in batch)

    def __len__(self) -> int:
        return self._events

    def is_full(self) -> bool:
        """Whether the next event would be refused."""
        return self._events >= self._settings.queue_events or self._bytes >= self._settings.queue_bytes

    def close(self) -> None:
        """Lets nothing more in; what is in there can be taken out."""
        with self._changed:
            self.closed = True
            self._changed.notify()
