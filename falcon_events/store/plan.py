"""What one batch is to write: repeats, bindings and identify events, worked out event by event; no database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from falcon_events.store.records import NewEvent, Receipt

EventKey = tuple[str, str]
"""An account's id and an EventID of its own."""
Binding = tuple[int, str, str]
"""A visitor and an email address, lower-cased, within a list."""


class EventRow(msgspec.Struct, gc=False):
    """A row of the table events, as INSERT_EVENTS reads it."""

    seq: int
    event_id: str
    account_id: str
    list_id: int
    event: str
    visitor: str
    external_id: str
    email: str | None
    occurred_at: int
    received_at: int
    properties: dict[str, Any]
    client_timestamp: int | None
    client_address: str | None


class EventIDRow(msgspec.Struct, gc=False):
    """A row of the table event_ids: an answer that a repeat gets again."""

    account_id: str
    event_id: str
    visitor: str
    external_id: str
    identify_event_sent: bool
    stored_at: int


class BindingRow(msgspec.Struct, gc=False):
    """A row of the table bindings; traits are the merged ones."""

    list_id: int
    visitor: str
    email: str
    traits: dict[str, Any] | None
    bound_at: int


class DroppedRow(msgspec.Struct, gc=False):
    """What a row of the table dropped_events grows by."""

    list_id: int
    events: int
    first_seen: int
    last_seen: int


class Plan:
    """What one transaction is to write.

    Args:
        last_seq: the last seq given out before it.
        repeats: the answers of known EventIDs; None for one whose time has run out, but whose row is still there.
        bindings: the rows of bindings that the batch may write; None for one that is not in the table yet.
        new_ids: for events without an id.
        stored: the receipts of events that came before, by id and time of receipt, and were stored without anybody being told.
    """

    def __init__(
        self,
        last_seq: int,
        repeats: dict[EventKey, Receipt | None],
        bindings: dict[Binding, BindingRow | None],
        new_ids: Iterator[str],
        stored: dict[tuple[str, int], Receipt] | None = None,
    ) -> None:
        self.last_seq = last_seq
        self.receipts: list[Receipt] = []
        self.rows: list[EventRow] = []
        self.dropped: dict[int, DroppedRow] = {}
        self.new_event_ids: list[EventIDRow] = []
        self.expired_event_ids: list[EventIDRow] = []
        self.new_bindings: dict[Binding, BindingRow] = {}
        """Their identify events tell of them; rows of the table they become with a later fold."""
        self.changed_traits: dict[Binding, BindingRow] = {}
        self._repeats = repeats
        self._bindings = bindings
        self._new_ids = new_ids
        self._stored = stored or {}

    def add(self, event: NewEvent) -> None:
        """Works out what the next event leads to."""
        event_id = event.id or next(self._new_ids)
        if event.dropped:
            self._drop(event)
            self.receipts.append(Receipt(event_id, event.visitor, event.external_id, identify_event_sent=False))
            return
        key = (event.account_id, event_id)
        if event.again and (stored := self._stored.get((event_id, event.received_at))) is not None:
            self.receipts.append(stored)
            return
        if event.event_id and (first := self._repeats.get(key)) is not None:
            self.receipts.append(first)
            return
        newly_bound = self._bind(event)
        is_identify = event.event == "identify"
        sent = newly_bound or is_identify
        properties = event.properties
        if sent and event.email is not None and "emailAddress" not in properties:
            properties = {**properties, "emailAddress": event.email}
        if sent and not is_identify:
            # Before its event: an export that is read in again then finds the visitor bound and makes no second one.
            self._add_row(event, next(self._new_ids), "identify", properties)
        self._add_row(event, event_id, event.event, properties if is_identify else event.properties)
        receipt = Receipt(event_id, event.visitor, event.external_id, sent)
        self.receipts.append(receipt)
        if event.event_id:
            row = EventIDRow(*key, event.visitor, event.external_id, sent, event.received_at)
            (self.expired_event_ids if key in self._repeats else self.new_event_ids).append(row)
            self._repeats[key] = msgspec.structs.replace(receipt, duplicate=True)

    def _drop(self, event: NewEvent) -> None:
        at = event.received_at
        row = self.dropped.setdefault(event.list_id, DroppedRow(event.list_id, 0, at, at))
        row.events += 1
        row.first_seen, row.last_seen = min(row.first_seen, at), max(row.last_seen, at)

    def _bind(self, event: NewEvent) -> bool:
        """Whether the event's address was not yet bound to its visitor; takes in its traits too."""
        binding = binding_of(event)
        if binding is None or binding not in self._bindings:
            return False  # no address, or a binding known from memory without traits to change
        row = self._bindings[binding]
        if newly_bound := row is None:
            row = BindingRow(*binding, None, event.received_at)
            self._bindings[binding] = self.new_bindings[binding] = row
        if event.traits:
            row.traits = {**(row.traits or {}), **event.traits}
            self.changed_traits[binding] = row
        return newly_bound

    def known_bindings(self) -> Iterable[Binding]:
        """The bindings that are in the table once this plan is committed."""
        return (binding for binding, row in self._bindings.items() if row is not None)

    def _add_row(self, event: NewEvent, event_id: str, name: str, properties: dict[str, Any]) -> None:
        self.last_seq += 1
        self.rows.append(
            EventRow(
                seq=self.last_seq,
                event_id=event_id,
                account_id=event.account_id,
                list_id=event.list_id,
                event=name,
                visitor=event.visitor,
                external_id=event.external_id,
                email=event.email,
                occurred_at=event.occurred_at,
                received_at=event.received_at,
                properties=properties,
                client_timestamp=event.client_timestamp,
                client_address=event.client_address,
            )
        )


def binding_of(event: NewEvent) -> Binding | None:
    """The binding that an event asks for, if it has an address; addresses bind whatever their case."""
    return None if event.email is None else (event.list_id, event.visitor, event.email.lower())
