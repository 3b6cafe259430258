"""A store in memory and the way to it: what a server has in its owner's process, in the process of the test."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable

from falcon_events.errors import StoreUnavailable
from falcon_events.link.channel import Channel
from falcon_events.link.connector import Connector, greet
from falcon_events.link.link import Link
from falcon_events.link.messages import Welcome
from falcon_events.owner.server import Clients
from falcon_events.settings import Settings
from falcon_events.store.database.connect import MEMORY
from falcon_events.store.memory import MemoryStore

SECRET_BYTES = 32


class MemoryOwner:
    """Holds a store in memory for any number of trackers of its process, until it is closed.

    Args:
        settings: the store's.
        clock: the current time in seconds since 1970.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.store = MemoryStore(settings, clock)
        self.store.open()
        self._secret = os.urandom(SECRET_BYTES)
        self._clients = Clients(self.store, self._secret, MEMORY, stays=True)
        self._pid = os.getpid()

    def connect(self, client: str) -> tuple[Channel, Welcome]:
        """A connection to the store, as another process would have it.

        Raises:
            StoreUnavailable: this is a child of the process that has the store.
        """
        if os.getpid() != self._pid:
            raise StoreUnavailable("A store in memory cannot be used in a forked process.")
        ours, theirs = socket.socketpair()
        self._clients.take(theirs)
        channel = Channel(ours)
        welcome = greet(channel, self._secret, client, 0)
        assert isinstance(welcome, Welcome)
        return channel, welcome

    def close(self) -> None:
        """Ends it, with everything that is in it; does nothing the second time."""
        self._clients.end()
        self.store.close()


class MemoryLink(Link):
    """A tracker's end of the link to a store in memory.

    Args:
        owner: has the store.
        settings: how much may wait for how long.
    """

    def __init__(self, owner: MemoryOwner, settings: Settings) -> None:
        super().__init__(MEMORY, settings)
        self._connector = _MemoryConnector(owner, settings)

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._closed


class _MemoryConnector(Connector):
    def __init__(self, owner: MemoryOwner, settings: Settings) -> None:
        super().__init__(owner.store.path, settings, create=False)
        self._memory = owner

    def connect(self, wait_s: float | None, leaving: threading.Event) -> tuple[Channel, Welcome]:
        return self._memory.connect(uuid.uuid4().hex)
