"""Messages between a tracker and the owner of its store: MessagePack in frames."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from falcon_events.contract.schemas import listed_errors, load_schema
from falcon_events.errors import EventsError, InvalidRequest, RequestRefused, StoreUnavailable
from falcon_events.model.access import Changes, Snapshot
from falcon_events.model.events import REFUSED, NewEvent, Outcome, Receipt

PROTOCOL = 7
"""The version of these messages, increased with every change, so that processes of two releases refuse each other."""


_ERRORS = listed_errors(load_schema("event.request"))
PackedOutcome = bool | int | str | Receipt | None
"""The compact form of an Outcome. Only pack_outcome() and unpack_outcome() know what each value means."""


class Hello(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The first message of a client."""

    protocol: int
    release: str
    pid: int
    client: str
    """An ID that the tracker chose, so that its counts are recognized when it connects again."""
    generation: int
    """How many owners the client was connected to before."""


class Batch(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Events to commit. The reply is Results with the same number."""

    number: int
    events: list[NewEvent]


class Ask(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A call of an operation. The reply is an Answer or a Failed with the same number."""

    number: int
    name: str
    arguments: list[Any]
    until: float | None = None
    """Until when the asker waits, by time.monotonic(), which is one clock for all processes of a machine; None: for ever."""


class Drop(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The client does not wait for this call any more. If it is a read, the owner ends it; there may be no reply."""

    number: int


class Noted(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The client uses this version of the directory from now on."""

    version: int


class Counted(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The client's counts: refused requests by code, other counts by name, and how many events wait in it."""

    refused: dict[int, int]
    named_counts: dict[str, int]
    waiting: int


class Leave(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The client is leaving. The owner ends the connection once it has finished the client's work."""


class Welcome(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The owner's reply to Hello."""

    pid: int
    uuid_namespace: bytes
    version: int
    directory: Snapshot
    generation: int
    """How many owners were replaced before this one."""


class Results(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The outcomes of a batch, in the order of its events (see pack_outcome())."""

    number: int
    outcomes: list[PackedOutcome]


class Answer(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The result of an operation."""

    number: int
    value: Any


class AnswerPart(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A part of an encoded Answer that is too large to be sent at once: other messages are sent between its parts."""

    number: int
    content: bytes
    is_last: bool


class Failed(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The error of an operation: the name of a class in errors.py, and its text."""

    number: int
    kind: str
    text: str


class News(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Changes of the directory. The reply is Noted with the same version."""

    version: int
    changes: Changes


class Log(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A line for the client's log, because the owner has no log of its own."""

    level: int
    logger: str
    text: str


FromClient = Hello | Batch | Ask | Drop | Noted | Counted | Leave
FromOwner = Welcome | Results | Answer | AnswerPart | Failed | News | Log


def pack_outcome(event: NewEvent, outcome: Outcome) -> PackedOutcome:
    """Return the compact form of an event's outcome.

    Stored: whether an identify event was stored with it, or the receipt if the event is a repeat or its ID is another one.
    Not stored: the code if the event breaks a documented rule, the message if a later try may succeed, or None if the database
    refuses the event.
    """
    if isinstance(outcome, Receipt):
        return outcome if outcome.duplicate or outcome.event_id != event.id else outcome.identify_event_sent
    if isinstance(outcome, StoreUnavailable):
        return outcome.failures[0].message
    return outcome.codes[0] if isinstance(outcome, RequestRefused) else None


def unpack_outcome(event: NewEvent, packed: PackedOutcome) -> Outcome:
    """Return what became of an event; the reverse of pack_outcome()."""
    if packed is True or packed is False:
        return Receipt(event.id or "", event.visitor, event.external_id, packed)
    if isinstance(packed, Receipt):
        return packed
    if isinstance(packed, int):
        status, failure = _ERRORS[packed]
        return InvalidRequest(status, [failure])
    return EventsError(REFUSED) if packed is None else StoreUnavailable(packed)


_EPOCH: datetime = msgspec.msgpack.decode(b"\xd6\xff" + bytes(4))  # a real datetime, even if freezegun has replaced the class


def _to_datetime(value: object) -> datetime:
    """Convert an object of a subclass of datetime, such as freezegun's, to a real datetime, which msgspec can encode."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _EPOCH + (value - _EPOCH)
    raise TypeError(f"Objects of type {type(value).__name__} cannot be sent to the event store's owner.")


encode = msgspec.msgpack.Encoder(enc_hook=_to_datetime).encode
decode_from_client = msgspec.msgpack.Decoder(FromClient).decode
decode_from_owner = msgspec.msgpack.Decoder(FromOwner).decode
