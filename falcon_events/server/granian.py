"""Behavior that granian leaves to its application: ending after SIGTERM, one core per worker, closing unread connections."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from falcon_events.http.streams import stop_streams
from falcon_events.server.serve import WSGI_GRACE_S
from falcon_events.server.slow_bodies import SlowBodies
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

WSGI_PATIENCE_S = 2.0
"""How long granian may take to end by itself after SIGTERM, in seconds."""


class GranianApp:
    """A WSGI application that adds what granian does not do.

    After SIGTERM the process ends even if clients never stop sending. granian does not close a connection that is in use. So
    after WSGI_PATIENCE_S the tracker is closed, requests get 503 from then on, and the process ends when no request is in
    progress.

    The threads that handle requests all run on one core. The interpreter's lock lets only one of them run at a time anyway,
    and passing the lock between cores costs more than the work of a request.

    Args:
        app: the application.
        tracking: the application's tracker.
        threads: how many threads handle requests. At most half of them may wait for bodies, so that other requests get one.
    """

    def __init__(self, app: WSGIApplication, tracking: EventTracking, threads: int) -> None:
        self._app = app
        self._tracking = tracking
        self._under_way: set[int] = set()  # threads; without a lock, because all of them would wait for it
        self._pinned: set[int] = set()
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._core = cores[_find_worker_number() % len(cores)] if cores else None
        self._slow_bodies = SlowBodies(tracking.bodies, tracking.answers, threads // 2)
        signals, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        threading.Thread(target=self._end_after_sigterm, args=(signals,), name="falcon-events-ending", daemon=True).start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request on this worker's core."""
        thread = threading.get_ident()
        if self._core is not None and thread not in self._pinned:
            os.sched_setaffinity(0, {self._core})  # 0 is the calling thread
            self._pinned.add(thread)
        self._under_way.add(thread)
        try:
            reply = self._app(environ, partial(_close_unread, start_response))
            if self._slow_bodies.held:
                self._slow_bodies.hold(environ["REMOTE_ADDR"])
            return reply
        finally:
            self._under_way.discard(thread)

    def _end_after_sigterm(self, signals: int) -> None:
        while signal.SIGTERM not in os.read(signals, 64):
            pass
        stop_streams.set()
        time.sleep(WSGI_PATIENCE_S)
        self._tracking.close()
        deadline = time.monotonic() + WSGI_GRACE_S
        while self._under_way and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # until the server has sent the last replies from its own buffers
        os._exit(0)


def _find_worker_number() -> int:
    """Return this worker's number, from 1, or the process id if it has none. Each number gets another core."""
    identity: tuple[int, ...] = getattr(multiprocessing.current_process(), "_identity", ())
    return identity[-1] if identity else os.getpid()


def _close_unread(start_response: StartResponse, status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
    """Add `Connection: close` to 408 and 413: granian closes a connection whose body was not read, but does not always say so."""
    if status.startswith(("408", "413")):
        headers = [*headers, ("Connection", "close")]
    return start_response(status, headers, *error)
