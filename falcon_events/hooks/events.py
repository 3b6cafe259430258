"""Events as hooks see them: one that is about to be stored, and one that was committed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from falcon_events.contract.event import EventRequest
from falcon_events.model.events import NewEvent
from falcon_events.model.sender import Sender

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decode = msgspec.json.Decoder(dict[str, Any]).decode

FIXED = ("list_id", "event_id", "received_at", "is_from_host", "user_agent", "address", "origin")
"""The fields of an IncomingEvent that a hook only reads."""


class IncomingEvent(msgspec.Struct, kw_only=True):
    """An event that keeps to the contract and is about to be stored; a `before_store` hook changes it in place.

    A hook may set `event`, `email`, `external_id`, `visitor`, `properties`, `identify_properties` and `occurred_at`, and change
    the dicts; the other fields are to be read. `external_id` and `visitor` are None where the sender gave none. Times are
    aware, in UTC.
    """

    list_id: int
    event: str
    properties: dict[str, Any]
    email: str | None
    external_id: str | None
    visitor: str | None
    event_id: str | None
    """The sender's own EventID."""
    identify_properties: dict[str, Any] | None
    occurred_at: datetime
    received_at: datetime
    is_from_host: bool
    """Whether the host's own code tracks it, rather than a request."""
    user_agent: str
    address: str
    """The client's address as the server has it; empty for the host's own code. Not what is stored."""
    origin: str | None
    """The web page's that a browser sends for."""

    @property
    def is_test(self) -> bool:
        """Whether it is only checked (`"isTest": true` among the properties)."""
        return self.properties.get("isTest") is True


class CommittedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was committed and synced to disk; an `after_commit` hook reads it.

    Where `identify_event_sent`, an identify event of the same properties and `emailAddress` was stored with it, which is not
    given by itself. Times are aware, in UTC.
    """

    event_id: str
    list_id: int
    account_id: str
    event: str
    visitor: str
    external_id: str
    email: str | None
    occurred_at: datetime
    received_at: datetime
    properties: dict[str, Any]
    """As they are stored: without those that the list's rules deny, for instance."""
    identify_event_sent: bool


def incoming(request: EventRequest, sender: Sender) -> IncomingEvent:
    """A checked request, as a hook sees it."""
    return IncomingEvent(
        list_id=request.list_id,
        event=request.event,
        properties=request.properties,
        email=request.email,
        external_id=request.external_id,
        visitor=request.visitor,
        event_id=request.event_id,
        identify_properties=request.traits,
        occurred_at=moment(request.occurred_at),
        received_at=moment(request.received_at),
        is_from_host=sender.trusted,
        user_agent=sender.user_agent,
        address=sender.address,
        origin=sender.origin,
    )


def committed(event: NewEvent, event_id: str, identify_event_sent: bool) -> CommittedEvent:
    """A stored event, as a hook sees it."""
    return CommittedEvent(
        event_id=event_id,
        list_id=event.list_id,
        account_id=event.account_id,
        event=event.event,
        visitor=event.visitor,
        external_id=event.external_id,
        email=event.email,
        occurred_at=moment(event.occurred_at),
        received_at=moment(event.received_at),
        properties=_decode(event.properties),
        identify_event_sent=identify_event_sent,
    )


def moment(microseconds: int) -> datetime:
    """A time in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(at: datetime) -> int:
    """The same the other way round; exact, where a float would not be."""
    return (at - _EPOCH) // timedelta(microseconds=1)
