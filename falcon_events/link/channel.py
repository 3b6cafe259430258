"""A Unix socket that carries frames (a length of four bytes, then as many bytes), and the checks of the peer."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import answer_challenge, deliver_challenge

MAX_FRAME_BYTES = 1 << 30
MAX_GREETING_BYTES = 4096
"""The largest frame that is read from a peer before it has proved that it knows the secret."""
READ_BYTES = 1 << 18
_LENGTH = struct.Struct("!I")


class Refused(Exception):
    """The peer is not trusted, or violates the protocol."""


class Channel:
    """One end of the socket. One thread may read while others send.

    Args:
        connected: the socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def limit(self, read_s: float, send_s: float) -> None:
        """Set the timeouts of reading and sending, in seconds; 0: none."""
        for option, seconds in ((socket.SO_RCVTIMEO, read_s), (socket.SO_SNDTIMEO, send_s)):
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6)))

    def send_bytes(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            OSError: the peer is gone, or has not read for too long. The channel cannot be used any more.
        """
        with self._sending:
            self._socket.sendall(_LENGTH.pack(len(frame)) + frame)

    def recv_bytes(self, most: int = MAX_FRAME_BYTES) -> bytes:
        """Receive the next frame.

        Raises:
            BlockingIOError: none arrived within the timeout.
            EOFError: the peer is gone.
            Refused: the frame is larger than `most` bytes.
        """
        while True:
            if len(self._buffer) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer)
                if length > most:
                    raise Refused(f"a frame of {length} bytes, of which at most {most} are allowed")
                if len(self._buffer) >= (end := _LENGTH.size + length):
                    frame = bytes(memoryview(self._buffer)[_LENGTH.size : end])
                    del self._buffer[:end]
                    return frame
            try:
                read = self._socket.recv(READ_BYTES)
            except ConnectionError:
                raise EOFError from None
            if not read:
                raise EOFError
            self._buffer += read

    def end(self) -> None:
        """End the connection for both sides. A thread that reads from it gets EOFError."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket in this process. The connection ends once no process has it open."""
        self._socket.close()


def show_secret(channel: Channel, secret: bytes) -> None:
    """Prove to the peer that this process knows the secret, and have the peer prove the same; raise Refused if it cannot."""
    try:
        answer_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
        deliver_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
    except (AuthenticationError, AssertionError, OSError, EOFError) as error:
        raise Refused(str(error)) from error


def ask_for_secret(channel: Channel, secret: bytes) -> None:
    """Have the peer prove that it knows the secret, and prove the same: the other side of show_secret(). May raise Refused."""
    try:
        deliver_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
        answer_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
    except (AuthenticationError, AssertionError, OSError, EOFError) as error:
        raise Refused(str(error)) from error


def check_user(connected: socket.socket, *trusted: int) -> None:
    """Raise Refused if the peer's process belongs to another user. Only Linux reports the user.

    Args:
        connected: the socket connected to the peer.
        trusted: IDs of users that are trusted, in addition to this process's own user and root.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if user not in (os.geteuid(), 0, *trusted):
        raise Refused(f"user {user} of this machine")


class _Greeting:
    """The channel with the interface that the standard library's challenges need, and a limit on what is read."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.send_bytes = channel.send_bytes

    def recv_bytes(self, most: int) -> bytes:
        return self._channel.recv_bytes(min(most, MAX_GREETING_BYTES))
