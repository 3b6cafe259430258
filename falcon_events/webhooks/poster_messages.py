"""What the owner of a store and its posting process tell each other: jobs one way, what became of them the other way."""

from __future__ import annotations

import enum
import struct
from typing import BinaryIO, NamedTuple

import msgspec

from falcon_events.model.webhooks import Letter

ROUND_S = 5.0
"""After so long no more events of a job go out, so that what has gone out is recorded."""
_LENGTH = struct.Struct("!I")


class Result(enum.Enum):
    """What became of an attempt."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    BUSY = "busy"
    """Refused because there is too much to do: the receiver as a whole needs a pause."""
    UNREACHABLE = "unreachable"
    """The receiver has not seen the event."""
    GONE = "gone"
    """The receiver wants no event any more."""


class Verdict(NamedTuple):
    """How a receiver has taken an event."""

    result: Result
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None


class Job(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Letters to deliver to one receiver; answered by an Outcome of the same number.

    `secrets` sign each of them, `timeout_s` is how long one may take, in seconds. `troubled` are the visitors whose events have
    failed since the last success.
    """

    number: int
    webhook_id: str
    url: str
    secrets: list[str]
    timeout_s: float
    letters: list[Letter]
    troubled: list[str]


class Stop(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Nothing more of a job is to go out; what has gone out may be waited for a moment."""

    number: int


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of a job: verdicts by seq; the one that speaks for the whole receiver, and whether letters may be left."""

    number: int
    verdicts: dict[int, Verdict]
    worst: Verdict | None
    stopped: bool
    troubled: list[str]


encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Job | Stop).decode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode


def write_frame(out: BinaryIO, frame: bytes) -> None:
    """Writes a message to a pipe."""
    out.write(_LENGTH.pack(len(frame)) + frame)
    out.flush()


def read_frame(source: BinaryIO) -> bytes | None:
    """The next message of a pipe; None at its end."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    frame = source.read(length)
    return frame if len(frame) == length else None
