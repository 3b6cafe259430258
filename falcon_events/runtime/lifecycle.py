"""The fork and the end of a process: a child starts anew what its parent had started, and nothing is left open at exit."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, Protocol

logger = logging.getLogger("falcon_events")

LEAVE_S = 15.0
"""How long close() waits for the owner to let go, which may checkpoint first, or hang with its disk: with the default of
commit_wait_s that is less than the 30 s after which process managers kill."""


class Part(Protocol):
    """Something with threads, locks or connections of its process."""

    def forked(self) -> None:
        """Forgets them, in a child in which they do not work."""

    def close(self) -> None:
        """Ends them; does nothing the second time."""


unforked = threading.RLock()
"""Held while a fork would copy something that must not be copied; a fork waits for it."""

_alive: weakref.WeakSet[Part] = weakref.WeakSet()
_kept: dict[Part, Any] = {}
"""Parts that live until their work is done; in a child of multiprocessing with what closes them at its end."""


def mind(part: Part) -> None:
    """Has `forked` called in every child that this process forks and `close` at its end, as long as the part lives."""
    with unforked:
        _alive.add(part)


def keep(part: Part) -> None:
    """Has a part live until let_go(), whoever else forgets it, and closed also where a process ends without atexit."""
    if part not in _kept:
        _kept[part] = _finalizer(part)


def let_go(part: Part) -> None:
    """Ends what keep() began: the part has nothing to do at the end."""
    finalizer = _kept.pop(part, None)
    if finalizer is not None:
        finalizer.cancel()


def join(listening: threading.Thread, path: Path) -> None:
    """Waits at a close() for the end of what listens to the store's owner, but not for ever.

    Args:
        listening: the thread, a daemon.
        path: the store.
    """
    listening.join(LEAVE_S)
    if listening.is_alive():
        logger.warning("The owner of %s has not let go of it in %.0f s, and is left to do so by itself.", path, LEAVE_S)


def _finalizer(part: Part) -> Any:
    """What closes a part at the end of a child of multiprocessing, which ends without atexit; None in other processes."""
    process = sys.modules.get("multiprocessing.process")  # no such child is without it
    if process is None or process.parent_process() is None:
        return None
    from multiprocessing import util

    return util.Finalize(None, part.close, exitpriority=100)


def _in_child() -> None:
    unforked.release()
    for part in list(_alive):
        part.forked()
    _kept.clear()


def _at_exit() -> None:
    for part in list(_alive):
        try:
            part.close()
        except Exception:  # the others are closed all the same
            logger.exception("%s could not be closed", type(part).__name__)


atexit.register(_at_exit)
os.register_at_fork(before=unforked.acquire, after_in_parent=unforked.release, after_in_child=_in_child)
