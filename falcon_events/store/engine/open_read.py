"""A read that has been asked for, and how to interrupt it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from falcon_events.errors import StoreUnavailable

INTERRUPT_INTERVAL_S = 0.05
"""How often a read is interrupted until it ends, in seconds: it may be between two statements, where an interrupt is lost."""


class ReadInterrupted(StoreUnavailable):
    """A read was ended, because nobody waits for it, or its database is closed, to be opened again or for good."""

    def __init__(self) -> None:
        super().__init__("The read was ended, because the process that asked for it has left, or the store closes its file.")


class OpenRead:
    """A read that has been asked for and has not ended, and how to interrupt it."""

    def __init__(self, *, slow: bool) -> None:
        self.slow = slow
        self.done = threading.Event()
        """Set when the read has ended."""
        self._lock = threading.Lock()
        self._stop: Callable[[], object] | None = None
        self._interrupted = False

    @contextlib.contextmanager
    def running(self, stop: Callable[[], object]) -> Iterator[None]:
        """Have interrupt() call `stop` meanwhile. Raises ReadInterrupted if the read has been interrupted already."""
        with self._lock:
            if self._interrupted:
                raise ReadInterrupted
            self._stop = stop
        try:
            yield
        finally:
            with self._lock:
                self._stop = None

    @property
    def interrupted(self) -> bool:
        """Whether the read has been interrupted."""
        return self._interrupted

    def interrupt(self) -> None:
        """Interrupt the read if it is running, and keep it from running otherwise."""
        with self._lock:
            self._interrupted = True
            if self._stop is not None:
                self._stop()

    def interrupt_until_done(self) -> None:
        """Interrupt the read until it has ended."""
        while True:
            self.interrupt()
            if self.done.wait(INTERRUPT_INTERVAL_S):
                return
