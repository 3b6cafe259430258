"""Events that hooks get: IncomingEvent before an event is stored, CommittedEvent after its commit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from falcon_events.contract.event import EventRequest
from falcon_events.model.events import NewEvent
from falcon_events.model.sender import Sender

FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_decode = msgspec.json.Decoder(dict[str, Any]).decode

FIXED = ("list_id", "event_id", "received_at", "is_from_host", "user_agent", "address", "origin")
"""The fields of an IncomingEvent that a hook must not change."""


class IncomingEvent(msgspec.Struct, kw_only=True):
    """Valid event that is about to be stored. A `before_store` hook changes it in place.

    A hook may set `event`, `email`, `external_id`, `visitor`, `properties`, `identify_properties` and `occurred_at`, and change
    the dicts. The other fields are read-only. `external_id` and `visitor` are None if the sender gave none. Times are aware, in
    UTC.
    """

    list_id: int
    event: str
    properties: dict[str, Any]
    email: str | None
    external_id: str | None
    visitor: str | None
    event_id: str | None
    """The EventID that the sender gave."""
    identify_properties: dict[str, Any] | None
    occurred_at: datetime
    received_at: datetime
    is_from_host: bool
    """Whether the host's own code tracked the event, rather than a request."""
    user_agent: str
    address: str
    """The client's address as the server sees it; empty for the host's own code. It is not the address that is stored."""
    origin: str | None
    """The web origin of the page that sent the event, if a browser did."""

    @property
    def is_test(self) -> bool:
        """Whether the event is only checked (`"isTest": true` among its properties)."""
        return self.properties.get("isTest") is True


class CommittedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Event that was committed and synced to disk. An `after_commit` hook reads it.

    If `identify_event_sent` is true, an identify event with the same properties and `emailAddress` was stored with this event.
    Hooks do not get that identify event separately. Times are aware, in UTC.
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
    """The properties as stored: for example without those that the list's rules deny."""
    identify_event_sent: bool


def build_incoming_event(request: EventRequest, sender: Sender) -> IncomingEvent:
    """Build the event that hooks get from a valid request."""
    return IncomingEvent(
        list_id=request.list_id,
        event=request.event,
        properties=request.properties,
        email=request.email,
        external_id=request.external_id,
        visitor=request.visitor,
        event_id=request.event_id,
        identify_properties=request.traits,
        occurred_at=to_datetime(request.occurred_at),
        received_at=to_datetime(request.received_at),
        is_from_host=sender.trusted,
        user_agent=sender.user_agent,
        address=sender.address,
        origin=sender.origin,
    )


def build_committed_event(event: NewEvent, event_id: str, identify_event_sent: bool) -> CommittedEvent:
    """Build the event that hooks get from a stored event."""
    return CommittedEvent(
        event_id=event_id,
        list_id=event.list_id,
        account_id=event.account_id,
        event=event.event,
        visitor=event.visitor,
        external_id=event.external_id,
        email=event.email,
        occurred_at=to_datetime(event.occurred_at),
        received_at=to_datetime(event.received_at),
        properties=_decode(event.properties),
        identify_event_sent=identify_event_sent,
    )


def to_datetime(microseconds: int) -> datetime:
    """Convert microseconds since 1970 to an aware time in UTC."""
    return FIRST_TIME + timedelta(microseconds=microseconds)


def to_microseconds(at: datetime) -> int:
    """Convert a time to microseconds since 1970, exactly, which a float would not be."""
    return (at - FIRST_TIME) // timedelta(microseconds=1)
