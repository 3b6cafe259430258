"""A store in memory and the link to it. The test's process holds what the owner process holds for a server."""

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
from falcon_events.owner.server import OwnerServer
from falcon_events.settings import Settings
from falcon_events.store.database.connect import MEMORY
from falcon_events.store.memory import MemoryStore

SECRET_BYTES = 32


class MemoryOwner:
    """The owner of a store in memory, for any number of trackers in its process.

    Args:
        settings: the store's settings.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.store = MemoryStore(settings, clock)
        self.store.open()
        self._secret = os.urandom(SECRET_BYTES)
        self._clients = OwnerServer(self.store, self._secret, lambda: MEMORY, stays=True)
        self._pid = os.getpid()

    def connect(self, client: str) -> tuple[Channel, Welcome]:
        """Connect to the store as another process would.

        Raises:
            StoreUnavailable: this process was forked from the one that holds the store.
        """
        if os.getpid() != self._pid:
            raise StoreUnavailable("A store in memory cannot be used in a forked process; use it in the process that made it.")
        ours, theirs = socket.socketpair()
        self._clients.serve(theirs)
        channel = Channel(ours)
        welcome = greet(channel, self._secret, client, 0)
        assert isinstance(welcome, Welcome)
        return channel, welcome

    def close(self) -> None:
        """Close the store and discard its contents. A second call does nothing."""
        self._clients.end()
        self.store.close()


class MemoryLink(Link):
    """A tracker's end of the link to a store in memory.

    Args:
        owner: the owner of the store.
        settings: the limits on what may wait, and for how long.
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
        super().__init__(owner.store.path, [], settings, create=False)
        self._memory = owner

    def connect(self, wait_s: float | None, leaving: threading.Event) -> tuple[Channel, Welcome]:
        return self._memory.connect(uuid.uuid4().hex)
