"""Pending results: what a thread or a callback waits for until another thread sets the result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turnstile:
    """A lock that releases waiting threads one after the other, once all of a group of results are set.

    The name is that of the semaphore pattern: each thread that passes wakes the next one. If all woke at once, they would
    compete for the interpreter's lock.
    """

    __slots__ = ("_lock", "left")

    def __init__(self) -> None:
        self.left = 0
        """How many results are not set yet. None is added after the first one is set."""
        self._lock = threading.Lock()
        self._lock.acquire()

    def count_down(self) -> None:
        """Count a result that was set. The last one opens the turnstile."""
        self.left -= 1
        if self.left == 0:
            self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait until the turnstile is open, at most `timeout` seconds; return whether it is open."""
        if timeout is None:
            with self._lock:
                return True
        if passed := self._lock.acquire(timeout=timeout):
            self._lock.release()
        return passed


class Pending(Generic[T]):
    """A result that is set later. It does what a Future does in less time, and cannot be canceled.

    Args:
        turnstile: releases the threads that wait for the result.
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
        """Set the result. Either this or set_exception() is called, and only once."""
        self._value = value
        self._finish()

    def set_exception(self, error: Exception) -> None:
        """Set the error that is raised instead of returning a result."""
        self._error = error
        self._finish()

    def done(self) -> bool:
        """Return whether a result or an error is set."""
        return self._done

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result and return it, or raise the error that was set instead.

        Args:
            timeout: how long to wait, in seconds; None: without limit.

        Raises:
            TimeoutError: neither was set in time.
        """
        if (error := self.exception(timeout)) is not None:
            raise error
        return self._value

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Wait as result() does; return the error, or None if there is a result."""
        if not self._done and not self._turnstile.wait(timeout):
            raise TimeoutError
        return self._error

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call `callback` once a result or an error is set: in the thread that sets it, or here if it is set already."""
        self._callbacks.append(callback)
        if self._done:
            self._run_callbacks()

    def _finish(self) -> None:
        self._done = True
        self._turnstile.count_down()
        self._run_callbacks()

    def _run_callbacks(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:  # another thread took the last one
                return
            callback(self)
