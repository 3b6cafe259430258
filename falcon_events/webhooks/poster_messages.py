"""Messages between a store's owner and its poster process: jobs in one direction, their outcomes in the other."""

from __future__ import annotations

import enum
import struct
from typing import BinaryIO, NamedTuple

import msgspec

from falcon_events.model.webhooks import OutgoingEvent

ROUND_S = 5.0
"""How long a job posts events. After that its outcome is sent, so that the attempts are recorded."""
_LENGTH = struct.Struct("!I")


class AttemptResult(enum.Enum):
    """Result of an attempt to deliver an event."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """The receiver refused the event, or did not answer completely in time."""
    BUSY = "busy"
    """The receiver is overloaded or unavailable, and needs a pause from all events."""
    UNREACHABLE = "unreachable"
    """The receiver could not be reached, so it has not seen the event."""
    GONE = "gone"
    """The receiver wants no events any more."""


class Attempt(NamedTuple):
    """An attempt to deliver an event, with the receiver's HTTP status if it answered."""

    result: AttemptResult
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None
    is_cut_off: bool = False
    """Whether the connection ended before the answer."""


class Job(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Events to deliver to one receiver. The poster process answers with a JobOutcome of the same number.

    Each event is signed with each of `secrets`. An attempt may take `timeout_s` seconds. `failing_visitors` are the visitors
    whose events have failed since the last success.
    """

    number: int
    webhook_id: str
    url: str
    secrets: list[str]
    timeout_s: float
    outgoing_events: list[OutgoingEvent]
    failing_visitors: list[str]


class Stop(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Order to post no further event of a job. Its posted events may still be answered for a moment."""

    number: int


class JobOutcome(msgspec.Struct, frozen=True, array_like=True):
    """Outcome of a job: the attempts by the event's seq.

    `receiver_failure` is the attempt that shows that the receiver as a whole has failed. `stopped` says that events of the job
    may be left.
    """

    number: int
    attempts: dict[int, Attempt]
    receiver_failure: Attempt | None
    stopped: bool
    failing_visitors: list[str]


encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Job | Stop).decode
decode_outcome = msgspec.msgpack.Decoder(JobOutcome).decode


def write_frame(out: BinaryIO, frame: bytes) -> None:
    """Write a message to a pipe."""
    out.write(_LENGTH.pack(len(frame)) + frame)
    out.flush()


def read_frame(source: BinaryIO) -> bytes | None:
    """Return the next message of a pipe, or None at its end."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    frame = source.read(length)
    return frame if len(frame) == length else None
