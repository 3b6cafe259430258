"""Entry point of the unpacked executable: runs the command, a worker of a server, or another process of the package."""

import contextlib
import fcntl
import multiprocessing
import os
import sys
from pathlib import Path


def run() -> None:
    """Run what the arguments select."""
    # This lock marks the folder as used as long as this process lives (see launcher.c).
    folder = os.open(Path(sys.executable).parent, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    multiprocessing.freeze_support()  # does not return in a worker
    # Like `python -c`: the package starts processes with sys.executable, which is this program.
    if sys.argv[1:2] == ["-c"] and len(sys.argv) == 3:
        exec(sys.argv[2], {"__name__": "__main__"})
        return
    from falcon_events.cli import main

    main()


if __name__ == "__main__":
    run()
