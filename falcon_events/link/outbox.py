"""Events that wait for their commit: in line, or sent and not yet answered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.settings import Settings
from falcon_events.store.pending import Pending, Turnstile
from falcon_events.store.records import NewEvent, Receipt
from falcon_events.visitors import RandomUUIDs

IN_FLIGHT = 1
"""Batches of one process under way at once. With two, they are half as large, which costs more than the owner's waiting."""
CANNOT_NOW = "The event store cannot take the event now. Try again later."
CLOSED = "The event store is closed."
LOST = "The event store's owner did not answer in time. Try again later."
FULL = "The event store's queue is full. Try again later."
REFUSES = "The database refuses this event; the log has the details."


class Waiting(Pending[Receipt]):
    """An event that waits for its commit, and then has its receipt."""

    __slots__ = ("event", "since")

    def __init__(self, event: NewEvent, turnstile: Turnstile) -> None:
        super().__init__(turnstile)
        self.event = event
        self.since = time.monotonic()


class Outbox:
    """A bounded queue in front of the owner; not thread-safe by itself.

    Args:
        settings: the limits of queue and batches, and how long an event waits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[list[Waiting]] = deque()
        self._in_flight: dict[int, list[Waiting]] = {}
        self._held_bytes = self._held = 0
        self._turnstile = Turnstile()
        self._number = 0
        self._ids = RandomUUIDs()

    def add(self, events: Sequence[NewEvent]) -> list[Waiting]:
        """Puts events in line, to be committed together; raises StoreUnavailable where the line is full."""
        if self.is_full():
            raise StoreUnavailable(FULL)
        group = [self._waiting(event) for event in events]
        self._queue.append(group)
        return group

    def _waiting(self, event: NewEvent) -> Waiting:
        if self._turnstile.left == self._settings.batch_events:
            self._turnstile = Turnstile()  # the next batch's
        if event.event_id is None:  # what a second owner will look for where the first has died
            event = msgspec.structs.replace(event, own_id=next(self._ids))
        waiting = Waiting(event, self._turnstile)
        self._held += 1
        self._held_bytes += event.size
        return waiting

    def next_batch(self) -> tuple[int, list[NewEvent]] | None:
        """The number and events of the batch to send now; None where nothing waits, or enough is under way."""
        if not self._queue or len(self._in_flight) >= IN_FLIGHT:
            return None
        batch: list[Waiting] = []
        while self._queue and (not batch or len(batch) + len(self._queue[0]) <= self._settings.batch_events):
            batch += self._queue.popleft()
        self._turnstile = Turnstile()  # what waits now is answered together
        self._number += 1
        self._in_flight[self._number] = batch
        return self._number, [waiting.event for waiting in batch]

    def sent_before(self) -> list[tuple[int, list[NewEvent]]]:
        """The batches that were sent and not answered, to be sent to another owner: it looks for their events first."""
        return [
            (number, [msgspec.structs.replace(waiting.event, again=True) for waiting in batch])
            for number, batch in self._in_flight.items()
        ]

    def answered(self, number: int) -> list[Waiting]:
        """The events of a batch that has its results: it is no longer under way."""
        batch = self._in_flight.pop(number, [])
        self._let_go(batch)
        return batch

    def expire(self, reason: str) -> None:
        """Gives up what has waited for longer than commit_wait_s; what was sent may have been stored all the same."""
        before = time.monotonic() - self._settings.commit_wait_s
        late = [waiting for group in self._queue if group[0].since < before for waiting in group]
        if late:
            self._turnstile = Turnstile()  # the old one has results from here on
            self._queue = deque(group for group in self._queue if group[0].since >= before)
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
        everything = [waiting for group in (*self._in_flight.values(), *self._queue) for waiting in group]
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

    def _let_go(self, waitings: Iterable[Waiting]) -> None:
        for waiting in waitings:
            self._held -= 1
            self._held_bytes -= waiting.event.size


def settle(batch: Sequence[Waiting], results: Sequence[bool | str | Receipt | None]) -> None:
    """Gives the events of a batch their receipts or errors."""
    for waiting, result in zip(batch, results, strict=False):
        if waiting.done():  # it was given up
            continue
        if isinstance(result, bool):
            event = waiting.event
            waiting.set_result(Receipt(event.id or "", event.visitor, event.external_id, result))
        elif isinstance(result, Receipt):
            waiting.set_result(result)
        else:
            waiting.set_exception(EventsError(REFUSES) if result is None else StoreUnavailable(result))
