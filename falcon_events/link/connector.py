"""Finding a store's owner process, or starting one if there is none."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec

from falcon_events._version import __version__
from falcon_events.errors import StoreClosed, StoreError, StoreUnavailable
from falcon_events.files.checks import check_access, check_links
from falcon_events.files.lockfile import MAX_SOCKET_PATH, find, holder, is_held
from falcon_events.link import messages
from falcon_events.link.channel import Channel, Refused, check_user, show_secret
from falcon_events.link.launcher import start_owner
from falcon_events.link.messages import PROTOCOL, Hello, Welcome
from falcon_events.runtime.lifecycle import fork_lock
from falcon_events.settings import Settings

logger = logging.getLogger(__name__)

GREETING_S = 10.0
"""How long an owner may take to answer a greeting, in seconds."""
PAUSE_S = 0.01
LOG_AFTER_S = 2.0
SHUT_OUT_S = 15.0
"""How long an owner may close every connection before that is an error, in seconds. An owner that is ending does so, too."""


class Connector:
    """Connects to the owner of a store.

    Args:
        db: the store's file.
        links: the symbolic links that lead to it.
        settings: the settings for an owner that has to be started.
        create: whether a missing file is created.
    """

    def __init__(self, db: Path, links: Sequence[Path], settings: Settings, *, create: bool) -> None:
        self.create = create
        self._db = db
        self._links = links
        self._settings = settings
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Become a new client in a forked child."""
        self._client = uuid.uuid4().hex
        self._refused: str | None = None
        """The untrusted process that holds the store; empty if the owner closed the connection; None if neither."""
        self._owner = self._owners = 0

    def connect(self, wait_s: float | None, leaving: threading.Event) -> tuple[Channel, Welcome]:
        """Connect to the store's owner; start one if there is none.

        Args:
            wait_s: how long to wait for a process that is opening or closing the file, in seconds; None: without limit.
            leaving: ends the wait when it is set.

        Raises:
            StoreError: the file cannot be opened.
            StoreUnavailable: the other process was not ready in time.
            StoreClosed: `leaving` was set.
        """
        began = let_in = time.monotonic()
        db = self._db
        logged = False
        while not leaving.is_set():
            if (channel := self._try_connect(db)) is not None:
                return channel
            if not is_held(db):
                check_links(db, self._links)
                check_access(db, create=self.create)
                start_owner(db, self._settings, create=self.create)
                continue
            now = time.monotonic()
            waited = now - began
            let_in = now if self._refused is None else let_in
            if self._refused or now - let_in > SHUT_OUT_S:
                by = self._refused or f"process {holder(db)}, which refuses this process"
                raise StoreError(f"{db} is in use by {by}. Run as the user that owns the store.")
            if wait_s is not None and waited >= wait_s:
                raise StoreUnavailable("The event store is being opened by another process. Try again later.")
            if waited > LOG_AFTER_S and not logged:
                logged = True
                logger.warning("Waiting for process %s, which is opening or closing %s", holder(db), db)
            leaving.wait(PAUSE_S)
        raise StoreClosed

    def _try_connect(self, db: Path) -> tuple[Channel, Welcome] | None:
        """Connect to the owner that the lock file names; return None if it does not accept the connection."""
        self._refused = None
        place = find(db)
        if place is None:
            return None
        with fork_lock:  # a child forked now would keep its copy of the connection open
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel = Channel(connected)
            owners = self._owners + (self._owner not in (0, place.pid))
            try:
                _connect(connected, place.address, db)
                check_user(connected, *_find_file_owner(db))
                self._refused = ""  # until the welcome arrives
                welcome = greet(channel, place.secret, self._client, owners)
            except (OSError, EOFError, Refused, msgspec.MsgspecError) as error:
                if isinstance(error, Refused) and self._refused is None:
                    self._refused = str(error)
                channel.close()
                return None
        if isinstance(welcome, Welcome):
            self._owner = welcome.pid
            self._owners = welcome.generation
            return channel, welcome
        channel.close()
        wrong = f"The process that holds {db} sent an unexpected reply. Restart all processes on one release of falcon-events."
        raise StoreError(getattr(welcome, "text", wrong))


def _connect(connected: socket.socket, address: str, db: Path) -> None:
    """Connect to the owner's socket, or to the one beside the file: the owner may see the folder under another path."""
    try:
        connected.connect(address)
    except FileNotFoundError:
        beside = f"{db}.sock"
        if beside == address or len(os.fsencode(beside)) > MAX_SOCKET_PATH:
            raise
        connected.connect(beside)


def _find_file_owner(db: Path) -> tuple[int, ...]:
    """Return the user ID of the file's owner if this process runs as root, which may trust that user; otherwise nothing."""
    with contextlib.suppress(FileNotFoundError):
        return (db.stat().st_uid,) if os.geteuid() == 0 else ()
    return ()


def greet(channel: Channel, secret: bytes, client: str, owners: int) -> messages.FromOwner:
    """Greet an owner and return its reply.

    Args:
        channel: the channel to the owner.
        secret: the secret from the lock file.
        client: this client's ID.
        owners: how many owners this client was connected to before.
    """
    channel.limit(GREETING_S, GREETING_S)
    show_secret(channel, secret)
    channel.send_bytes(messages.encode(Hello(PROTOCOL, __version__, os.getpid(), client, owners)))
    answer: messages.FromOwner = messages.decode_from_owner(channel.recv_bytes())
    return answer
