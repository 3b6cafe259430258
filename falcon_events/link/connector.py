"""Finding a store's owner, or starting one where there is none."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path

import msgspec

from falcon_events._version import __version__
from falcon_events.errors import StoreClosed, StoreError, StoreUnavailable
from falcon_events.files.lockfile import find, holder, is_held
from falcon_events.files.paths import check_access
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
SAY_AFTER_S = 2.0
SHUT_OUT_S = 15.0
"""How long an owner that ends every connection without a word may be one that is about to end, in seconds."""


class Connector:
    """Connects to the owner of a store.

    Args:
        db: the store's file.
        settings: for an owner that has to be started.
        create: whether a missing file is made.
    """

    def __init__(self, db: Path, settings: Settings, *, create: bool) -> None:
        self.create = create
        self._db = db
        self._settings = settings
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """A child is a client of its own."""
        self._client = uuid.uuid4().hex
        self._refused: str | None = None
        """Who holds the store and is not to be talked to; empty where that one does not talk to us."""
        self._owner = self._owners = 0

    def connect(self, wait_s: float | None, leaving: threading.Event) -> tuple[Channel, Welcome]:
        """A connection to the store's owner, whoever that is by then.

        Args:
            wait_s: how long to wait for a process that is opening or closing the file, in seconds; None for ever.
            leaving: ends the wait.

        Raises:
            StoreError: the file cannot be opened.
            StoreUnavailable: the wait was too long.
        """
        began = let_in = time.monotonic()
        db = self._db.absolute()
        said = False
        while not leaving.is_set():
            if (channel := self._reach(db)) is not None:
                return channel
            if not is_held(db):
                check_access(db, create=self.create)
                start_owner(db, self._settings, create=self.create)
                continue
            now = time.monotonic()
            waited = now - began
            let_in = now if self._refused is None else let_in
            if self._refused or now - let_in > SHUT_OUT_S:
                by = self._refused or f"process {holder(db)}, which does not let this one in"
                raise StoreError(f"{db} is in use by {by}. Run as the user whose store it is.")
            if wait_s is not None and waited >= wait_s:
                raise StoreUnavailable("The event store is being opened by another process. Try again later.")
            if waited > SAY_AFTER_S and not said:
                said = True
                logger.warning("waiting for process %s, which is opening or closing %s", holder(db), db)
            leaving.wait(PAUSE_S)
        raise StoreClosed

    def _reach(self, db: Path) -> tuple[Channel, Welcome] | None:
        """A connection to the owner that the lock file names, if it listens."""
        self._refused = None
        place = find(db)
        if place is None:
            return None
        with fork_lock:  # a child's copy of a connection that nobody minds yet would keep it open
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel = Channel(connected)
            owners = self._owners + (self._owner not in (0, place.pid))
            try:
                connected.connect(place.address)
                check_user(connected, *_owner_of_file(db))
                self._refused = ""  # unless there is a welcome
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
        raise StoreError(getattr(welcome, "text", f"{db} is owned by a process that does not answer as it should."))


def _owner_of_file(db: Path) -> tuple[int, ...]:
    """The user whose store it is, for root, who may do all that this user may; nobody's where there is no file."""
    with contextlib.suppress(FileNotFoundError):
        return (db.stat().st_uid,) if os.geteuid() == 0 else ()
    return ()


def greet(channel: Channel, secret: bytes, client: str, owners: int) -> messages.FromOwner:
    """What an owner says to a greeting.

    Args:
        channel: leads to it.
        secret: what it has to be shown.
        client: the name of whoever connects.
        owners: how many owners that one has known before.
    """
    channel.limit(GREETING_S, GREETING_S)
    show_secret(channel, secret)
    channel.send_bytes(messages.encode(Hello(PROTOCOL, __version__, os.getpid(), client, owners)))
    answer: messages.FromOwner = messages.decode_from_owner(channel.recv_bytes())
    return answer
