"""Results to come, for the threads and callbacks that wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turnstile:
    """Where threads wait for results that come together.

    It opens once all have come. Whoever passes lets the next one through: woken all at once, the threads would stand in
    each other's way at the interpreter's lock.
    """

    __slots__ = ("_lock", "left")

    def __init__(self) -> None:
        self.left = 0
        """How many results are still to come; no more are added once the first of them has come."""
        self._lock = threading.Lock()
        self._lock.acquire()

    def arrived(self) -> None:
        """Counts a result; the last one opens the turnstile."""
        self.left -= 1
        if self.left == 0:
            self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Waits, at most `timeout` seconds, until the turnstile is open; whether it is."""
        if timeout is None:
            with self._lock:
                return True
        if passed := self._lock.acquire(timeout=timeout):
            self._lock.release()
        return passed


class Pending(Generic[T]):
    """A result to come: what a Future does, in less time; nobody can cancel it under the thread that works on it.

    Args:
        turnstile: where threads wait for it.
    """

    __slots__ = ("_callbacks", "_done", "_error", "_turnstile", "_value")

    _value: T

    def __init__(self, turnstile: Turnstile) -> None:
        self._done = False
        self._error: Exception | None = None
        self._callbacks: list[Callable[[Pending[T]], object]] = []
        self._turnstile = turnstile
        turnstile.left += 1

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

    def result(self, timeout: float | None = None) -> T:
        """The result, or its error raised, once there is one.

        Args:
            timeout: how long to wait, in seconds; None for ever.

        Raises:
            TimeoutError: there is none yet.
        """
        if (error := self.exception(timeout)) is not None:
            raise error
        return self._value

    def exception(self, timeout: float | None = None) -> Exception | None:
        """The error, or None where there is a result; waits as result() does."""
        if not self._done and not self._turnstile.wait(timeout):
            raise TimeoutError
        return self._error

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Calls back once there is a result or an error, in the thread that gives it, or in this one where it is there."""
        self._callbacks.append(callback)
        if self._done:
            self._call_back()

    def _finish(self) -> None:
        self._done = True
        self._turnstile.arrived()
        self._call_back()

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:  # the other thread was first
                return
            callback(self)
