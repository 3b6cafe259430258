"""The owner: the one process that holds a store's file, and commits and reads for all others until the last has gone."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from falcon_events._version import __version__
from falcon_events.errors import EventsError, StoreLocked
from falcon_events.files.lockfile import FileLock, socket_path
from falcon_events.files.paths import check_access, rename_logs
from falcon_events.owner.server import OwnerServer
from falcon_events.settings import Settings
from falcon_events.store.store import Store
from falcon_events.webhooks.dispatcher import Dispatcher

LOCK_WAIT_S = 0.2
"""Whoever looks whether the lock is held holds it for a moment."""
FIRST_CLIENT_S = 10.0
LINGER_S = 0.5
"""How long the owner waits for a successor when its last client has gone without a word, in seconds."""
SECRET_BYTES = 32
BACKLOG = 512

logger = logging.getLogger(__name__)


class Owner:
    """Holds one store's file.

    Args:
        db: the file.
        settings: the store's.
        create: whether a missing file is made.
        lock: the descriptor of the lock file, where it is held already.
    """

    def __init__(self, db: Path, settings: Settings, *, create: bool, lock: int | None) -> None:
        self._db = db
        self._settings = settings
        self._create = create
        self._lock = lock

    def run(self, ready: _Report) -> None:
        """Opens the store, serves it until its last client has gone, and closes it.

        Raises:
            StoreError: the file cannot be opened.
            StoreLocked: another owner has it.
        """
        check_access(self._db, create=self._create)
        try:
            lock = FileLock(self._db, LOCK_WAIT_S, self._lock)
        except StoreLocked:
            ready.say(held=True)
            return
        try:
            address = socket_path(self._db)
            store = Store(self._db, self._settings, create=self._create, lock=lock, replaced=self._replaced)
            store.open()
        except BaseException:
            lock.release()
            raise
        secret = os.urandom(SECRET_BYTES)
        with _listening(address) as listener:
            dispatcher = Dispatcher(store.outbox, self._settings, f"falcon-events/{__version__}")
            clients = OwnerServer(store, secret, address, dispatcher)
            handler = _Forwarding(clients)
            logging.getLogger("falcon_events").addHandler(handler)
            threading.Thread(target=clients.accept, args=(listener,), name="falcon-events-accept", daemon=True).start()
            lock.publish(address, secret)
            ready.say(ready=True)
            ready.close()
            clients.wait_until_alone(FIRST_CLIENT_S, LINGER_S)
        dispatcher.close()
        store.close()
        if store.failed:
            os._exit(1)  # the database's own end would write to a file that is gone, or fail once more
        Path(address).unlink(missing_ok=True)
        lock.release()
        clients.end()

    def _replaced(self) -> None:
        """Makes room for an owner of the file that stands there now; the log belongs to the one that has gone."""
        for aside in rename_logs(self._db):
            logger.critical("a log of the file that was replaced is kept as %s", aside)
        os._exit(1)


class _Report:
    """Tells the process that has started the owner how that goes, in lines of JSON."""

    def __init__(self) -> None:
        self._out: Any = os.fdopen(os.dup(1), "w")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(null, descriptor)
        os.close(null)

    def say(self, **words: object) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            self._out.write(json.dumps(words) + "\n")
            self._out.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._out.close()


class _Starting(logging.Handler):
    """Log lines of the time before there are clients."""

    def __init__(self, report: _Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.say(log=[record.levelno, record.name, self.format(record)])


class _Forwarding(logging.Handler):
    """Log lines go to a client's log: the owner has neither terminal nor file."""

    def __init__(self, clients: OwnerServer) -> None:
        super().__init__()
        self._clients = clients

    def emit(self, record: logging.LogRecord) -> None:
        self._clients.log(record.levelno, record.name, self.format(record))


def _listening(address: str) -> socket.socket:
    Path(address).unlink(missing_ok=True)  # a dead owner's: the lock says that there is no other
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    Path(address).chmod(0o600)  # not needed on Linux, where the umask counts
    listener.listen(BACKLOG)
    return listener


def main(start: dict[str, Any], lock: int | None) -> None:
    """Runs an owner in this process.

    Args:
        start: what start_owner() gives.
        lock: the descriptor of the lock file, which this process holds; None where it could not be opened.
    """
    os.umask(0o077)
    for sign in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)  # it ends with its last client; until then that client needs it
    threading.excepthook = _die
    sys.setswitchinterval(0.0005)  # nothing here computes for long, and every thread has somebody waiting
    report = _Report()
    root = logging.getLogger("falcon_events")
    root.setLevel(logging.INFO)
    root.propagate = False
    starting = _Starting(report)
    root.addHandler(starting)
    gc.freeze()
    try:
        settings = Settings(**start["settings"])
        Owner(Path(start["db"]), settings, create=start["create"], lock=lock).run(_Started(report, root, starting))  # type: ignore[arg-type]
    except StoreLocked as error:
        report.say(failed="StoreLocked", pid=error.pid)
    except EventsError as error:
        report.say(failed=type(error).__name__, text=str(error))
    except Exception as error:
        report.say(failed="StoreError", text=f"{start['db']} cannot be opened: {type(error).__name__}: {error}")
        raise


class _Started:
    """The report, whose log handler ends with it."""

    def __init__(self, report: _Report, root: logging.Logger, handler: logging.Handler) -> None:
        self.say = report.say
        self._report = report
        self._root = root
        self._handler = handler

    def close(self) -> None:
        self._root.removeHandler(self._handler)
        self._report.close()


def _die(failed: threading.ExceptHookArgs) -> None:
    """A thread that others wait for has failed: another owner is better than half of this one."""
    text = "".join(traceback.format_exception(failed.exc_type, failed.exc_value, failed.exc_traceback))
    logger.critical("the store's owner has failed, and another one takes over: %s", text)
    os._exit(70)  # EX_SOFTWARE
