"""What granian leaves to its application: an end after SIGTERM, a core for each worker, connections closed unread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from falcon_events.http.demo import streams_end
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

WSGI_PATIENCE_S = 2.0
"""How long granian may take to end by itself after SIGTERM."""
WSGI_GRACE_S = 10
"""How long requests may then still take."""


class UnderGranian:
    """A WSGI application that makes up for what granian does not do.

    After SIGTERM the process ends also where clients never stop sending: granian closes no connection that is in use. So
    after a while the tracker is closed, which answers 503 from then on, and the process ends when no request is under way.

    Threads that answer requests keep to one core. They take turns anyway, at the interpreter's lock, and a turn that
    passes between cores costs more than a request's own work.
    """

    def __init__(self, app: WSGIApplication, tracking: EventTracking) -> None:
        self._app = app
        self._tracking = tracking
        self._under_way: set[int] = set()  # threads; without a lock, as many of them would wait for it
        self._kept: set[int] = set()
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._core = cores[_number_of_worker() % len(cores)] if cores else None
        signals, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        threading.Thread(target=self._end, args=(signals,), name="falcon-events-ending", daemon=True).start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a request, on this worker's core."""
        thread = threading.get_ident()
        if self._core is not None and thread not in self._kept:
            os.sched_setaffinity(0, {self._core})  # 0 is the calling thread
            self._kept.add(thread)
        self._under_way.add(thread)
        try:
            return self._app(environ, partial(_closing_unread, start_response))
        finally:
            self._under_way.discard(thread)

    def _end(self, signals: int) -> None:
        while signal.SIGTERM not in os.read(signals, 64):
            pass
        streams_end.set()
        time.sleep(WSGI_PATIENCE_S)
        self._tracking.close()
        deadline = time.monotonic() + WSGI_GRACE_S
        while self._under_way and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # the last answers are on their way out of the server's own buffers
        os._exit(0)


def _number_of_worker() -> int:
    """Which of its server's processes this is, counted from 1 where the server tells; workers shall not share a core."""
    identity: tuple[int, ...] = getattr(multiprocessing.current_process(), "_identity", ())
    return identity[-1] if identity else os.getpid()


def _closing_unread(start_response: StartResponse, status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
    """Granian closes a connection whose request's body was not read, and does not always say so."""
    if status.startswith("413"):
        headers = [*headers, ("Connection", "close")]
    return start_response(status, headers, *error)
