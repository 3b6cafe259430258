"""What the executable runs, once it is unpacked: the command, one of a server's workers, or another process of the package's."""

import contextlib
import fcntl
import multiprocessing
import os
import sys
from pathlib import Path


def run() -> None:
    """Which one it is, the arguments say."""
    # As long as this process lives, nobody takes its folder for one that is no longer used (see launcher.c).
    folder = os.open(Path(sys.executable).parent, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    multiprocessing.freeze_support()  # does not return in a worker
    if sys.argv[1:2] == ["-c"] and len(sys.argv) == 3:  # as Python's command, which sys.executable is elsewhere
        exec(sys.argv[2], {"__name__": "__main__"})
        return
    from falcon_events.cli import main

    main()


if __name__ == "__main__":
    run()
