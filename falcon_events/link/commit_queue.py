"""Events that wait for their commit: queued, or sent to the owner and not answered yet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from falcon_events.errors import StoreUnavailable
from falcon_events.model.events import FULL, NewEvent, Outcome
from falcon_events.model.ids import RandomUUIDs
from falcon_events.runtime.pending import Pending, Turnstile
from falcon_events.settings import Settings

IN_FLIGHT = 1
"""How many batches one process has under way. With two, each is half as large, which costs more than the owner's idle time."""
CLOSED = "The event store is closed."
LOST = "The event store's owner did not answer in time. Try again later."


UNSTORABLE = NewEvent(None, "", 0, "", "", "", None, 0, 0, b"", None, 0)
"""Takes the place of an event that cannot be sent to the owner. The owner refuses it, and stores the rest of its batch."""


class WaitingEvents(Pending[Sequence[Outcome]]):
    """Events that wait together for one commit. The result is the outcome of each.

    Args:
        events: one or more events.
        turnstile: releases the threads that wait.
    """

    __slots__ = ("events", "since", "size")

    def __init__(self, events: list[NewEvent], turnstile: Turnstile) -> None:
        super().__init__(turnstile)
        self.events = events
        self.size = sum([event.size for event in events])
        self.since = time.monotonic()


class CommitQueue:
    """A bounded queue of events for the owner. Not thread-safe: callers hold a lock.

    Args:
        settings: the limits of the queue and of batches, and how long an event waits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[WaitingEvents] = deque()
        self._in_flight: dict[int, list[WaitingEvents]] = {}
        self._held_bytes = self._held = 0
        self._turnstile = Turnstile()
        self._number = 0
        self._ids = RandomUUIDs()

    def add(self, events: Sequence[NewEvent]) -> WaitingEvents:
        """Queue events that are committed together, all or none; raise StoreUnavailable if the queue is full."""
        if self.is_full():
            raise StoreUnavailable(FULL)
        # Threads that wait for one event each share a turnstile, so that those of one batch wake together.
        turnstile = self._share_turnstile() if len(events) == 1 else Turnstile()
        waiting = WaitingEvents([self._with_id(event) for event in events], turnstile)
        self._held += len(waiting.events)
        self._held_bytes += waiting.size
        self._queue.append(waiting)
        return waiting

    def _share_turnstile(self) -> Turnstile:
        if self._turnstile.left == self._settings.batch_events:
            self._turnstile = Turnstile()  # for the next batch
        return self._turnstile

    def _with_id(self, event: NewEvent) -> NewEvent:
        if event.own_id is None and event.event_id is None:  # a second owner looks this ID up if the first one dies
            event = msgspec.structs.replace(event, own_id=next(self._ids))
        return event

    def next_batch(self) -> tuple[int, list[NewEvent]] | None:
        """Return the number and events of the batch to send now; None if nothing waits, or enough is under way."""
        if not self._queue or len(self._in_flight) >= IN_FLIGHT:
            return None
        batch: list[WaitingEvents] = []
        events: list[NewEvent] = []
        while self._queue and (not batch or len(events) + len(self._queue[0].events) <= self._settings.batch_events):
            batch.append(self._queue.popleft())
            events += batch[-1].events
        self._turnstile = Turnstile()  # the old one belongs to the batch
        self._number += 1
        self._in_flight[self._number] = batch
        return self._number, events

    def replace_unencodable(self, number: int, encode: Callable[[NewEvent], object]) -> list[NewEvent]:
        """Replace events of a batch that cannot be encoded by one that the owner refuses; return the batch's events."""
        for waiting in self._in_flight[number]:
            waiting.events = [event if _can_encode(encode, event) else UNSTORABLE for event in waiting.events]
        return [event for waiting in self._in_flight[number] for event in waiting.events]

    def sent_before(self) -> list[tuple[int, list[NewEvent]]]:
        """Return the batches that were sent but not answered, marked so that another owner looks up their events first."""
        return [
            (number, [msgspec.structs.replace(event, again=True) for waiting in batch for event in waiting.events])
            for number, batch in self._in_flight.items()
        ]

    def take(self, number: int) -> list[WaitingEvents]:
        """Remove and return the events of a batch whose outcomes have arrived."""
        batch = self._in_flight.pop(number, [])
        self._uncount(batch)
        return batch

    def expire(self, reason: str) -> None:
        """Fail events that have waited longer than commit_wait_s. Those that were sent may be stored all the same."""
        before = time.monotonic() - self._settings.commit_wait_s
        late = [waiting for waiting in self._queue if waiting.since < before]
        if late:
            self._turnstile = Turnstile()  # the old one gets results below, so it must not grow any more
            self._queue = deque(waiting for waiting in self._queue if waiting.since >= before)
            self._uncount(late)
        sent = [waiting for batch in self._in_flight.values() for waiting in batch if waiting.since < before]
        for waiting in [*late, *sent]:
            if not waiting.done():
                waiting.set_exception(StoreUnavailable(reason))

    def drop_expired(self) -> None:
        """Forget batches sent to an owner that is gone if all their events have failed already."""
        for number, batch in list(self._in_flight.items()):
            if all(waiting.done() for waiting in batch):
                del self._in_flight[number]
                self._uncount(batch)

    def fail(self, reason: str) -> None:
        """Fail all events."""
        everything = [*(waiting for batch in self._in_flight.values() for waiting in batch), *self._queue]
        self._in_flight.clear()
        self._queue.clear()
        self._turnstile = Turnstile()
        self._held = self._held_bytes = 0
        for waiting in everything:
            if not waiting.done():
                waiting.set_exception(StoreUnavailable(reason))

    def __len__(self) -> int:
        return self._held

    def is_full(self) -> bool:
        """Return whether the next event would be refused."""
        return self._held >= self._settings.queue_events or self._held_bytes >= self._settings.queue_bytes

    def _uncount(self, waitings: Iterable[WaitingEvents]) -> None:
        for waiting in waitings:
            self._held -= len(waiting.events)
            self._held_bytes -= waiting.size


def settle(batch: Iterable[WaitingEvents], outcomes: Sequence[Outcome]) -> None:
    """Set the outcomes of a batch as the results of its events."""
    start = 0
    for waiting in batch:
        end = start + len(waiting.events)
        if not waiting.done() and end <= len(outcomes):  # done: it has failed already
            waiting.set_result(outcomes[start:end])
        start = end


def _can_encode(encode: Callable[[NewEvent], object], event: NewEvent) -> bool:
    try:
        encode(event)
    except Exception:
        return False
    return True
