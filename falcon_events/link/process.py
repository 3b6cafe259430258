"""The fork and the end of a process: a child starts anew what its parent had started, and nothing is left open at exit."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import Protocol


class Part(Protocol):
    """Something with threads, locks or connections of its process."""

    def forked(self) -> None:
        """Forgets them, in a child in which they do not work."""

    def close(self) -> None:
        """Ends them; does nothing the second time."""


unforked = threading.RLock()
"""Held while a fork would copy something that must not be copied; a fork waits for it."""

_alive: weakref.WeakSet[Part] = weakref.WeakSet()


def mind(part: Part) -> None:
    """Has `forked` called in every child that this process forks and `close` at its end, as long as the part lives."""
    with unforked:
        _alive.add(part)


def _in_child() -> None:
    unforked.release()
    for part in list(_alive):
        part.forked()


def _at_exit() -> None:
    for part in list(_alive):
        part.close()


atexit.register(_at_exit)
os.register_at_fork(before=unforked.acquire, after_in_parent=unforked.release, after_in_child=_in_child)
