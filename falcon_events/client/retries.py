"""Asking a server until it answers: written once, for threads and for coroutines, which wait each in their own way.

It is written as generators that yield what they want: a request to be sent, whose answer they get, or a pause.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from falcon_events.client.answers import Answer, is_divisible, is_passing, properties, results, tracked
from falcon_events.client.events import Queued, batch
from falcon_events.contract.replies import Tracked
from falcon_events.errors import EventsError, InvalidRequest, NoAnswer, RateLimited, RequestRefused, StoreUnavailable

T = TypeVar("T")

EVENT, EVENTS, PROPERTIES = "/api/v1/event", "/api/v1/events", "/api/v1/website_events.properties"
FIRST_PAUSE_S = 0.1
COMPRESSED_FROM_BYTES = 1_000
"""Shorter bodies fit into one packet as they are."""


class Send(msgspec.Struct, frozen=True):
    """A request to be sent."""

    path: str
    body: bytes
    encoding: str | None = None


class Pause(msgspec.Struct, frozen=True):
    """A time to wait, and for what failure."""

    seconds: float
    error: EventsError


Steps = Generator[Send | Pause, Answer | NoAnswer | None, T]


def drive(steps: Steps[T], ask: Callable[[Send], Answer | NoAnswer], rest: Callable[[Pause], object]) -> T:
    """What the steps lead to, for threads.

    Args:
        steps: what is to be done.
        ask: sends a request and waits for the answer; this one and the next may raise, which ends it.
        rest: waits.
    """
    answer: Answer | NoAnswer | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if isinstance(step, Pause):
            answer = None
            rest(step)
        else:
            answer = ask(step)


async def adrive(
    steps: Steps[T], ask: Callable[[Send], Awaitable[Answer | NoAnswer]], rest: Callable[[Pause], Awaitable[object]]
) -> T:
    """The same as drive(), for coroutines."""
    answer: Answer | NoAnswer | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if isinstance(step, Pause):
            answer = None
            await rest(step)
        else:
            answer = await ask(step)


class Patience:
    """How long to wait before the next try: each time about twice as long, and never a time that others wait, too.

    Args:
        most_s: the longest pause, in seconds, except where a server asks for a longer one.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._pause_s = FIRST_PAUSE_S

    def next(self, error: EventsError) -> Pause:
        """The next pause, after this failure."""
        pause_s = random.uniform(self._pause_s / 2, self._pause_s)
        self._pause_s = min(self._pause_s * 2, self._most_s)
        asked_s = error.retry_after_s if isinstance(error, (RateLimited, StoreUnavailable)) else 0
        return Pause(max(pause_s, asked_s + random.uniform(0, 0.1) if asked_s else 0.0), error)

    def restore(self) -> None:
        """Begins anew: something has succeeded."""
        self._pause_s = FIRST_PAUSE_S


def request(path: str, body: bytes) -> Send:
    """A request, compressed where that pays."""
    if len(body) >= COMPRESSED_FROM_BYTES:
        compressed = gzip.compress(body, 6, mtime=0)
        if len(compressed) < len(body) * 0.9:
            return Send(path, compressed, "gzip")
    return Send(path, body)


def track(queued: Queued, retry_s: float) -> Steps[Tracked]:
    """The answer to one event.

    Args:
        queued: the event.
        retry_s: for how long to try, in seconds.

    Raises:
        RequestRefused: it was refused, or no server took it in time.
        NoAnswer: there was none in time.
    """
    return (yield from _asked(request(EVENT, queued.body), partial(tracked, event_id=queued.event.event_id), retry_s))


def track_batch(events: Sequence[Queued | InvalidRequest], retry_s: float) -> Steps[list[Tracked | RequestRefused]]:
    """What became of each event of a batch; raises as track() does where that is the same for whatever is sent."""
    outcomes: dict[int, Tracked | RequestRefused] = {n: event for n, event in enumerate(events) if not isinstance(event, Queued)}
    sent = {number: event for number, event in enumerate(events) if isinstance(event, Queued)}
    left = list(sent)
    deadline, patience = time.monotonic() + retry_s, Patience(retry_s)
    while left:
        found = yield from _divided([sent[number] for number in left], deadline)
        outcomes.update(zip(left, found, strict=True))
        passing = [(number, result) for number, result in outcomes.items() if _may_pass(result)]
        if not passing:
            break
        left = [number for number, _ in passing]
        pause = patience.next(_refused(passing[0][1]))
        if time.monotonic() + pause.seconds > deadline:
            break
        yield pause
    return [outcomes[number] for number in range(len(events))]


def list_properties(list_id: int | str, retry_s: float) -> Steps[dict[str, list[str]]]:
    """The property names of a list by event type; raises as track() does."""
    body = msgspec.json.encode({"ListID": list_id})
    return (yield from _asked(request(PROPERTIES, body), properties, retry_s))


def _divided(events: Sequence[Queued], deadline: float) -> Steps[list[Tracked | RequestRefused]]:
    """The results of a batch; in parts, where it is refused as a whole for what is in it."""
    try:
        asked = _asked(request(EVENTS, batch(events)), partial(results, events=events), deadline - time.monotonic())
        return (yield from asked)
    except RequestRefused as refused:
        if not is_divisible(refused):
            raise
        if len(events) == 1:
            return [refused]
    middle = len(events) // 2
    first = yield from _divided(events[:middle], deadline)
    return first + (yield from _divided(events[middle:], deadline))


def _asked(send: Send, read: Callable[[Answer], T], retry_s: float) -> Steps[T]:
    deadline, patience = time.monotonic() + retry_s, Patience(max(retry_s / 4, FIRST_PAUSE_S))
    while True:
        outcome = yield send
        try:
            if isinstance(outcome, Answer):
                return read(outcome)
            assert outcome is not None
            error: EventsError = outcome
        except (RequestRefused, NoAnswer) as failed:
            if not is_passing(failed):
                raise
            error = failed
        pause = patience.next(error)
        if time.monotonic() + pause.seconds > deadline:
            raise error
        yield pause


def _may_pass(result: Tracked | RequestRefused) -> bool:
    return isinstance(result, RequestRefused) and is_passing(result)


def _refused(result: Any) -> RequestRefused:
    assert isinstance(result, RequestRefused)
    return result
