"""Fork and exit of a process: a forked child starts with fresh parts, and every part is closed at exit."""

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
"""How long close() waits for the owner to release the file, in seconds. The owner may checkpoint first, or its disk may hang.
With the default of commit_wait_s this is less than the 30 s after which process managers kill a process."""


class Part(Protocol):
    """An object with threads, locks or connections that work in one process only."""

    def reset_after_fork(self) -> None:
        """Drop the parent's threads, locks and connections, which do not work in a forked child."""

    def close(self) -> None:
        """End threads and connections. A second call does nothing."""


fork_lock = threading.RLock()
"""Held during work that a fork must not copy half-done. A fork waits for it."""

_alive: weakref.WeakSet[Part] = weakref.WeakSet()
_kept: dict[Part, Any] = {}
"""Parts that stay alive until their work is done. The value is the finalizer that closes a part in a multiprocessing child."""


def register(part: Part) -> None:
    """Have `reset_after_fork` called in every child that this process forks, and `close` at exit, while the part is alive."""
    with fork_lock:
        _alive.add(part)


def keep_alive(part: Part) -> None:
    """Hold a reference to a part until release(), and have it closed also in a process that ends without atexit."""
    if part not in _kept:
        _kept[part] = _make_finalizer(part)


def release(part: Part) -> None:
    """Drop the reference that keep_alive() holds: the part has no work left to finish at exit."""
    finalizer = _kept.pop(part, None)
    if finalizer is not None:
        finalizer.cancel()


def join_thread(thread: threading.Thread, path: Path) -> None:
    """Wait at most LEAVE_S seconds for the thread that reads from the owner to end.

    Args:
        thread: the thread, a daemon.
        path: the store's file.
    """
    thread.join(LEAVE_S)
    if thread.is_alive():
        logger.warning("The owner of %s did not release the file within %.0f s; it finishes in the background.", path, LEAVE_S)


def _make_finalizer(part: Part) -> Any:
    """Return what closes a part at the end of a multiprocessing child, which ends without atexit; None in other processes."""
    process = sys.modules.get("multiprocessing.process")  # loaded in every such child
    if process is None or process.parent_process() is None:
        return None
    from multiprocessing import util

    return util.Finalize(None, part.close, exitpriority=100)


def _reset_child() -> None:
    fork_lock.release()
    for part in list(_alive):
        part.reset_after_fork()
    _kept.clear()


def close_all() -> None:
    """Close every part of this process, at its exit."""
    for part in list(_alive):
        try:
            part.close()
        except Exception:  # close the others all the same
            logger.exception("%s could not be closed at exit", type(part).__name__)


atexit.register(close_all)
os.register_at_fork(before=fork_lock.acquire, after_in_parent=fork_lock.release, after_in_child=_reset_child)
