"""A result to come, for the thread or the callback that waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """A result to come: what a Future does, in a third of its time; nobody can cancel it under the thread that works on it."""

    __slots__ = ("_callbacks", "_done", "_error", "_finished", "_value")

    _value: T

    def __init__(self) -> None:
        self._done = False
        self._error: Exception | None = None
        self._callbacks: list[Callable[[Pending[T]], object]] = []
        self._finished = threading.Lock()
        self._finished.acquire()

    def set_result(self, value: T) -> None:
        """Gives the result; it or set_exception() is called once."""
        self._value = value
        self._finish()

    def set_exception(self, error: Exception) -> None:
        """Gives the error that there is instead of a result."""
        self._error = error
        self._finish()

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done

    def result(self, timeout: float = -1) -> T:
        """The result, or its error raised, once there is one.

        Args:
            timeout: how long to wait, in seconds; -1 for ever.

        Raises:
            TimeoutError: there is none yet.
        """
        if (error := self.exception(timeout)) is not None:
            raise error
        return self._value

    def exception(self, timeout: float = -1) -> Exception | None:
        """The error, or None where there is a result; waits as result() does."""
        if not self._finished.acquire(timeout=timeout):
            raise TimeoutError
        self._finished.release()
        return self._error

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Calls back once there is a result or an error, in the thread that gives it, or in this one where it is there."""
        self._callbacks.append(callback)
        if self._done:
            self._call_back()

    def _finish(self) -> None:
        self._done = True
        self._finished.release()
        self._call_back()

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:  # the other thread was first
                return
            callback(self)
