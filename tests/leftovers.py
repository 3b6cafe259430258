"""Processes that a run of the tests has left behind: found by a mark that they inherit, ended, and named.

Every process of a run has its mark in the environment that it was started with. Processes that were started with an empty
environment are found by their root folder, working folder, program or arguments, where one is below the run's temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "TEST_RUN_MARK"
"""The variable with the mark. A run inside a test extends the mark of the outer run, which thus finds its processes as well."""
PATIENCE_S = float(os.environ.get("LEFTOVERS_PATIENCE_S", "60"))
"""How long processes may take to end by themselves: a store's owner waits for its clients' successors."""


@dataclass(frozen=True)
class Leftover:
    """A process."""

    pid: int
    command: str
    test: str
    """The test that was running when it was started, as far as its environment says so."""

    def __str__(self) -> str:
        return f"process {self.pid}: {self.command}" + (f"\n    started in {self.test}" if self.test else "")


def mark_run() -> str:
    """Mark this process, and with it those that it will start; return the mark."""
    os.environ[VARIABLE] = "/".join(filter(None, [os.environ.get(VARIABLE), uuid.uuid4().hex]))
    return os.environ[VARIABLE]


def of_run(mark: str, folder: Path, since: float) -> Iterator[Leftover]:
    """Find the processes of a run, other than this one and those above it.

    Args:
        mark: the run's mark.
        folder: the run's temporary folder.
        since: when the run began, in seconds since the system's start; older processes are not the run's.
    """
    own = set(_above(os.getpid()))
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        with contextlib.suppress(OSError, ValueError):
            state, _, began = _stat(pid)
            if pid in own or state in "ZX" or began < since:
                continue
            arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            environment = _environment(process)
            if mark in environment.get(VARIABLE, "") or _is_in(process, folder) or str(folder) in arguments:
                yield Leftover(pid, arguments[:300], environment.get("PYTEST_CURRENT_TEST", ""))


def end(mark: str, folder: Path, since: float) -> list[Leftover]:
    """Wait until the processes of a run have ended by themselves; kill and return those that have not."""
    deadline = time.monotonic() + PATIENCE_S
    while found := list(of_run(mark, folder, since)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    named: dict[int, Leftover] = {}
    while found:  # until they have ended, and nothing has been started meanwhile
        named |= {leftover.pid: leftover for leftover in found}
        for leftover in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(leftover.pid, signal.SIGKILL)
        time.sleep(0.1)
        found = [leftover for leftover in of_run(mark, folder, since) if time.monotonic() < deadline + PATIENCE_S + 10]
    return list(named.values())


def now() -> float:
    """Seconds since the system's start, as /proc has the times at which processes began."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - 1 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> tuple[str, int, float]:
    """State, parent, and when a process began, in seconds since the system's start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _above(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = _stat(pid)[1]


def _environment(process: Path) -> dict[str, str]:
    try:
        text = (process / "environ").read_bytes().decode(errors="replace")
    except OSError:  # another user's
        return {}
    return dict(line.partition("=")[::2] for line in text.split("\0") if line)  # type: ignore[misc]


def _is_in(process: Path, folder: Path) -> bool:
    for name in ("root", "cwd", "exe"):
        with contextlib.suppress(OSError):
            if (process / name).readlink().is_relative_to(folder):
                return True
    return False
