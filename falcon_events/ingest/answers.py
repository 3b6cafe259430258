"""Large answers: how many bytes of them may wait for their clients at once, and for how long."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

from falcon_events.settings import Settings

LARGE_BYTES = 256 << 10
"""Answers up to this size are not counted: those to a batch are smaller, unless most of its events are refused."""
PART_BYTES = 64 << 10
NO_ROOM = "Too many large answers wait for their clients. Try again later."


class HeldAnswer:
    """A large answer, which counts until all of its parts are taken, or it is closed. It is an iterable as WSGI expects it."""

    def __init__(self, answers: Answers, body: bytes) -> None:
        self._answers = answers
        self._body = body
        self._at = 0
        self.size = len(body)
        self.moved_at = time.monotonic()
        """When the last part was taken."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part = self._body[self._at : self._at + PART_BYTES]
        if not part:
            self.close()
            raise StopIteration
        self._at += len(part)
        self.moved_at = time.monotonic()
        return part

    def close(self) -> None:
        """Drop what is left, and make room for others. A second call does nothing."""
        self._body = b""
        self._answers.release(self)

    __del__ = close  # for servers that neither take all parts nor close it


class Answers:
    """Counts the bytes of the large answers that this process holds.

    Args:
        settings: how many bytes may be held, and how long a client may take.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_bytes = settings.answer_bytes
        self.wait_s = settings.answer_wait_s
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the answers of the parent."""
        self._lock = threading.RLock()  # the garbage collector may close an answer while this thread holds it
        self._held: weakref.WeakSet[HeldAnswer] = weakref.WeakSet()
        self._bytes = 0

    def hold(self, body: bytes, *, always: bool) -> HeldAnswer | None:
        """Count an answer; None: there is no room for it. There is always room for one.

        Args:
            body: the answer.
            always: whether it is held even if there is no room, because it says what was stored.
        """
        with self._lock:
            if not always and self._bytes and self._bytes + len(body) > self._most_bytes:
                return None
            self._bytes += len(body)
            answer = HeldAnswer(self, body)
            self._held.add(answer)
        return answer

    def release(self, answer: HeldAnswer) -> None:
        """Make room for others. A second call does nothing."""
        with self._lock:
            self._bytes -= answer.size
            answer.size = 0

    def is_stuck(self) -> bool:
        """Return whether a client has taken nothing of its answer for too long."""
        before = time.monotonic() - self.wait_s
        return any(answer.size and answer.moved_at < before for answer in list(self._held))
