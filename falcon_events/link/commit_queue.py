"""Events that wait for their commit: in line, or sent and not yet answered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from falcon_events.errors import StoreUnavailable
from falcon_events.model.events import FULL, NewEvent, Outcome
from falcon_events.model.ids import RandomUUIDs
from falcon_events.runtime.pending import Pending, Turnstile
from falcon_events.settings import Settings

IN_FLIGHT = 1
"""Batches of one process under way at once. With two, they are half as large, which costs more than the owner's waiting."""
CLOSED = "The event store is closed."
LOST = "The event store's owner did not answer in time. Try again later."


class WaitingEvents(Pending[Sequence[Outcome]]):
    """Events that wait for one commit together, and for what becomes of each.

    Args:
        events: one or more.
        turnstile: where threads wait.
    """

    __slots__ = ("events", "since", "size")

    def __init__(self, events: list[NewEvent], turnstile: Turnstile) -> None:
        super().__init__(turnstile)
        self.events = events
        self.size = sum([event.size for event in events])
        self.since = time.monotonic()


class CommitQueue:
    """A bounded queue in front of the owner; not thread-safe by itself.

    Args:
        settings: the limits of queue and batches, and how long an event waits.
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
        """Queue events that are committed together, all or none; raise StoreUnavailable where the queue is full."""
        if self.is_full():
            raise StoreUnavailable(FULL)
        # Threads that wait for one event each share a turnstile: those of one batch wake together.
        turnstile = self._turnstile_of_next() if len(events) == 1 else Turnstile()
        waiting = WaitingEvents([self._with_id(event) for event in events], turnstile)
        self._held += len(waiting.events)
        self._held_bytes += waiting.size
        self._queue.append(waiting)
        return waiting

    def _turnstile_of_next(self) -> Turnstile:
        if self._turnstile.left == self._settings.batch_events:
            self._turnstile = Turnstile()  # the next batch's
        return self._turnstile

    def _with_id(self, event: NewEvent) -> NewEvent:
        if event.own_id is None and event.event_id is None:  # what a second owner will look for where the first has died
            event = msgspec.structs.replace(event, own_id=next(self._ids))
        return event

    def next_batch(self) -> tuple[int, list[NewEvent]] | None:
        """The number and events of the batch to send now; None where nothing waits, or enough is under way."""
        if not self._queue or len(self._in_flight) >= IN_FLIGHT:
            return None
        batch: list[WaitingEvents] = []
        events: list[NewEvent] = []
        while self._queue and (not batch or len(events) + len(self._queue[0].events) <= self._settings.batch_events):
            batch.append(self._queue.popleft())
            events += batch[-1].events
        self._turnstile = Turnstile()  # what waits now is answered together
        self._number += 1
        self._in_flight[self._number] = batch
        return self._number, events

    def sent_before(self) -> list[tuple[int, list[NewEvent]]]:
        """The batches that were sent and not answered, to be sent to another owner: it looks for their events first."""
        return [
            (number, [msgspec.structs.replace(event, again=True) for waiting in batch for event in waiting.events])
            for number, batch in self._in_flight.items()
        ]

    def take(self, number: int) -> list[WaitingEvents]:
        """Take the events of a batch whose outcomes have come: it is no longer under way."""
        batch = self._in_flight.pop(number, [])
        self._let_go(batch)
        return batch

    def expire(self, reason: str) -> None:
        """Gives up what has waited for longer than commit_wait_s; what was sent may have been stored all the same."""
        before = time.monotonic() - self._settings.commit_wait_s
        late = [waiting for waiting in self._queue if waiting.since < before]
        if late:
            self._turnstile = Turnstile()  # the old one has results from here on
            self._queue = deque(waiting for waiting in self._queue if waiting.since >= before)
            self._let_go(late)
        sent = [waiting for batch in self._in_flight.values() for waiting in batch if waiting.since < before]
        for waiting in [*late, *sent]:
            if not waiting.done():
                waiting.set_exception(StoreUnavailable(reason))

    def drop_expired(self) -> None:
        """Forgets the batches in which nobody waits any more, where the owner that had them is gone."""
        for number, batch in list(self._in_flight.items()):
            if all(waiting.done() for waiting in batch):
                del self._in_flight[number]
                self._let_go(batch)

    def fail(self, reason: str) -> None:
        """Gives up everything."""
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
        """Whether the next event would be refused."""
        return self._held >= self._settings.queue_events or self._held_bytes >= self._settings.queue_bytes

    def _let_go(self, waitings: Iterable[WaitingEvents]) -> None:
        for waiting in waitings:
            self._held -= len(waiting.events)
            self._held_bytes -= waiting.size


def settle(batch: Iterable[WaitingEvents], outcomes: Sequence[Outcome]) -> None:
    """Give the outcomes of a batch to those who wait for its events."""
    start = 0
    for waiting in batch:
        end = start + len(waiting.events)
        if not waiting.done() and end <= len(outcomes):  # else it was given up
            waiting.set_result(outcomes[start:end])
        start = end
