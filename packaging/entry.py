"""Entry point of the unpacked executable: runs the command, a worker of a server, or another process of the package."""

import contextlib
import fcntl
import multiprocessing
import os
import sys
from pathlib import Path

from falcon_events.runtime.environment import freeze_support


def run() -> None:
    """Run what the arguments select."""
    # This lock marks the folder as used as long as this process lives (see launcher.c).
    folder = os.open(Path(sys.executable).parent, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    freeze_support()  # does not return in another process of the package
    multiprocessing.freeze_support()  # nor in a worker, which starts such processes, too
    from falcon_events.cli import main

    main()


if __name__ == "__main__":
    run()
