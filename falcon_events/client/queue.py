"""The bounded queue of a client: the events that wait and those that are being sent, until each is settled."""

from __future__ import annotations

import inspect
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from falcon_events.client.events import BATCH_BYTES, BATCH_EVENTS, Event, QueuedEvent
from falcon_events.client.options import Options
from falcon_events.errors import EventsError, QueueFull, SettingError

logger = logging.getLogger("falcon_events.client")

OnError = Callable[[Event, EventsError], object]
CLOSED = "The client is closed."


class OutgoingQueue:
    """A client's queue. It is not thread-safe by itself.

    Args:
        options: the queue's limits.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._waiting: OrderedDict[int, QueuedEvent] = OrderedDict()
        self._waiting_bytes = 0
        self._open: OrderedDict[int, QueuedEvent] = (
            OrderedDict()
        )  # finding the first item of a dict is slow once many are deleted
        self._open_bytes = 0
        self.last = 0
        """The number of the last event that was added."""

    def add(self, queued: QueuedEvent) -> None:
        """Add an event at the end.

        Raises:
            QueueFull: there is no room for it.
        """
        options = self._options
        if len(self._open) >= options.queue_events or self._open_bytes + len(queued.body) > options.queue_bytes:
            most = f"{options.queue_events} events and {options.queue_bytes} bytes"
            raise QueueFull(f"The queue is full: {len(self._open)} events are not settled yet, and its limits are {most}.")
        self.last = queued.number = self.last + 1
        self._open[id(queued)] = queued
        self._open_bytes += len(queued.body)
        self.requeue(queued)

    def requeue(self, queued: QueuedEvent) -> None:
        """Add an event at the end of those that wait, unless it is settled or waits already."""
        if id(queued) in self._open and id(queued) not in self._waiting:
            self._waiting[id(queued)] = queued
            self._waiting_bytes += len(queued.body) + 1

    def compute_due_s(self) -> float | None:
        """Return in how many seconds the next batch is due: 0 for now, None if no event waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= BATCH_EVENTS or self._waiting_bytes >= BATCH_BYTES:
            return 0.0
        return max(0.0, self._get_first(self._waiting).since + self._options.linger_s - time.monotonic())

    def take(self) -> list[QueuedEvent]:
        """Take the next batch out of those that wait."""
        part: list[QueuedEvent] = []
        size = 0
        while self._waiting and len(part) < BATCH_EVENTS:
            length = len(self._get_first(self._waiting).body) + 1
            if part and size + length > BATCH_BYTES:
                break
            part.append(self._waiting.popitem(last=False)[1])
            size += length
        self._waiting_bytes -= size
        return part

    def settle(self, queued: QueuedEvent) -> bool:
        """Forget an event that is stored, refused or given up; return False if it was forgotten before."""
        if self._open.pop(id(queued), None) is None:
            return False
        self._open_bytes -= len(queued.body)
        return True

    def has_settled(self, number: int) -> bool:
        """Return whether every event up to this number is settled."""
        return not self._open or self._get_first(self._open).number > number

    def take_all(self) -> list[QueuedEvent]:
        """Remove and return every event that is not settled."""
        left = list(self._open.values())
        self._open.clear()
        self._waiting.clear()
        self._open_bytes = self._waiting_bytes = 0
        return left

    def __len__(self) -> int:
        """Return how many events wait or are being sent."""
        return len(self._open)

    def _get_first(self, events: OrderedDict[int, QueuedEvent]) -> QueuedEvent:
        return next(iter(events.values()))


def check_on_error(on_error: OnError | None) -> OnError | None:
    """Check and return the function that is called with lost events.

    Raises:
        SettingError: it is not callable, or it is a coroutine function, which would not be awaited.
    """
    if on_error is None:
        return None
    if not callable(on_error) or any(map(inspect.iscoroutinefunction, (on_error, type(on_error).__call__))):
        raise SettingError(f"on_error={on_error!r}: expected a function that is not a coroutine function.")
    return on_error


def report_lost(on_error: OnError | None, lost: Sequence[QueuedEvent], error: EventsError) -> None:
    """Report events that will never be stored: call on_error with each, or log how many there are."""
    if not lost:
        return
    if on_error is None:
        logger.error("%d events were not stored, the first of them %s: %s", len(lost), lost[0].event.event_id, error)
        return
    for queued in lost:
        try:
            on_error(queued.event, error)
        except KeyboardInterrupt:
            raise
        except BaseException:  # sys.exit(), for example, would end the thread or task that sends the others
            logger.exception("on_error failed for the event %s, which was not stored: %s", queued.event.event_id, error)
