"""A Unix socket that carries frames: their length in four bytes, then as many; and who may be at its other end."""

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
"""A peer that has not shown the secret yet is not listened to for longer."""
READ_BYTES = 1 << 18
_LENGTH = struct.Struct("!I")


class Refused(Exception):
    """The peer is not who it must be, or does not say what it must."""


class Channel:
    """One end of the socket. It may be read in one thread while others send.

    Args:
        connected: the socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def limit(self, read_s: float, send_s: float) -> None:
        """Sets how long a read and a send may wait, in seconds; 0 for ever."""
        for option, seconds in ((socket.SO_RCVTIMEO, read_s), (socket.SO_SNDTIMEO, send_s)):
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6)))

    def send_bytes(self, frame: bytes) -> None:
        """Sends a frame.

        Raises:
            OSError: the peer is gone, or has not read for too long: the channel is of no more use.
        """
        with self._sending:
            self._socket.sendall(_LENGTH.pack(len(frame)) + frame)

    def recv_bytes(self, most: int = MAX_FRAME_BYTES) -> bytes:
        """The next frame.

        Raises:
            BlockingIOError: none has come for as long as a read may wait.
            EOFError: the peer is gone.
            Refused: the frame is larger than `most` bytes.
        """
        while True:
            if len(self._buffer) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer)
                if length > most:
                    raise Refused(f"a frame of {length} bytes")
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
        """Ends the connection for both sides, and whatever read waits on it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Lets go of the socket; the connection ends when no process holds it any more."""
        self._socket.close()


def show_secret(channel: Channel, secret: bytes) -> None:
    """Proves to the other end that this process knows the secret, and has it prove the same; raises Refused."""
    try:
        answer_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
        deliver_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
    except (AuthenticationError, AssertionError, OSError, EOFError) as error:
        raise Refused(str(error)) from error


def ask_for_secret(channel: Channel, secret: bytes) -> None:
    """The other side of show_secret(); raises Refused."""
    try:
        deliver_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
        answer_challenge(_Greeting(channel), secret)  # type: ignore[arg-type]
    except (AuthenticationError, AssertionError, OSError, EOFError) as error:
        raise Refused(str(error)) from error


def check_user(connected: socket.socket, *trusted: int) -> None:
    """Raises Refused where the peer is another user of the machine, where the system tells (Linux).

    Args:
        connected: leads to the peer.
        trusted: users besides this process's own and root.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if user not in (os.geteuid(), 0, *trusted):
        raise Refused(f"user {user} of this machine")


class _Greeting:
    """The channel as the standard library's challenges want it; whoever greets has little to say."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.send_bytes = channel.send_bytes

    def recv_bytes(self, most: int) -> bytes:
        return self._channel.recv_bytes(min(most, MAX_GREETING_BYTES))
