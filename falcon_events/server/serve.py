"""The standalone server in front of one store: uvicorn for ASGI (`falcon-events[standard]`), granian for WSGI."""

from __future__ import annotations

import atexit
import base64
import errno
import gc
import logging
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, Literal

from falcon_events.errors import EventsError
from falcon_events.http.asgi import asgi_app
from falcon_events.http.demo import Demo
from falcon_events.http.wsgi import wsgi_app
from falcon_events.server.granian import WSGI_GRACE_S, UnderGranian
from falcon_events.tracking import EventTracking

Interface = Literal["asgi", "wsgi"]

ASGI_SERVER = ("uvicorn", "uvloop", "httptools")
WORKERS_LOAD = "_FALCON_EVENTS_WORKERS_LOAD"
WSGI_THREADS = 1024
"""As many requests can wait for one commit, or for the rest of their bodies; a thread that waits costs little."""
WSGI_CONNECTIONS = 8192
"""How many connections a worker of granian's may have; idle ones cost next to nothing."""
GRACE_S = 30
"""How long requests that are under way may take at shutdown, in seconds."""
ORPHAN_EXIT_S = 5.0


def default_interface() -> Interface:
    """The flavour that is served where none is asked for: ASGI where its server is installed."""
    return "asgi" if all(map(find_spec, ASGI_SERVER)) else "wsgi"


def check_interface(interface: Interface) -> None:
    """Raises EventsError where the server for this flavour is not installed."""
    if interface == "asgi" and default_interface() != "asgi":
        raise EventsError(
            "The interface asgi needs uvicorn: pip install 'falcon-events[standard]'. The interface wsgi needs nothing more."
        )


def serve(
    db: str,
    host: str,
    port: int,
    interface: Interface,
    log_requests: bool,
    load: Callable[[], Any] | None = None,
    workers: int = 1,
    demo: Demo | None = None,
) -> None:
    """Serves a store until SIGTERM or SIGINT; then answers what was accepted, checkpoints and returns.

    Args:
        db: the path of the store.
        host: the address to listen on.
        port: the port to listen on.
        interface: which flavour of the application answers.
        log_requests: whether each request is logged in one line.
        load: makes the application in the serving process; None for the store's own.
        workers: how many processes answer requests.
        demo: what the page that shows the tracker at work is about; None for no such page.

    Raises:
        EventsError: the address cannot be listened on.
    """
    check_address(host, port)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file
    load = load or partial(load_app, db, interface, log_requests, demo)
    if interface == "asgi":
        _serve_asgi(load, host, port, workers)
    else:
        _serve_wsgi(load, host, port, workers)


def _serve_asgi(load: Callable[[], Any], host: str, port: int, workers: int) -> None:
    """In this process, or in several below it."""
    import uvicorn

    from falcon_events.server.uvicorn_protocol import BoundedProtocol

    # uvicorn raises the signal again when it has shut down; that shall end the process in an orderly way.
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _exit)
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "loop": "uvloop",
        "http": BoundedProtocol,
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": GRACE_S,
    }
    if workers == 1:
        uvicorn.run(load(), **options)
    else:
        os.environ[WORKERS_LOAD] = base64.b64encode(pickle.dumps(load)).decode()
        uvicorn.run(f"{__name__}:load_in_worker", factory=True, workers=workers, timeout_worker_healthcheck=GRACE_S, **options)


def load_in_worker() -> Any:
    """The application in one of several processes, which uvicorn has told no more than this function's name."""
    return pickle.loads(base64.b64decode(os.environ[WORKERS_LOAD]))()


def _serve_wsgi(load: Callable[[], Any], host: str, port: int, workers: int) -> None:
    """In processes of their own, as granian does it."""
    from granian import Granian
    from granian.constants import Interfaces

    # A forked child would inherit what the database left behind in this process.
    multiprocessing.set_start_method("spawn", force=True)
    server = Granian(
        "falcon_events",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=WSGI_THREADS,
        backpressure=WSGI_CONNECTIONS,
        log_level="error",  # type: ignore[arg-type]  # its one warning is against many threads, but these only wait
        respawn_failed_workers=True,
        workers_kill_timeout=2 * WSGI_GRACE_S,
    )
    server.serve(target_loader=load, wrap_loader=False)


def load_app(db: str, interface: Interface, log_requests: bool, demo: Demo | None = None) -> Any:
    """The application, made in the process that serves it."""
    prepare_worker()
    if log_requests:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    overrides: dict[str, Any] = {"log_requests": True} if log_requests else {}
    return standalone(EventTracking(db, **overrides), interface, demo)


def standalone(tracking: EventTracking, interface: Interface, demo: Demo | None = None) -> Any:
    """The application of a tracker that has this process to itself, and is closed with it."""
    if interface == "asgi":
        return asgi_app(tracking, demo=demo)
    tracking.open()
    # WSGI knows no shutdown; this runs when the process ends in an orderly way, after the last answer.
    util.Finalize(None, tracking.close, exitpriority=0)
    return UnderGranian(wsgi_app(tracking, demo=demo), tracking)


def prepare_worker() -> None:
    """Makes the serving process end with its parent, if it is a child, and its garbage collector rest."""
    os.umask(0o077)
    if (parent := multiprocessing.parent_process()) is not None:
        # A terminal sends Ctrl-C to both; the parent passes it on as SIGTERM, and granian's worker hangs on a second signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        ending, at_exit = multiprocessing.Pipe(duplex=False)
        watch = threading.Thread(
            target=_end_with_parent, args=(parent.sentinel, ending), name="falcon-events-parent", daemon=True
        )
        watch.start()
        atexit.register(watch.join)
        atexit.register(at_exit.close)  # runs before the join: the last one registered is the first to run
    gc.collect()
    gc.freeze()
    # What is frozen or held by a running thread outlives the interpreter, and DuckDB 2.0 reports each object as leaked.
    atexit.register(gc.unfreeze)
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
                    f"{host}:{port} cannot be listened on: {error.strerror or error}. Give another --host or --port."
                ) from None
        time.sleep(0.05)


def _exit(sign: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _end_with_parent(parent: int, ending: Connection) -> None:
    """An orphan would keep the port and the store's file from the server's successor; `ending` closes at this one's exit."""
    if parent not in wait([parent, ending]):
        return
    os.kill(os.getpid(), signal.SIGTERM)
    if not ending.poll(ORPHAN_EXIT_S):
        os._exit(1)
