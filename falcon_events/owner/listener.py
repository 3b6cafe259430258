"""The socket on which the owner process listens, and the lock file that names it: made anew when somebody deletes them."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from falcon_events.errors import StoreError
from falcon_events.files.lockfile import FileLock, socket_path

logger = logging.getLogger(__name__)

BACKLOG = 512
WATCH_S = 0.5
"""How often the socket and the lock file are looked for, in seconds."""


class Listener:
    """Listens on the socket of a store.

    Args:
        db: the store's file.
        lock: the lock, which this process holds.
        secret: the secret that clients must know.

    Raises:
        StoreError: the socket cannot be created.
    """

    def __init__(self, db: Path, lock: FileLock, secret: bytes) -> None:
        self._db = db
        self._lock = lock
        self._secret = secret
        self._ending = threading.Event()
        self._problem = ""
        self.address = socket_path(db)
        """The path of the socket."""
        self._listen()

    def start(self, accept: Callable[[socket.socket], object]) -> None:
        """Publish the address, accept connections in a thread, and watch the files in another one.

        Args:
            accept: accepts connections until the socket that it is called with is closed.
        """
        self._accept = accept
        self._start_accepting()
        self._lock.publish(self.address, self._secret)
        self._watcher = threading.Thread(target=self._watch, name="falcon-events-watch", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Accept no more connections, and remove the socket's file."""
        self._ending.set()
        self._watcher.join()
        self._close_socket()
        if self._is_in_place():
            Path(self.address).unlink(missing_ok=True)

    def _watch(self) -> None:
        while not self._ending.wait(WATCH_S):
            try:
                if self._lock.restore(self.address, self._secret) and not self._is_in_place():
                    self._restore_socket()
                self._problem = ""
            except (OSError, StoreError) as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    logger.error("The socket or the lock file was deleted, and cannot be made anew: %s", error)

    def _restore_socket(self) -> None:
        before = self._socket
        self.address = socket_path(self._db)
        self._listen()
        self._start_accepting()
        self._lock.publish(self.address, self._secret)
        logger.warning("%s was deleted, and has been made anew", self.address)
        _close(before)

    def _start_accepting(self) -> None:
        threading.Thread(target=self._accept, args=(self._socket,), name="falcon-events-accept", daemon=True).start()

    def _listen(self) -> None:
        path = Path(self.address)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise StoreError(f"{path} is not a socket, but the store needs this name for one. Move that file away.")
            path.unlink()  # left by a dead owner: this process holds the lock, so there is no other
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self.address)
            path.chmod(0o600)  # not needed on Linux, where the umask applies to sockets
            listener.listen(BACKLOG)
            found = path.lstat()
        except BaseException:
            listener.close()
            raise
        self._socket = listener
        self._identity = found.st_dev, found.st_ino

    def _is_in_place(self) -> bool:
        try:
            found = os.lstat(self.address)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _close_socket(self) -> None:
        _close(self._socket)


def _close(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # ends accept() in another thread
    listener.close()
