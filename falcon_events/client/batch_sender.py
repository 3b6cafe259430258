"""Sending a batch until each of its events is stored or finally refused. One bad event does not hold back the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from falcon_events.client.events import QueuedEvent, encode_batch
from falcon_events.client.replies import ServerReply, is_divisible, is_suspicious, is_temporary, parse_results
from falcon_events.client.retries import EVENTS, Backoff, RequestSteps, build_request
from falcon_events.contract.replies import Tracked
from falcon_events.errors import EventsError, NoAnswer, RequestRefused

MOST_PAUSE_S = 30.0
SUSPECTED_AFTER = 3
"""After how many failures in a row a batch is divided: one of its events may be the cause."""
GIVEN_UP_AFTER = 5
"""How often the server may fail with 500 over a single event before that event is given up."""
GIVEN_UP_AFTER_S = 300.0
"""If the server stores no other event either, the fault may be the server's alone. Then it must fail this long, in seconds."""

_Part = tuple[list[QueuedEvent], int]
"""Events that are sent together, and how often in a row the server has failed over them."""
OnSettled = Callable[[Sequence[QueuedEvent], EventsError | None], object]


class BatchSender:
    """Sends batches, one after the other.

    Args:
        retry_s: how long an event is retried after it was enqueued, in seconds.
        on_settled: called with events that are stored, and None, or that will never be stored, and the reason.
        requeue: called with events that are tried again after others.
    """

    def __init__(self, retry_s: float, on_settled: OnSettled, requeue: Callable[[QueuedEvent], object]) -> None:
        self._retry_s = retry_s
        self._on_settled = on_settled
        self._requeue = requeue
        self._backoff = Backoff(MOST_PAUSE_S)
        self._taken = 0

    def send(self, events: Sequence[QueuedEvent]) -> RequestSteps[None]:
        """Send the events in order; return when all are settled or queued again."""
        parts: list[_Part] = [(list(events), 0)]
        while parts:
            part, failures = parts.pop()
            reply = yield build_request(EVENTS, encode_batch(part))
            assert reply is not None
            error = self._take(reply, part)
            if error is None:
                self._taken += 1
                self._backoff.reset()
            elif is_temporary(error):
                left = self._drop_expired([queued for queued in part if id(queued) in self._left], error)
                parts.extend(self._plan_retry(left, failures + 1 if is_suspicious(error) else 0, error))
                yield self._backoff.next_pause(error)
            elif len(part) > 1 and is_divisible(error):
                parts.extend(_halve(part, 0))
            else:
                self._on_settled(part, error)

    def _take(self, reply: ServerReply | NoAnswer, part: Sequence[QueuedEvent]) -> EventsError | None:
        """Settle the events that the reply settles; return why the others are not settled, or None."""
        self._left = set(map(id, part))
        if isinstance(reply, NoAnswer):
            return reply
        try:
            found = parse_results(reply, part)
        except (RequestRefused, NoAnswer) as error:
            return error
        temporary = None
        for queued, result in zip(part, found, strict=True):
            if isinstance(result, RequestRefused) and is_temporary(result):
                temporary = result
            else:
                self._left.discard(id(queued))
                self._on_settled([queued], None if isinstance(result, Tracked) else result)
        return temporary

    def _drop_expired(self, events: list[QueuedEvent], error: EventsError) -> list[QueuedEvent]:
        """Settle the events that have been tried for too long; return the others."""
        since = time.monotonic() - self._retry_s
        if late := [queued for queued in events if queued.since <= since]:
            self._on_settled(late, error)
        return [queued for queued in events if queued.since > since]

    def _plan_retry(self, left: list[QueuedEvent], failures: int, error: EventsError) -> list[_Part]:
        """Return the parts to try next, of events that the server has neither stored nor refused."""
        if isinstance(error, RequestRefused) and error.status == 500:
            for queued in left:
                queued.failing = queued.failing or (time.monotonic(), self._taken)
            if len(left) == 1 and self._is_culprit(left[0]):
                self._on_settled(left, error)
                return []
        if failures < SUSPECTED_AFTER:
            return [(left, failures)] if left else []
        if len(left) == 1:  # it may be the cause, so others are sent first
            self._requeue(left[0])
            return []
        return _halve(left, failures - 1)

    def _is_culprit(self, queued: QueuedEvent) -> bool:
        """Return whether to give up an event after the server has failed once more over it alone."""
        queued.tries += 1
        since, taken = queued.failing or (time.monotonic(), self._taken)
        others = self._taken > taken
        return queued.tries >= GIVEN_UP_AFTER and (others or time.monotonic() - since >= GIVEN_UP_AFTER_S)


def _halve(events: list[QueuedEvent], failures: int) -> list[_Part]:
    """Return the events in two parts, the first half last."""
    middle = len(events) // 2
    return [part for part in ((events[middle:], failures), (events[:middle], failures)) if part[0]]
