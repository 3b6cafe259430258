"""Temporary stores: what a process uses in place of its stores while the setting `temporary_store` is on."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from falcon_events.runtime.lifecycle import close_all

_folders: dict[Path, Path] = {}
"""The folder of the temporary store by the path of the store that it stands in for, one for all trackers of a process."""


def find_temporary(db: str | Path) -> Path:
    """Return the path of the temporary store that stands in for a store. It is deleted when the process ends.

    Args:
        db: the path of the store that is not to be touched.
    """
    path = Path(db).absolute()
    if path not in _folders:
        folder = Path(tempfile.mkdtemp(prefix="falcon-events-test-"))
        _folders[path] = folder
        atexit.register(_remove, folder, os.getpid())
    return _folders[path] / path.name


def _remove(folder: Path, creator: int) -> None:
    """Remove the folder in the process that has created it, once nothing uses it; a forked child shares it."""
    if os.getpid() == creator:
        close_all()
        shutil.rmtree(folder, ignore_errors=True)
