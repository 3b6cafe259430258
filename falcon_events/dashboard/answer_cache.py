"""Answers that a page shows again within some seconds."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

MAX_AGE_S = 10.0
"""How long an answer is shown again, in seconds. The page says how old it is."""
MAX_BYTES = 8 * 2**20
"""How much memory the answers may take."""


class CachedAnswer(msgspec.Struct, frozen=True):
    """An answer as JSON, and when it was given, in seconds of the cache's clock."""

    body: bytes
    given_at: float


class AnswerCache:
    """Answers of the last MAX_AGE_S seconds, by list, question and arguments.

    Args:
        clock: returns a time in seconds that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: OrderedDict[bytes, CachedAnswer] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()

    def find(self, key: bytes) -> tuple[bytes, float] | None:
        """Return an answer and its age in seconds, or None if there is none that is young enough."""
        found = self._answers.get(key)
        if found is None or (age_s := self._clock() - found.given_at) > MAX_AGE_S:
            return None
        return found.body, age_s

    def keep(self, key: bytes, body: bytes) -> None:
        """Keep an answer. The oldest ones are dropped when there are too many."""
        with self._changing:
            self._drop(key)
            self._answers[key] = CachedAnswer(body, self._clock())
            self._bytes += len(key) + len(body)
            oldest = self._clock() - MAX_AGE_S
            while self._answers and (self._bytes > MAX_BYTES or next(iter(self._answers.values())).given_at < oldest):
                self._drop(next(iter(self._answers)))

    def clear(self) -> None:
        """Forget every answer, as after a change of what is stored."""
        with self._changing:
            self._answers.clear()
            self._bytes = 0

    def _drop(self, key: bytes) -> None:
        if (found := self._answers.pop(key, None)) is not None:
            self._bytes -= len(key) + len(found.body)


def make_key(list_id: int, question: str, arguments: dict[str, Any]) -> bytes:
    """Return the key under which the answer to a question is kept."""
    return msgspec.json.encode([list_id, question, arguments], order="deterministic")
