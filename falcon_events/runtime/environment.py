"""Checks of the process that the package runs in: whether it is frozen, and whether gevent has patched it."""

from __future__ import annotations

import sys
from typing import Any

from falcon_events.errors import StoreError

_MARK = "# falcon-events"
"""The first line of code that another process of this package runs."""


def freeze_support() -> None:
    """Run a process of the store in a frozen program (PyInstaller). Call it first in the main module.

    A frozen program has no Python interpreter beside it, so the store's owner process is the program itself, started with
    special arguments. In such a process this call does not return. In all others it does nothing.
    """
    global _is_supported  # of the process, like sys.frozen
    _is_supported = True
    if sys.argv[1:2] == ["-c"] and len(sys.argv) == 3 and sys.argv[2].startswith(_MARK):
        exec(sys.argv[2], {"__name__": "__main__"})
        sys.exit(0)


def mark(code: str) -> str:
    """Mark code that a process of this package runs, for freeze_support()."""
    return f"{_MARK}\n{code}"


def check_environment() -> None:
    """Check that this process can start an owner process, and use threads.

    Raises:
        StoreError: it cannot; the message says what to do.
    """
    if getattr(sys, "frozen", False) and not _is_supported:
        raise StoreError(
            "This is a frozen program, which would start itself as the store's owner process. Call "
            "falcon_events.freeze_support() first in its main module."
        )
    if _has_patched_threads() and not _was_patched:
        raise StoreError(
            "gevent has patched the standard library after falcon_events was imported, so its threads would hang. Put "
            "`from gevent import monkey; monkey.patch_all()` before all other imports; for gunicorn with --preload, first in "
            "gunicorn.conf.py."
        )


def _has_patched_threads() -> bool:
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


_is_supported = False
_was_patched = _has_patched_threads()
