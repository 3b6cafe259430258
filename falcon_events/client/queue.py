"""Events that wait to be sent, and those that are under way: bounded, and told of one way or the other."""

from __future__ import annotations

import inspect
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from falcon_events.client.events import BATCH_BYTES, BATCH_EVENTS, Event, Queued
from falcon_events.client.options import Options
from falcon_events.errors import EventsError, QueueFull, SettingError

logger = logging.getLogger("falcon_events.client")

OnError = Callable[[Event, EventsError], object]
CLOSED = "The client is closed."


class Outgoing:
    """A client's queue; not thread-safe by itself.

    Args:
        options: its bounds.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._waiting: OrderedDict[int, Queued] = OrderedDict()
        self._waiting_bytes = 0
        self._open: OrderedDict[int, Queued] = OrderedDict()  # a dict's first item is slow to find once many are gone
        self._open_bytes = 0
        self.last = 0
        """The number of the event that came last."""

    def add(self, queued: Queued) -> None:
        """Puts an event at the end.

        Raises:
            QueueFull: there is no room for it.
        """
        options = self._options
        if len(self._open) >= options.queue_events or self._open_bytes + len(queued.body) > options.queue_bytes:
            most = f"{options.queue_events} events and {options.queue_bytes} bytes"
            raise QueueFull(f"{len(self._open)} events are on their way; the queue takes {most}.")
        self.last = queued.number = self.last + 1
        self._open[id(queued)] = queued
        self._open_bytes += len(queued.body)
        self.set_back(queued)

    def set_back(self, queued: Queued) -> None:
        """Puts an event that was under way at the end, if it is not settled and does not wait there."""
        if id(queued) in self._open and id(queued) not in self._waiting:
            self._waiting[id(queued)] = queued
            self._waiting_bytes += len(queued.body) + 1

    def due_s(self) -> float | None:
        """In how many seconds the next batch is due: 0 for now, None where nothing waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= BATCH_EVENTS or self._waiting_bytes >= BATCH_BYTES:
            return 0.0
        return max(0.0, self._first(self._waiting).since + self._options.linger_s - time.monotonic())

    def take(self) -> list[Queued]:
        """The next batch, which is under way from here on."""
        part: list[Queued] = []
        size = 0
        while self._waiting and len(part) < BATCH_EVENTS:
            length = len(self._first(self._waiting).body) + 1
            if part and size + length > BATCH_BYTES:
                break
            part.append(self._waiting.popitem(last=False)[1])
            size += length
        self._waiting_bytes -= size
        return part

    def settle(self, queued: Queued) -> bool:
        """Lets go of an event that is stored, refused or given up; False where that was told before."""
        if self._open.pop(id(queued), None) is None:
            return False
        self._open_bytes -= len(queued.body)
        return True

    def settled_to(self, number: int) -> bool:
        """Whether every event up to this number is settled."""
        return not self._open or self._first(self._open).number > number

    def take_all(self) -> list[Queued]:
        """Gives up everything that is not settled."""
        left = list(self._open.values())
        self._open.clear()
        self._waiting.clear()
        self._open_bytes = self._waiting_bytes = 0
        return left

    def __len__(self) -> int:
        """How many events wait or are under way."""
        return len(self._open)

    def _first(self, events: OrderedDict[int, Queued]) -> Queued:
        return next(iter(events.values()))


def checked_on_error(on_error: OnError | None) -> OnError | None:
    """What is to be told of lost events.

    Raises:
        SettingError: it cannot be called, or is a coroutine function, which nobody would await.
    """
    if on_error is None:
        return None
    if not callable(on_error) or any(map(inspect.iscoroutinefunction, (on_error, type(on_error).__call__))):
        raise SettingError(f"on_error={on_error!r}: a function is needed that is no coroutine.")
    return on_error


def tell(on_error: OnError | None, lost: Sequence[Queued], error: EventsError) -> None:
    """Tells of events that will never be stored: to whoever wants to know, else in the log."""
    if not lost:
        return
    if on_error is None:
        logger.error("%d events were not stored, %s first: %s", len(lost), lost[0].event.event_id, error)
        return
    for queued in lost:
        try:
            on_error(queued.event, error)
        except KeyboardInterrupt:
            raise
        except BaseException:  # sys.exit(), say, would end what sends the others
            logger.exception("on_error failed for the event %s (%s)", queued.event.event_id, error)
