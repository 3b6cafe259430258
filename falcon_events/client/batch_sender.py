"""Sending a batch until every event in it is stored, or refused for good: what is wrong with one keeps no other back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from falcon_events.client.answers import Answer, is_divisible, is_passing, is_suspicious, results
from falcon_events.client.events import Queued, batch
from falcon_events.client.retries import EVENTS, Patience, Steps, request
from falcon_events.contract.replies import Tracked
from falcon_events.errors import EventsError, NoAnswer, RequestRefused

MOST_PAUSE_S = 30.0
SUSPECTED_AFTER = 3
"""After how many failures in a row the events of a batch are tried in smaller ones: one of them may be why."""
GIVEN_UP_AFTER = 5
"""How often the server may fail over a single event with an error of its own, before that event is given up."""
GIVEN_UP_AFTER_S = 300.0
"""For how long it does so, where it takes no other event in between, either: then it may be out of order by itself."""

_Part = tuple[list[Queued], int]
"""Events that are sent together, and how often in a row the server has failed over them."""
Settled = Callable[[Sequence[Queued], EventsError | None], object]


class Delivery:
    """Sends batches, one after the other.

    Args:
        retry_s: for how long an event is tried after it came, in seconds.
        settled: told of events that are stored, or never will be, and then why.
        set_back: takes events that are tried again after others.
    """

    def __init__(self, retry_s: float, settled: Settled, set_back: Callable[[Queued], object]) -> None:
        self._retry_s = retry_s
        self._settled = settled
        self._set_back = set_back
        self._patience = Patience(MOST_PAUSE_S)
        self._taken = 0

    def deliver(self, events: Sequence[Queued]) -> Steps[None]:
        """Sends the events, in their order; returns when all are settled or set back."""
        parts: list[_Part] = [(list(events), 0)]
        while parts:
            part, failures = parts.pop()
            answer = yield request(EVENTS, batch(part))
            assert answer is not None
            error = self._take(answer, part)
            if error is None:
                self._taken += 1
                self._patience.restore()
            elif is_passing(error):
                left = self._unexpired([queued for queued in part if id(queued) in self._left], error)
                parts.extend(self._again(left, failures + 1 if is_suspicious(error) else 0, error))
                yield self._patience.next(error)
            elif len(part) > 1 and is_divisible(error):
                parts.extend(_halves(part, 0))
            else:
                self._settled(part, error)

    def _take(self, answer: Answer | NoAnswer, part: Sequence[Queued]) -> EventsError | None:
        """Settles what the answer settles; why some or all of it is not, or None."""
        self._left = set(map(id, part))
        if isinstance(answer, NoAnswer):
            return answer
        try:
            found = results(answer, part)
        except (RequestRefused, NoAnswer) as error:
            return error
        passing = None
        for queued, result in zip(part, found, strict=True):
            if isinstance(result, RequestRefused) and is_passing(result):
                passing = result
            else:
                self._left.discard(id(queued))
                self._settled([queued], None if isinstance(result, Tracked) else result)
        return passing

    def _unexpired(self, events: list[Queued], error: EventsError) -> list[Queued]:
        """The events that are still tried."""
        since = time.monotonic() - self._retry_s
        if late := [queued for queued in events if queued.since <= since]:
            self._settled(late, error)
        return [queued for queued in events if queued.since > since]

    def _again(self, left: list[Queued], failures: int, error: EventsError) -> list[_Part]:
        """What to try next of events that the server has neither taken nor refused."""
        if isinstance(error, RequestRefused) and error.status == 500:
            for queued in left:
                queued.failing = queued.failing or (time.monotonic(), self._taken)
            if len(left) == 1 and self._is_culprit(left[0]):
                self._settled(left, error)
                return []
        if failures < SUSPECTED_AFTER:
            return [(left, failures)] if left else []
        if len(left) == 1:  # others first: it may be why
            self._set_back(left[0])
            return []
        return _halves(left, failures - 1)

    def _is_culprit(self, queued: Queued) -> bool:
        """Whether an event is to be given up, over which alone the server has failed once more."""
        queued.tries += 1
        since, taken = queued.failing or (time.monotonic(), self._taken)
        others = self._taken > taken
        return queued.tries >= GIVEN_UP_AFTER and (others or time.monotonic() - since >= GIVEN_UP_AFTER_S)


def _halves(events: list[Queued], failures: int) -> list[_Part]:
    """The events in two parts, the first one last."""
    middle = len(events) // 2
    return [part for part in ((events[middle:], failures), (events[:middle], failures)) if part[0]]
