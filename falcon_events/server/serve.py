"""The standalone server of one store: uvicorn for ASGI (`falcon-events[standard]`), granian for WSGI."""

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
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from falcon_events.access.protocol import EVERY_ACCOUNT, Principal, Scope
from falcon_events.errors import EventsError
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:  # loaded by the processes that serve: granian's first process does not
    from falcon_events.http.dashboard_routes import DashboardAccess
    from falcon_events.http.demo import Demo

logger = logging.getLogger("falcon_events.server")

Interface = Literal["asgi", "wsgi"]

ASGI_SERVER = ("uvicorn", "uvloop", "httptools")
DASHBOARD_LIBRARIES = ("jinja2", "limits")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")
WORKERS_LOAD = "_FALCON_EVENTS_WORKERS_LOAD"
WSGI_THREADS = 1024
"""How many requests of a worker can wait for a commit, or for the rest of their bodies. A waiting thread costs little."""
WSGI_CONNECTIONS = 8192
"""How many connections a granian worker may have. Idle connections cost next to nothing."""
GRACE_S = 30
"""How long requests in progress may take at shutdown, in seconds."""
WSGI_GRACE_S = 10
"""The same for what granian's requests may take once granian has had its time."""
ORPHAN_EXIT_S = 3.0
"""How long a worker may take to end after its parent has died, in seconds."""


def choose_interface() -> Interface:
    """Choose the default interface: `asgi` if its server is installed, otherwise `wsgi`."""
    return "asgi" if all(map(find_spec, ASGI_SERVER)) else "wsgi"


def check_interface(interface: Interface) -> None:
    """Raise EventsError if the server for this interface is not installed."""
    if interface == "asgi" and choose_interface() != "asgi":
        raise EventsError("--interface asgi needs uvicorn: pip install 'falcon-events[standard]', or use --interface wsgi.")


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
    """Serve a store until SIGTERM or SIGINT, then reply to accepted requests, checkpoint and return.

    Args:
        db: the path of the store.
        host: the address to listen on.
        port: the port to listen on.
        interface: the kind of application to serve, `asgi` or `wsgi`.
        log_requests: whether to log each request in one line.
        load: builds the application in the serving process; None for the standalone application of the store.
        workers: how many processes handle requests.
        demo: the list and key of the demo page; None for no such page.

    Raises:
        EventsError: the server cannot listen on the address.
    """
    check_address(host, port)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every connection takes a file descriptor
    configure_logging()
    logger.info(
        "Serving %s on http://%s:%d (%s, %d workers).",
        Path(db).resolve(),
        f"[{host}]" if ":" in host else host,
        port,
        interface,
        workers,
    )
    load = load or partial(load_app, db, interface, log_requests, demo)
    if interface == "asgi":
        _serve_asgi(load, host, port, workers)
    else:
        _serve_wsgi(load, host, port, workers)


def _serve_asgi(load: Callable[[], Any], host: str, port: int, workers: int) -> None:
    """Serve with uvicorn: in this process, or in child processes if there are several workers."""
    import uvicorn

    from falcon_events.server.uvicorn_protocol import BoundedProtocol

    # uvicorn raises the signal again after its shutdown. The process must then end normally, so that atexit runs.
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
    """Return the application in one of several processes. uvicorn passes them only this function's name."""
    return pickle.loads(base64.b64decode(os.environ[WORKERS_LOAD]))()


def _serve_wsgi(load: Callable[[], Any], host: str, port: int, workers: int) -> None:
    """Serve with granian, which starts a process for each worker."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    # A forked child would inherit the database's state in this process.
    multiprocessing.set_start_method("spawn", force=True)
    server = Granian(
        "falcon_events",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # an HTTP/2 connection could not be ended for the one request that holds back its body
        workers=workers,
        blocking_threads=WSGI_THREADS,
        backpressure=WSGI_CONNECTIONS,
        log_level="error",  # type: ignore[arg-type]  # its only warning is about many threads, but these only wait
        respawn_failed_workers=True,
        workers_kill_timeout=2 * WSGI_GRACE_S,
    )
    server.serve(target_loader=load, wrap_loader=False)


def load_app(
    db: str, interface: Interface, log_requests: bool, demo: Demo | None = None, tracking: EventTracking | None = None
) -> Any:
    """Prepare the serving process and return its application, which uses `tracking` if this process has opened the store."""
    prepare_worker()
    configure_logging()
    return build_app(tracking or EventTracking(db, **override_settings(log_requests)), interface, demo)


def override_settings(log_requests: bool) -> dict[str, Any]:
    """Return the settings of the tracker that options of the command line replace."""
    return {"log_requests": True} if log_requests else {}


def configure_logging() -> None:
    """Log to standard error, each line with its time: this package's messages from INFO, those of libraries from WARNING."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("falcon_events").setLevel(logging.INFO)


def build_app(tracking: EventTracking, interface: Interface, demo: Demo | None = None) -> Any:
    """Return the standalone application of a tracker, which is closed when the process ends."""
    dashboard: DashboardAccess = None
    if has_dashboard():
        dashboard = let_in_to_demo if demo is not None and demo.has_own_store else "keys"
    if interface == "asgi":
        from falcon_events.http.asgi import asgi_app

        return asgi_app(tracking, docs=True, operations=True, home=True, demo=demo, dashboard=dashboard)
    from falcon_events.http.wsgi import wsgi_app
    from falcon_events.server.granian import GranianApp

    tracking.open()
    # WSGI has no shutdown event. This runs when the process ends normally, after the last reply.
    util.Finalize(None, tracking.close, exitpriority=0)
    app = wsgi_app(tracking, docs=True, operations=True, home=True, demo=demo, dashboard=dashboard)
    return GranianApp(app, tracking, WSGI_THREADS)


def has_dashboard() -> bool:
    """Whether the libraries of the dashboard are installed (`falcon-events[dashboard]`)."""
    return all(map(find_spec, DASHBOARD_LIBRARIES))


def let_in_to_demo(request: Any) -> Principal:
    """Let everybody see the demo's dashboard. Only a browser on this machine may change something.

    The host's name is compared, too: a web page can have its own name lead to this machine.
    """
    name = request.host.lower()
    is_here = name in LOOPBACK_NAMES and request.remote_addr in ("127.0.0.1", "::1")
    return Principal(EVERY_ACCOUNT, Scope.FULL if is_here else Scope.READ)


def prepare_worker() -> None:
    """Prepare a serving process: a child ends when its parent does, and the garbage collector runs rarely."""
    os.umask(0o077)
    if (parent := multiprocessing.parent_process()) is not None:
        # A terminal sends Ctrl-C to both. The parent passes it on as SIGTERM, and granian's worker hangs on a second signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        ending, at_exit = multiprocessing.Pipe(duplex=False)
        watch = threading.Thread(
            target=_exit_with_parent, args=(parent.sentinel, ending), name="falcon-events-parent", daemon=True
        )
        watch.start()
        atexit.register(watch.join)
        atexit.register(at_exit.close)  # runs before the join: atexit runs the last registered function first
    gc.collect()
    gc.freeze()
    # Objects that are frozen or held by a running thread outlive the interpreter, and DuckDB 2.0 reports each as leaked.
    atexit.register(gc.unfreeze)
    gc.set_threshold(50_000, 20, 100)


def check_address(host: str, port: int, wait_s: float = ORPHAN_EXIT_S + 1) -> None:
    """Raise EventsError if the server cannot listen on the address.

    Args:
        host: the address.
        port: the port.
        wait_s: how long to wait for a previous server that is still ending, in seconds. One whose parent was killed may take
            ORPHAN_EXIT_S.
    """
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
                    f"Cannot listen on {host}:{port}: {error.strerror or error}. Use another --host or --port."
                ) from None
        time.sleep(0.05)


def _exit(sign: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _exit_with_parent(parent: int, ending: Connection) -> None:
    """End this process when its parent dies: an orphan would keep the port and the store's file from the next server.

    Args:
        parent: the parent's sentinel.
        ending: a connection that is closed when this process exits by itself.
    """
    if parent not in wait([parent, ending]):
        return
    os.kill(os.getpid(), signal.SIGTERM)
    if not ending.poll(ORPHAN_EXIT_S):
        os._exit(1)
