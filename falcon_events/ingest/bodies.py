"""Bodies of requests: how many bytes of them may be held at once, how long one may take to arrive, and when it is let go."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from falcon_events.contract.schemas import common_error
from falcon_events.errors import RequestRefused, StoreUnavailable
from falcon_events.runtime.steps import OTHERS_FIRST, Steps, Wait
from falcon_events.settings import Settings

T = TypeVar("T")

SMALL_BYTES = 64 << 10
"""Bodies up to this size are read at once and are not counted, so that most requests take no lock."""
SMALL_BATCH_BYTES = 8 << 10
"""Batches up to this size need no turn. Larger ones may pause, and many of them would then be held at once."""
NO_ROOM = "Too many request bodies are arriving. Try again later."
PATIENCE_S = 1.0
"""How long a body may arrive before it can be cut off to make room for others, in seconds."""


class HeldBody:
    """A request's body, until it is let go: its event waits for a commit, which can take seconds, without it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def let_go(self) -> None:
        """Drop the body. A second call does nothing."""
        self.data = b""

    def replace(self, data: bytes) -> None:
        """Hold the decompressed body instead. Raises StoreUnavailable if there is no room for it."""
        self.data = data


class ArrivingBody(HeldBody):
    """A body that arrives, and counts from then on until it is let go.

    `thread` is the thread that reads it. `interrupt` stops the reading from any thread; None if nothing can.
    """

    __slots__ = ("_bodies", "counted", "deadline", "interrupt", "is_arriving", "refusal", "thread")

    def __init__(self, bodies: Bodies, deadline: float, interrupt: Callable[[], object] | None) -> None:
        self.data = b""
        self._bodies = bodies
        self.is_arriving = True
        self.thread = threading.get_ident()
        self.deadline = deadline
        self.interrupt = interrupt
        self.counted = 0
        self.refusal: RequestRefused | None = None

    def let_go(self) -> None:
        """Drop the body and make room for others. A second call does nothing."""
        self.data = b""
        if self.is_arriving:
            self._bodies.finish(self)
        if self.counted:
            self._bodies.uncount(self)

    def replace(self, data: bytes) -> None:
        """Hold the decompressed body instead, and count it. Raises StoreUnavailable if there is no room for it."""
        if len(data) > SMALL_BYTES:
            self._bodies.recount(self, len(data))
        self.data = data


class Bodies:
    """Counts the bytes of the bodies that arrive or are checked in this process, and cuts off those that take too long.

    Args:
        settings: how many bytes may be held, and how long a body may take.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_bytes = max(settings.body_bytes, settings.max_body_bytes + SMALL_BYTES)  # there is room for one body
        self._wait_s = settings.body_wait_s
        self.cut_thread: Callable[[ArrivingBody], None] | None = None
        """Called with a body that is cut off while a thread reads it. None: the server has no way to stop a thread's reading."""
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the bodies that the parent reads."""
        self._lock = threading.Lock()
        self._arriving: dict[int, ArrivingBody] = {}
        self._bytes = 0

    def begin(self, interrupt: Callable[[], object] | None = None) -> ArrivingBody:
        """Begin to read a body."""
        body = ArrivingBody(self, time.monotonic() + self._wait_s, interrupt)
        self._arriving[id(body)] = body
        return body

    def count(self, body: ArrivingBody, size: int) -> None:
        """Count more bytes of a body that arrives.

        Raises:
            RequestRefused: the body takes too long (408), or there is no room for it (503).
        """
        if body.refusal is None and time.monotonic() > body.deadline:
            self._refuse(body, late=True)
        with self._lock:
            if body.refusal is None:
                body.counted += size
                self._bytes += size
                while self._bytes > self._most_bytes and body.refusal is None:
                    self._make_room(body)
        if body.refusal is not None:
            raise body.refusal

    def finish(self, body: ArrivingBody) -> None:
        """Note that a body is read, to its end or not."""
        self._arriving.pop(id(body), None)

    def check(self, body: ArrivingBody) -> None:
        """Note that a body is read to its end; raise RequestRefused if it was cut off before."""
        body.is_arriving = False
        if self._arriving.pop(id(body), None) is None and body.refusal is not None:
            raise body.refusal

    def uncount(self, body: ArrivingBody) -> None:
        """Make room for others, because this body is let go."""
        with self._lock:
            self._bytes -= body.counted
            body.counted = 0

    def recount(self, body: ArrivingBody, size: int) -> None:
        """Count a body that has been read by its decompressed size. Raises StoreUnavailable if there is no room for it."""
        with self._lock:
            if self._bytes - body.counted + size > self._most_bytes:
                raise StoreUnavailable(NO_ROOM)
            self._bytes += size - body.counted
            body.counted = size

    def cut_overdue(self, most: int) -> None:
        """Cut off the bodies that take too long, and the oldest ones if more than `most` arrive at once."""
        now = time.monotonic()
        oldest_first = list(self._arriving.values())
        surplus = len(oldest_first) - most
        for place, body in enumerate(oldest_first):
            late = now > body.deadline
            if not late and (place >= surplus or not self._is_old(body, now)):
                break
            if self._refuse(body, late=late):
                self._interrupt(body)

    def _make_room(self, newest: ArrivingBody) -> None:
        """Cut off the body that has been arriving longest, or refuse the newest one. The caller holds the lock."""
        now = time.monotonic()
        for body in list(self._arriving.values()):
            if not self._is_old(body, now):
                break
            if body.counted and (body is newest or self._can_interrupt(body)) and self._refuse(body, late=False):
                self._bytes -= body.counted
                body.counted = 0
                if body is not newest:
                    self._interrupt(body)
                return
        self._refuse(newest, late=False)
        self._bytes -= newest.counted
        newest.counted = 0

    def _is_old(self, body: ArrivingBody, now: float) -> bool:
        return now > body.deadline - self._wait_s + PATIENCE_S

    def _refuse(self, body: ArrivingBody, *, late: bool) -> bool:
        """Set why a body is refused. Return False if it has been read meanwhile."""
        refusal = refuse_late() if late else StoreUnavailable(NO_ROOM)
        body.refusal = refusal  # before the pop: check() reads it after its own pop
        return self._arriving.pop(id(body), None) is not None

    def _can_interrupt(self, body: ArrivingBody) -> bool:
        return body.interrupt is not None or self.cut_thread is not None

    def _interrupt(self, body: ArrivingBody) -> None:
        if body.interrupt is not None:
            body.interrupt()
        elif self.cut_thread is not None:
            self.cut_thread(body)


class Turns:
    """Has large bodies decoded and checked one after the other, because a decoded body may take 25 times its size in memory.

    Threads would do it no faster at the same time: the interpreter runs one of them. A body keeps its turn while it pauses.
    """

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the turns of the parent's threads."""
        self._lock = threading.RLock()  # the garbage collector may close waiting steps while this thread holds it
        self._is_taken = False
        self._waiting: deque[Future[None]] = deque()

    def take(self, body: HeldBody, steps: Steps[T], small_bytes: int = SMALL_BYTES) -> Steps[T]:
        """Return the steps that handle a body so that they run in turn. While they wait, others have their turn.

        Args:
            body: the body.
            steps: the steps.
            small_bytes: the size up to which a body needs no turn.
        """
        return steps if len(body.data) <= small_bytes else self._run_in_turn(steps)

    def _run_in_turn(self, steps: Steps[T]) -> Steps[T]:
        step: Callable[[Any], Wait] = steps.send
        value: Any = None
        try:
            while True:
                yield from self._begin()
                try:
                    while (wait := step(value)) is OTHERS_FIRST:
                        yield OTHERS_FIRST
                        step, value = steps.send, None
                finally:
                    self._end()
                try:
                    value, step = (yield wait), steps.send
                except Exception as error:
                    value, step = error, steps.throw
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    def _begin(self) -> Steps[None]:
        """Wait for the turn."""
        if self._take():
            return
        turn: Future[None] = Future()
        with self._lock:
            if self._take():
                return
            self._waiting.append(turn)
        try:
            yield turn
        except BaseException:  # the request is canceled
            self._leave(turn)
            raise

    def _take(self) -> bool:
        with self._lock:
            is_free = not self._is_taken
            self._is_taken = True
        return is_free

    def _leave(self, turn: Future[None]) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        self._end()

    def _end(self) -> None:
        """Give the turn to the body that has waited longest."""
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            self._is_taken = following is not None
        if following is not None:
            following.set_result(None)


def refuse_late() -> RequestRefused:
    """Return the refusal of a body that did not arrive in time (code 408)."""
    status, failure = common_error(408)
    return RequestRefused(status, [failure])
