"""Messages between a store's owner and the process that runs a query: frames of a kind, a length and bytes."""

from __future__ import annotations

import enum
import struct
from typing import BinaryIO, NamedTuple

import msgspec

from falcon_events.store.queries.sql import Limits

_HEAD = struct.Struct("!cI")
OPEN = b"open\n"
"""The line by which the owner lets the process open the file."""


class Kind(enum.Enum):
    """Kind of a frame from the process."""

    READY = b"r"
    """It waits for OPEN."""
    OPENED = b"o"
    """It has opened the file."""
    TABLE = b"t"
    """The result follows, as MessagePack or as an Arrow stream."""
    ERROR = b"e"
    """The query failed; the reason follows, as text."""


class QueryStart(msgspec.Struct, frozen=True):
    """Start of the process: the query, its limits, the store's file, where and how much to spill, and the number of threads.

    With `arrow`, the result is an Arrow stream.
    """

    query: str
    limits: Limits
    db: str
    spill: str
    spill_mb: int
    threads: int
    arrow: bool = False


class Frame(NamedTuple):
    """A frame from the process."""

    kind: Kind
    content: bytes


def write_frame(target: BinaryIO, kind: Kind, content: bytes = b"") -> None:
    """Write a frame."""
    target.write(_HEAD.pack(kind.value, len(content)) + content)
    target.flush()


def read_frame(source: BinaryIO) -> Frame | None:
    """Read a frame; return None if the process has ended."""
    head = source.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    content = source.read(length)
    return Frame(Kind(kind), content) if len(content) == length else None
