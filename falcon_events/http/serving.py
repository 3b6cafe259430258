"""The standalone server: granian for ASGI and for WSGI, in front of one store."""

from __future__ import annotations

import errno
import gc
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import util
from typing import Any, Literal

from granian import Granian
from granian.constants import Interfaces

from falcon_events.errors import EventsError
from falcon_events.http.asgi import asgi_app
from falcon_events.http.wsgi import wsgi_app
from falcon_events.tracking import EventTracking

Interface = Literal["asgi", "wsgi"]

WSGI_THREADS = 128
"""As many requests can wait for one commit; a thread that waits costs little."""
ORPHAN_EXIT_S = 5.0


def serve(
    db: str, host: str, port: int, interface: Interface, log_requests: bool, load: Callable[..., Any] | None = None
) -> None:
    """Serves a store until SIGTERM or SIGINT; then answers what was accepted, checkpoints and returns.

    Args:
        db: the path of the store.
        host: the address to listen on.
        port: the port to listen on.
        interface: which flavour of the application answers.
        log_requests: whether each request is logged in one line.
        load: makes the application in the serving process; None for the store's own.

    Raises:
        EventsError: the address cannot be listened on.
    """
    check_address(host, port)
    # A forked child would inherit what the database left behind in this process.
    multiprocessing.set_start_method("spawn", force=True)
    server = Granian(
        "falcon_events",
        address=host,
        port=port,
        interface=Interfaces.ASGI if interface == "asgi" else Interfaces.WSGI,
        workers=1,
        blocking_threads=WSGI_THREADS if interface == "wsgi" else None,
        websockets=False,
        log_level="warning",  # type: ignore[arg-type]
        respawn_failed_workers=True,
    )
    server.serve(target_loader=load or partial(load_app, db, interface, log_requests), wrap_loader=False)


def load_app(db: str, interface: Interface, log_requests: bool) -> Any:
    """The application, made in the process that serves it."""
    prepare_worker()
    if log_requests:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    overrides: dict[str, Any] = {"log_requests": True} if log_requests else {}
    tracking = EventTracking(db, **overrides)
    if interface == "asgi":
        return asgi_app(tracking)
    tracking.open()
    # WSGI knows no shutdown; this runs when the process ends in an orderly way, after the last answer.
    util.Finalize(None, tracking.close, exitpriority=0)
    return wsgi_app(tracking)


def prepare_worker() -> None:
    """Makes the serving process end with its parent, and its garbage collector rest."""
    os.umask(0o077)
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_end_with_parent, name="falcon-events-parent", daemon=True).start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def check_address(host: str, port: int, wait_s: float = 2.0) -> None:
    """Raises EventsError where the address cannot be listened on; waits a little for a predecessor that is ending."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise EventsError(
                    f"{host}:{port} cannot be listened on: {error.strerror or error}. Give another --port."
                ) from None
        time.sleep(0.05)


def _end_with_parent() -> None:
    """An orphan would keep the port and the store's file from the server's successor."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_EXIT_S)
    os._exit(1)
