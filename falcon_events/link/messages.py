"""What travels between a tracker and its store's owner: frames of MessagePack."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from falcon_events.errors import EventsError, StoreUnavailable
from falcon_events.model.access import Changes, Snapshot
from falcon_events.model.events import REFUSED, NewEvent, Outcome, Receipt

PROTOCOL = 5
"""Raised with every change to these messages: processes of two releases refuse each other instead of guessing."""


PackedOutcome = bool | str | Receipt | None
"""An Outcome in a few bytes; pack_outcome() and unpack_outcomes() alone know what each of these means."""


class Hello(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A client's first words."""

    protocol: int
    release: str
    pid: int
    client: str
    """An id of the tracker's own, by which its counts are known when it comes back."""
    generation: int
    """How many owners it has had before."""


class Batch(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Events to commit; answered by Results of the same number."""

    number: int
    events: list[NewEvent]


class Ask(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A named operation; answered by an Answer or a Failed of the same number."""

    number: int
    name: str
    arguments: list[Any]


class Noted(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The client answers from this version of the directory."""

    version: int


class Counted(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What the client has refused so far by code, what else it has counted by name, and how many events wait there."""

    refused: dict[int, int]
    told: dict[str, int]
    waiting: int


class Leave(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The client is about to go; the connection's end says that the owner has done what was left to do."""


class Welcome(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The owner's first words."""

    pid: int
    uuid_namespace: bytes
    version: int
    directory: Snapshot
    generation: int
    """How many owners were replaced before this one."""


class Results(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The outcomes of a batch, in the order of its events; see pack_outcome()."""

    number: int
    outcomes: list[PackedOutcome]


class Answer(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What an operation returns."""

    number: int
    value: Any


class Failed(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What an operation raises: the name of one of this package's errors, and its text."""

    number: int
    kind: str
    text: str


class News(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The directory has changed; answered by Noted."""

    version: int
    changes: Changes


class Log(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A line for the client's log: the owner has none of its own."""

    level: int
    logger: str
    text: str


FromClient = Hello | Batch | Ask | Noted | Counted | Leave
FromOwner = Welcome | Results | Answer | Failed | News | Log


def pack_outcome(event: NewEvent, outcome: Outcome) -> PackedOutcome:
    """Return the compact form of what became of an event.

    Stored: whether an identify event was stored with it, or the receipt where that names another id than the event's own.
    Not stored: the reason why a later try may succeed, or None where the database refuses the event.
    """
    if isinstance(outcome, Receipt):
        return outcome if outcome.duplicate or outcome.event_id != event.id else outcome.identify_event_sent
    return outcome.failures[0].message if isinstance(outcome, StoreUnavailable) else None


def unpack_outcomes(events: Iterable[NewEvent], packed: Iterable[PackedOutcome]) -> list[Outcome]:
    """Return what became of each event; the reverse of pack_outcome()."""
    return [
        Receipt(event.id or "", event.visitor, event.external_id, outcome)
        if outcome is True or outcome is False
        else outcome
        if isinstance(outcome, Receipt)
        else EventsError(REFUSED)
        if outcome is None
        else StoreUnavailable(outcome)
        for event, outcome in zip(events, packed, strict=False)
    ]


_EPOCH: datetime = msgspec.msgpack.decode(b"\xd6\xff" + bytes(4))  # of Python's own class, also where time is frozen by now


def _plain(value: object) -> datetime:
    """A time of a class of its own, as freezegun puts in place of `datetime`, as one that MessagePack can hold."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _EPOCH + (value - _EPOCH)
    raise TypeError(f"Objects of type {type(value).__name__} cannot be sent to the event store's owner.")


encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
decode_from_client = msgspec.msgpack.Decoder(FromClient).decode
decode_from_owner = msgspec.msgpack.Decoder(FromOwner).decode
