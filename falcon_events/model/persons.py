"""Personal data: records of who a visitor is, what is stored about one, and what was erased."""

from __future__ import annotations

from typing import Any

import msgspec

from falcon_events.errors import EventsError


class Visitor(msgspec.Struct, frozen=True):
    """A person within a list, identified by an email address, the sender's ID, or the visitor's UUID."""

    list_id: int
    email: str | None = None
    external_id: str | None = None
    uuid: str | None = None


def build_visitor(list_id: int, email: str | None, external_id: str | None, uuid: str | None) -> Visitor:
    """Build a Visitor from one identifier; raise EventsError unless exactly one of the three is given."""
    if sum(given is not None for given in (email, external_id, uuid)) != 1:
        raise EventsError("One of email, id and uuid is needed to find a visitor.")
    return Visitor(list_id, email and email.strip(), external_id, uuid)


class Erased(msgspec.Struct, frozen=True):
    """Report of an erasure: the visitors' UUIDs, their addresses, and the numbers of erased rows.

    `shared_visitors` are those of the visitors that other people use too; what belongs to the others was kept. `left_in` are the
    files beside the store that still contain the person, because the store does not use them any more.
    """

    visitors: list[str]
    emails: list[str]
    events: int
    bindings: int
    event_ids: int
    shared_visitors: list[str]
    left_in: list[str]


class Binding(msgspec.Struct, frozen=True):
    """A visitor's email address and traits. The time is RFC 3339 text."""

    visitor: str
    email: str
    traits: dict[str, Any] | None
    bound_at: str


class StoredEvent(msgspec.Struct, frozen=True):
    """A stored event. Times are RFC 3339 text."""

    event_id: str
    event: str
    visitor: str
    external_id: str
    email: str | None
    occurred_at: str
    received_at: str
    client_timestamp: str | None
    client_address: str | None
    properties: dict[str, Any]


class PersonalData(msgspec.Struct, frozen=True):
    """Everything that is stored about a person within a list.

    `shared_visitors` are those of the visitors that other people use too. What belongs to the others is not included.
    """

    list_id: int
    visitors: list[str]
    bindings: list[Binding]
    events: list[StoredEvent]
    shared_visitors: list[str]
