"""The posting process, as the owner of a store sees it: started with the first job, and anew where it has died."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from concurrent.futures import Future

import msgspec

from falcon_events.webhooks.poster_messages import Job, Outcome, Stop, decode_outcome, encode, read_frame, write_frame

_BOOTSTRAP = """
import json, sys
start = json.loads(sys.stdin.buffer.readline())
sys.path[:] = start["sys_path"]
from falcon_events.webhooks.poster_main import main
main(start)
"""


class PostingProcess:
    """A child of the owner's that ends with it, however that ends.

    Args:
        agent: what names us to receivers.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._jobs: dict[int, Future[Outcome | None]] = {}
        self._number = 0
        self._closed = False

    def start(self, job: Job) -> tuple[int, Future[Outcome | None]]:
        """Hands a job over; its number, and its outcome to come: None where the process has died over it.

        Raises:
            OSError: no process can be started.
        """
        future: Future[Outcome | None] = Future()
        with self._lock:
            self._number += 1
            if self._closed:
                future.set_result(None)
                return self._number, future
            if self._child is None:
                self._child = self._started()
            self._jobs[self._number] = future
            self._send(msgspec.structs.replace(job, number=self._number))
            return self._number, future

    def stop(self, number: int) -> None:
        """Lets nothing more of a job go out; its outcome comes soon."""
        with self._lock:
            if number in self._jobs:
                self._send(Stop(number))

    def give_up(self) -> None:
        """Ends a process that does not do what it should; the next job starts another."""
        if (child := self._child) is not None:
            child.kill()

    def close(self) -> None:
        """Ends the process at once; does nothing the second time."""
        self._closed = True  # without the lock, which whoever writes to a process that is stopped holds
        child = self._child
        if child is not None:
            child.kill()
            child.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        assert child.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which the listener finds out
            child.stdin.write(json.dumps({"sys_path": sys.path, "agent": self._agent}).encode() + b"\n")
        threading.Thread(target=self._listen, args=(child,), name="falcon-events-posting", daemon=True).start()
        return child

    def _send(self, order: Job | Stop) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # it has died, which the listener finds out
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
