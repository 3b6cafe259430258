"""Retrying requests until a server replies, written once for threads and coroutines.

The functions are generators. They yield a Request to be sent, and get its reply, or they yield a Pause. Threads and coroutines
drive them each in their own way.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from falcon_events.client.events import QueuedEvent, encode_batch
from falcon_events.client.replies import (
    ServerReply,
    is_divisible,
    is_temporary,
    parse_answer,
    parse_properties,
    parse_results,
    parse_tracked,
)
from falcon_events.contract.body import Params
from falcon_events.contract.replies import Tracked
from falcon_events.errors import EventsError, InvalidRequest, NoAnswer, RateLimited, RequestRefused, StoreUnavailable
from falcon_events.query.codes import NO_SAVED

T = TypeVar("T")

EVENT, EVENTS, PROPERTIES = "/api/v1/event", "/api/v1/events", "/api/v1/website_events.properties"
QUESTION = "/api/v1/website_events.{}"
ANSWER_S = 30.0
"""How long a server may take to answer a question, in seconds: it may wait for its turn, and then for `query_timeout_s`."""
FIRST_PAUSE_S = 0.1
COMPRESSED_FROM_BYTES = 1_000
"""Shorter bodies fit into one packet uncompressed."""


class Request(msgspec.Struct, frozen=True):
    """A request to be sent. Its answer may take `answer_s` seconds, or the connection's timeout if that is longer."""

    path: str
    body: bytes
    encoding: str | None = None
    answer_s: float = 0.0


class Pause(msgspec.Struct, frozen=True):
    """A time to wait, and the failure that is the reason."""

    seconds: float
    error: EventsError


RequestSteps = Generator[Request | Pause, ServerReply | NoAnswer | None, T]


def drive(steps: RequestSteps[T], ask: Callable[[Request], ServerReply | NoAnswer], pause: Callable[[Pause], object]) -> T:
    """Run the steps in a thread and return their result.

    Args:
        steps: the steps.
        ask: sends a request and waits for the reply; an exception ends the run.
        pause: waits; an exception ends the run.
    """
    reply: ServerReply | NoAnswer | None = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if isinstance(step, Pause):
            reply = None
            pause(step)
        else:
            reply = ask(step)


async def adrive(
    steps: RequestSteps[T],
    ask: Callable[[Request], Awaitable[ServerReply | NoAnswer]],
    pause: Callable[[Pause], Awaitable[object]],
) -> T:
    """Run the steps in a coroutine and return their result, as drive() does in a thread."""
    reply: ServerReply | NoAnswer | None = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if isinstance(step, Pause):
            reply = None
            await pause(step)
        else:
            reply = await ask(step)


class Backoff:
    """The pauses between tries: each is about twice as long as the last, with jitter, so that clients do not retry together.

    Args:
        most_s: the longest pause, in seconds, unless a server asks for a longer one.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._pause_s = FIRST_PAUSE_S

    def next_pause(self, error: EventsError) -> Pause:
        """Return the pause after this failure."""
        pause_s = random.uniform(self._pause_s / 2, self._pause_s)
        self._pause_s = min(self._pause_s * 2, self._most_s)
        asked_s = error.retry_after_s if isinstance(error, (RateLimited, StoreUnavailable)) else 0
        return Pause(max(pause_s, asked_s + random.uniform(0, 0.1) if asked_s else 0.0), error)

    def reset(self) -> None:
        """Start with short pauses again, because a request has succeeded."""
        self._pause_s = FIRST_PAUSE_S


def build_request(path: str, body: bytes) -> Request:
    """Build a request; its body is compressed if that makes it shorter by a tenth."""
    if len(body) >= COMPRESSED_FROM_BYTES:
        compressed = gzip.compress(body, 6, mtime=0)
        if len(compressed) < len(body) * 0.9:
            return Request(path, compressed, "gzip")
    return Request(path, body)


def track(queued: QueuedEvent, retry_s: float) -> RequestSteps[Tracked]:
    """Send one event and return its result.

    Args:
        queued: the event.
        retry_s: how long to retry, in seconds.

    Raises:
        RequestRefused: the event was refused, or the server could not accept it in time.
        NoAnswer: there was no valid reply in time.
    """
    return (yield from _ask(build_request(EVENT, queued.body), partial(parse_tracked, event_id=queued.event.event_id), retry_s))


def track_batch(events: Sequence[QueuedEvent | InvalidRequest], retry_s: float) -> RequestSteps[list[Tracked | RequestRefused]]:
    """Send a batch and return the result of each event. Raises as track() does if the reason concerns no single event."""
    outcomes: dict[int, Tracked | RequestRefused] = {
        n: event for n, event in enumerate(events) if not isinstance(event, QueuedEvent)
    }
    sent = {number: event for number, event in enumerate(events) if isinstance(event, QueuedEvent)}
    left = list(sent)
    deadline, backoff = time.monotonic() + retry_s, Backoff(retry_s)
    while left:
        found = yield from _send_divided([sent[number] for number in left], deadline)
        outcomes.update(zip(left, found, strict=True))
        temporary = [(number, result) for number, result in outcomes.items() if _is_temporary_refusal(result)]
        if not temporary:
            break
        left = [number for number, _ in temporary]
        pause = backoff.next_pause(_expect_refusal(temporary[0][1]))
        if time.monotonic() + pause.seconds > deadline:
            break
        yield pause
    return [outcomes[number] for number in range(len(events))]


def list_properties(list_id: int | str, retry_s: float) -> RequestSteps[dict[str, list[str]]]:
    """Return the property names of a list, by event type. Raises as track() does."""
    body = msgspec.json.encode({"ListID": list_id})
    return (yield from _ask(build_request(PROPERTIES, body), parse_properties, retry_s))


def ask_question(name: str, params: Params, kind: type[T], retry_s: float) -> RequestSteps[T]:
    """Ask a question and return its answer. Raises as track() does.

    Args:
        name: which question, such as `query`.
        params: its parameters.
        kind: the type of the answer.
        retry_s: how long to retry, in seconds.
    """
    request = build_request(QUESTION.format(name), msgspec.json.encode(params))
    read = partial(parse_answer, kind=kind)

    def read_repeated(reply: ServerReply) -> T:
        try:
            return read(reply)
        except InvalidRequest as refused:
            if name == "forget" and refused.codes == (NO_SAVED,):  # the try without an answer has forgotten it
                return msgspec.convert({"Forgotten": params["Name"]}, kind)
            raise

    return (yield from _ask(msgspec.structs.replace(request, answer_s=ANSWER_S), read, retry_s, read_repeated))


def _send_divided(events: Sequence[QueuedEvent], deadline: float) -> RequestSteps[list[Tracked | RequestRefused]]:
    """Return the results of a batch. If its contents are why it is refused as a whole, send it in parts."""
    try:
        asked = _ask(
            build_request(EVENTS, encode_batch(events)), partial(parse_results, events=events), deadline - time.monotonic()
        )
        return (yield from asked)
    except RequestRefused as refused:
        if not is_divisible(refused):
            raise
        if len(events) == 1:
            return [refused]
    middle = len(events) // 2
    first = yield from _send_divided(events[:middle], deadline)
    return first + (yield from _send_divided(events[middle:], deadline))


def _ask(
    request: Request,
    read: Callable[[ServerReply], T],
    retry_s: float,
    read_repeated: Callable[[ServerReply], T] | None = None,
) -> RequestSteps[T]:
    """Send a request until it has a reply that is not temporary, and return what is read from that.

    Args:
        request: the request.
        read: reads a reply.
        retry_s: how long to retry, in seconds.
        read_repeated: reads a reply after a try that reached the server and had no answer; None: `read` does.
    """
    deadline, backoff = time.monotonic() + retry_s, Backoff(max(retry_s / 4, FIRST_PAUSE_S))
    while True:
        outcome = yield request
        try:
            if isinstance(outcome, ServerReply):
                return read(outcome)
            assert outcome is not None
            error: EventsError = outcome
            if outcome.reached and read_repeated is not None:
                read = read_repeated
        except (RequestRefused, NoAnswer) as failed:
            if not is_temporary(failed):
                raise
            error = failed
        pause = backoff.next_pause(error)
        if time.monotonic() + pause.seconds > deadline:
            raise error
        yield pause


def _is_temporary_refusal(result: Tracked | RequestRefused) -> bool:
    return isinstance(result, RequestRefused) and is_temporary(result)


def _expect_refusal(result: Any) -> RequestRefused:
    assert isinstance(result, RequestRefused)
    return result
