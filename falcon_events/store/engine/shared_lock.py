"""A lock that readers share and one thread may hold alone, each for a bounded wait."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class SharedLock:
    """Lock that any number of threads share or one thread holds exclusively. Slow holders can be held back separately."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = self._slow = 0
        self._exclusive = self._without_slow = False

    @contextlib.contextmanager
    def shared(self, *, slow: bool = False) -> Iterator[None]:
        """Hold the lock together with others. Waits while a thread holds or wants it exclusively.

        Args:
            slow: whether the lock may be held for long. Then this waits while a thread is in without_slow(), too.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive and not (slow and self._without_slow))
            self._sharing += 1
            self._slow += slow
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._slow -= slow
                self._changed.notify_all()

    @contextlib.contextmanager
    def without_slow(self, wait_s: float) -> Iterator[None]:
        """Hold back slow holders, once those that hold the lock have released it. Others go on.

        Raises:
            TimeoutError: they have not released it within `wait_s` seconds. They, and those that waited, go on.
        """
        with self._changed:
            deadline = time.monotonic() + wait_s
            self._wait(lambda: not self._without_slow, deadline)
            self._without_slow = True
            try:
                self._wait(lambda: self._slow == 0, deadline)
            except BaseException:
                self._without_slow = False
                self._changed.notify_all()
                raise
        try:
            yield
        finally:
            with self._changed:
                self._without_slow = False
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self, wait_s: float) -> Iterator[None]:
        """Hold the lock alone, once all others have released it.

        Raises:
            TimeoutError: they have not released it within `wait_s` seconds. They, and those that waited, go on.
        """
        with self._changed:
            deadline = time.monotonic() + wait_s
            self._wait(lambda: not self._exclusive, deadline)
            self._exclusive = True
            try:
                self._wait(lambda: self._sharing == 0, deadline)
            except BaseException:
                self._exclusive = False
                self._changed.notify_all()
                raise
        try:
            yield
        finally:
            with self._changed:
                self._exclusive = False
                self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], deadline: float) -> None:
        if not self._changed.wait_for(condition, max(0.0, deadline - time.monotonic())):
            raise TimeoutError("the store's readers have not ended in time")
