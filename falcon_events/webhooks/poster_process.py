"""Handle of the poster process in the store's owner: it starts the process with the first job, and again if it has died."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from concurrent.futures import Future

import msgspec

from falcon_events.runtime.environment import mark
from falcon_events.webhooks.poster_messages import Job, JobOutcome, Stop, decode_outcome, encode, read_frame, write_frame

_BOOTSTRAP = """
import json, sys
start = json.loads(sys.stdin.buffer.readline())
sys.path[:] = start["sys_path"]
from falcon_events.webhooks.poster_main import main
main(start)
"""


class PosterProcess:
    """Child process that posts events. It ends with its parent, even if that is killed.

    Args:
        agent: the User-Agent sent to receivers.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._jobs: dict[int, Future[JobOutcome | None]] = {}
        self._number = 0
        self._closed = False

    def start(self, job: Job) -> tuple[int, Future[JobOutcome | None]]:
        """Send a job to the process, starting the process if necessary.

        Returns:
            The number of the job, and a future of its outcome. None: the process ended before it sent one.

        Raises:
            OSError: the process cannot be started.
        """
        future: Future[JobOutcome | None] = Future()
        with self._lock:
            self._number += 1
            if self._closed:
                future.set_result(None)
                return self._number, future
            if self._child is None:
                self._child = self._launch()
            self._jobs[self._number] = future
            self._send(msgspec.structs.replace(job, number=self._number))
            return self._number, future

    def stop(self, number: int) -> None:
        """Stop a job: no further event of it is posted, and its outcome arrives soon."""
        with self._lock:
            if number in self._jobs:
                self._send(Stop(number))

    def kill(self) -> None:
        """Kill a process that does not answer. The next job starts another one."""
        if (child := self._child) is not None:
            child.kill()

    def close(self) -> None:
        """Kill the process. Later calls do nothing."""
        self._closed = True  # without the lock, which a thread holds while it writes to a suspended process
        child = self._child
        if child is not None:
            child.kill()
            child.wait()

    def _launch(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", mark(_BOOTSTRAP)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        assert child.stdin is not None
        with contextlib.suppress(OSError):  # if the process has ended, _listen() notices
            child.stdin.write(json.dumps({"sys_path": sys.path, "agent": self._agent}).encode() + b"\n")
        threading.Thread(target=self._listen, args=(child,), name="falcon-events-poster", daemon=True).start()
        return child

    def _send(self, order: Job | Stop) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # if the process has ended, _listen() notices
            write_frame(self._child.stdin, encode(order))  # type: ignore[arg-type]

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout as source:
            while (frame := read_frame(source)) is not None:  # type: ignore[arg-type]
                outcome = decode_outcome(frame)
                if (future := self._jobs.pop(outcome.number, None)) is not None:
                    future.set_result(outcome)
        child.wait()
        with self._lock:
            self._child = None
            lost = list(self._jobs.values())
            self._jobs.clear()
        for future in lost:
            future.set_result(None)
