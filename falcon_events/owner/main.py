"""The owner: the process that holds a store's file, and commits and reads for all others until the last one has left."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from falcon_events._version import __version__
from falcon_events.errors import EventsError, StoreLocked
from falcon_events.files.checks import check_access
from falcon_events.files.lockfile import FileLock
from falcon_events.files.paths import rename_logs
from falcon_events.owner.listener import Listener
from falcon_events.owner.server import OwnerServer
from falcon_events.settings import Settings
from falcon_events.store.database.duckdb import leave_out_pandas
from falcon_events.store.store import Store
from falcon_events.webhooks.dispatcher import Dispatcher

LOCK_WAIT_S = 0.2
"""How long to wait for the lock, in seconds: a process that checks whether the lock is held holds it for a moment."""
FIRST_CLIENT_S = 10.0
"""How long the owner waits for its first client, in seconds."""
LINGER_S = 0.5
"""How long the owner waits for a new client when its last one has gone without a Leave message, in seconds."""
SECRET_BYTES = 32

logger = logging.getLogger(__name__)


class Owner:
    """Holds one store's file.

    Args:
        db: the store's file.
        settings: the settings of the store.
        create: whether a missing file is created.
        lock: the descriptor of the lock file, if this process holds the lock already.
    """

    def __init__(self, db: Path, settings: Settings, *, create: bool, lock: int | None) -> None:
        self._db = db
        self._settings = settings
        self._create = create
        self._lock = lock

    def run(self, report: _Report) -> None:
        """Open the store, serve it until its last client has left, and close it.

        If another owner holds the lock, report that and return.

        Raises:
            StoreError: the file cannot be opened.
            StoreLocked: a process that is not an owner has the database open.
        """
        check_access(self._db, create=self._create)
        try:
            lock = FileLock(self._db, LOCK_WAIT_S, self._lock)
        except StoreLocked:
            report.send(held=True)
            return
        try:
            store = Store(self._db, self._settings, create=self._create, lock=lock, replaced=self._exit_for_new_file)
            store.open()
        except BaseException:
            lock.release()
            raise
        secret = os.urandom(SECRET_BYTES)
        listener = Listener(self._db, lock, secret)
        dispatcher = Dispatcher(store.outbox, self._settings, f"falcon-events/{__version__}")
        server = OwnerServer(store, secret, lambda: listener.address, dispatcher)
        handler = _ForwardingHandler(server)
        logging.getLogger("falcon_events").addHandler(handler)
        listener.start(server.accept)
        report.send(ready=True)
        report.close()
        server.wait_until_alone(FIRST_CLIENT_S, LINGER_S)
        dispatcher.close()
        store.close()
        if store.failed:
            os._exit(1)  # a normal exit would let the database write to a file that is gone, or fail again
        listener.close()
        lock.release()
        server.end()

    def _exit_for_new_file(self) -> None:
        """Exit because the file was replaced, so that an owner of the new file can start. Rename the old file's logs."""
        for renamed in rename_logs(self._db):
            logger.critical("%s was replaced by another file; a log of the old file is kept as %s", self._db, renamed)
        os._exit(1)


class _Report:
    """Reports the owner's start to the process that started it, in lines of JSON."""

    def __init__(self) -> None:
        self._out: Any = os.fdopen(os.dup(1), "w")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(null, descriptor)
        os.close(null)

    def send(self, **fields: object) -> None:
        with contextlib.suppress(OSError, ValueError):  # the other process reads no more
            self._out.write(json.dumps(fields) + "\n")
            self._out.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._out.close()


class _ReportHandler(logging.Handler):
    """Sends log lines to the process that started the owner, until there are clients."""

    def __init__(self, report: _Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.send(log=[record.levelno, record.name, self.format(record)])


class _ForwardingHandler(logging.Handler):
    """Sends log lines to a client's log, because the owner has neither a terminal nor a log file."""

    def __init__(self, server: OwnerServer) -> None:
        super().__init__()
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        self._server.log(record.levelno, record.name, self.format(record))


def main(start: dict[str, Any], lock: int | None) -> None:
    """Run an owner in this process, and end the process.

    Args:
        start: the object that start_owner() sends.
        lock: the descriptor of the lock file, if this process holds the lock; None if the file could not be opened.
    """
    os.umask(0o077)
    leave_out_pandas()
    for sign in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)  # clients need the owner, which ends after the last of them
    threading.excepthook = _die
    sys.setswitchinterval(0.0005)  # switch often: threads compute briefly, and each has a client waiting
    report = _Report()
    root = logging.getLogger("falcon_events")
    root.setLevel(logging.INFO)
    root.propagate = False
    handler = _ReportHandler(report)
    root.addHandler(handler)
    gc.freeze()
    gc.enable()
    try:
        settings = Settings(**start["settings"])
        Owner(Path(start["db"]), settings, create=start["create"], lock=lock).run(_StartReport(report, root, handler))  # type: ignore[arg-type]
    except StoreLocked as error:
        report.send(failed="StoreLocked", pid=error.pid)
    except EventsError as error:
        report.send(failed=type(error).__name__, text=str(error))
    except Exception as error:
        report.send(failed="StoreError", text=f"{start['db']} cannot be opened: {type(error).__name__}: {error}")
        raise
    os._exit(0)  # everything is closed; to take the interpreter apart would cost more than closing the store


class _StartReport:
    """The report with its log handler, which is removed when the report is closed."""

    def __init__(self, report: _Report, root: logging.Logger, handler: logging.Handler) -> None:
        self.send = report.send
        self._report = report
        self._root = root
        self._handler = handler

    def close(self) -> None:
        self._root.removeHandler(self._handler)
        self._report.close()


def _die(failed: threading.ExceptHookArgs) -> None:
    """End the owner because one of its threads failed: a new owner is better than one without this thread."""
    text = "".join(traceback.format_exception(failed.exc_type, failed.exc_value, failed.exc_traceback))
    logger.critical("The owner process of the store has failed, and a new one takes over: %s", text)
    os._exit(70)  # EX_SOFTWARE
