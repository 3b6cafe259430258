"""Storing many events: reads and checks the next ones while earlier ones are committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from falcon_events.errors import RequestRefused, StoreUnavailable
from falcon_events.ingest.batch import TrackResult
from falcon_events.ingest.pipeline import Pipeline
from falcon_events.runtime.pending import Pending
from falcon_events.runtime.steps import Call, OthersFirst, Steps, Wait, Waiter
from falcon_events.settings import Settings

BLOCK_BYTES = 1 << 18
"""About how many bytes of bodies are checked and sent together."""

Track = Callable[[Sequence[bytes]], Steps[list[TrackResult]]]


def store_many(pipeline: Pipeline, waiter: Waiter, settings: Settings, bodies: Iterable[bytes]) -> Iterator[TrackResult]:
    """Store many events; yield the result of each body, in order, once its event is committed or refused.

    Args:
        pipeline: checks and stores the events.
        waiter: runs calls that may block.
        settings: the limits on what may be under way.
        bodies: request bodies in JSON. Credentials in them are ignored.
    """
    if isinstance(bodies, Sequence):
        blocks: Iterable[Sequence[bytes]] = split_into_blocks(bodies, settings.batch_events)
    else:  # store each body before taking the next one, which may come much later
        blocks = ([body] for body in bodies)
    for results in store_blocks(pipeline.track_bodies, waiter, settings, blocks):
        yield from results


def store_blocks(
    track: Track, waiter: Waiter, settings: Settings, blocks: Iterable[Sequence[bytes]]
) -> Iterator[Sequence[TrackResult]]:
    """Store blocks of bodies; yield the results of each block, in order.

    Args:
        track: checks and stores a block.
        waiter: runs calls that may block.
        settings: the limits on what may be under way.
        blocks: blocks of at most `batch_events` bodies and about BLOCK_BYTES each; none is empty.
    """
    waiting: deque[_SentBlock] = deque()
    held = held_bytes = 0
    for block in blocks:
        sent = _SentBlock(track, waiter, block)
        while isinstance(sent.outcome, StoreUnavailable) and waiting:  # earlier blocks fill the queue
            held -= waiting[0].count
            held_bytes -= waiting[0].size
            yield waiting.popleft().result()
            sent = _SentBlock(track, waiter, block)
        waiting.append(sent)
        held += sent.count
        held_bytes += sent.size
        while len(waiting) > 1 and (held > settings.batch_events * 2 or held_bytes > settings.queue_bytes):
            held -= waiting[0].count
            held_bytes -= waiting[0].size
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _SentBlock:
    """A block under way: its steps, which wait for the commit, or its outcome."""

    def __init__(self, track: Track, waiter: Waiter, block: Sequence[bytes]) -> None:
        self.count = len(block)
        self.size = sum(map(len, block))
        self.outcome: list[TrackResult] | RequestRefused | None = None
        self._waiter = waiter
        self._steps = track(block)
        self._pending: Future[Any] | Pending[Any] | OthersFirst | None = None
        self._advance(self._steps.send, None)

    def result(self) -> list[TrackResult]:
        """Wait until the events are committed or refused; return their results."""
        while self.outcome is None:
            assert self._pending is not None
            try:
                value = self._pending.result()
            except Exception as error:
                self._advance(self._steps.throw, error)
            else:
                self._advance(self._steps.send, value)
        return [self.outcome] * self.count if isinstance(self.outcome, RequestRefused) else self.outcome

    def _advance(self, step: Callable[[Any], Wait], value: object) -> None:
        try:
            wait = step(value)
            while isinstance(wait, Call):
                wait = self._steps.send(self._waiter.call(wait))
            self._pending = wait
        except StopIteration as stop:
            self.outcome = stop.value
        except RequestRefused as refused:
            self.outcome = refused


def split_into_blocks(bodies: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    """Split bodies into blocks that are checked and sent together, each of at most `most` bodies and about BLOCK_BYTES."""
    block: list[bytes] = []
    size = 0
    for body in bodies:
        block.append(body)
        size += len(body)
        if len(block) == most or size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block
