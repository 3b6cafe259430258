"""What one batch leads to: repeats, bindings and identify events, worked out event by event; no database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from falcon_events.errors import EventsError
from falcon_events.model.events import NewEvent, Receipt
from falcon_events.store.engine.entry import DroppedRow, Entry, EventIDRow, EventRow, TraitsRow, encode, encoded

EventKey = tuple[str, str]
"""An account's id and an EventID of its own."""
Binding = tuple[int, str, str]
"""A visitor and an email address, lower-cased, within a list."""

_are_uuids = re.compile(r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}){2}").fullmatch
_MOST_ID = 2**63
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_800_000_000
"""The years 1 to 9999, in microseconds since 1970."""
_decode_traits = msgspec.json.Decoder(dict[str, Any]).decode
_decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class KnownBinding(msgspec.Struct):
    """What is known of a binding that a batch may write: since when, at which seq of its identify event, and the traits."""

    bound_at: int
    seq: int
    traits: dict[str, Any] | None = None


class Draft:
    """What one entry of the journal is to hold; nobody is told of it before that is synced.

    Args:
        number: the entry's.
        last_seq: the last seq given out before it.
        repeats: the answers of known EventIDs; None for one whose time has run out, but whose row is still there.
        bindings: the bindings that the batch may write; None for one that is new.
        new_ids: for events without an id.
        stored: the receipts of events that came before, by id and time of receipt, and were stored without anybody being told.
    """

    def __init__(
        self,
        number: int,
        last_seq: int,
        repeats: dict[EventKey, Receipt | None],
        bindings: dict[Binding, KnownBinding | None],
        new_ids: Iterator[str],
        stored: dict[tuple[str, int], Receipt],
    ) -> None:
        self.last_seq = last_seq
        self.receipts: list[Receipt] = []
        self.new_bindings: dict[Binding, KnownBinding] = {}
        """Their identify events tell of them; rows of the table they become with a later fold."""
        self.changed_traits: dict[Binding, KnownBinding] = {}
        self.event_ids: list[EventIDRow] = []
        self.renewed_event_ids: list[EventIDRow] = []
        self.dropped: dict[int, DroppedRow] = {}
        self._number = number
        self._rows: list[EventRow] = []
        self.bindings = bindings
        self._repeats = repeats
        self._new_ids = new_ids
        self._stored = stored

    def add(self, event: NewEvent) -> None:
        """Works out what the next event leads to."""
        event_id = event.id or next(self._new_ids)
        if event.dropped:
            self._drop(event)
            self.receipts.append(Receipt(event_id, event.visitor, event.external_id, identify_event_sent=False))
            return
        if event.again and (stored := self._stored.get((event_id, event.received_at))) is not None:
            self.receipts.append(stored)
            return
        if event.event_id and (first := self._repeats.get((event.account_id, event_id))) is not None:
            self.receipts.append(first)
            return
        is_identify = event.event == "identify"
        newly_bound = self._bind(event, self.last_seq + 1)
        sent = newly_bound or is_identify
        properties = identifying(event) if sent else event.properties
        if sent and not is_identify:
            # Before its event: an export that is read in again then finds the visitor bound and makes no second one.
            self._add_row(event, next(self._new_ids), "identify", properties)
        self._add_row(event, event_id, event.event, properties if is_identify else event.properties)
        receipt = Receipt(event_id, event.visitor, event.external_id, sent)
        self.receipts.append(receipt)
        if event.event_id:
            key = (event.account_id, event_id)
            row = EventIDRow(*key, event.visitor, event.external_id, sent, event.received_at)
            (self.renewed_event_ids if key in self._repeats else self.event_ids).append(row)
            self._repeats[key] = msgspec.structs.replace(receipt, duplicate=True)

    def entry(self) -> Entry | None:
        """The entry, or None where there is nothing to keep: every event was known."""
        if not (self._rows or self.changed_traits or self.dropped):
            return None
        traits = [TraitsRow(*binding, known.traits, known.bound_at) for binding, known in self.changed_traits.items()]
        return Entry(
            self._number,
            self.last_seq,
            len(self._rows),
            events=encoded(self._rows),
            traits=encoded(traits),
            event_ids=encoded(self.event_ids),
            renewed_event_ids=encoded(self.renewed_event_ids),
            dropped=encoded(list(self.dropped.values())),
        )

    def _drop(self, event: NewEvent) -> None:
        at = event.received_at
        row = self.dropped.setdefault(event.list_id, DroppedRow(event.list_id, 0, at, at))
        row.events += 1
        row.first_seen, row.last_seen = min(row.first_seen, at), max(row.last_seen, at)

    def _bind(self, event: NewEvent, seq: int) -> bool:
        """Whether the event's address was not yet bound to its visitor; takes in its traits too."""
        binding = binding_of(event)
        if binding is None or binding not in self.bindings:
            return False  # no address, or a binding known from memory without traits to change
        known = self.bindings[binding]
        if newly_bound := known is None:
            known = KnownBinding(event.received_at, seq)
            self.bindings[binding] = self.new_bindings[binding] = known
        if event.traits is not None and (traits := _decode_traits(event.traits)):
            known.traits = {**(known.traits or {}), **traits}
            self.changed_traits[binding] = known
        return newly_bound

    def _add_row(self, event: NewEvent, event_id: str, name: str, properties: bytes) -> None:
        self.last_seq += 1
        self._rows.append(
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
                properties=msgspec.Raw(properties),
                client_timestamp=event.client_timestamp,
                client_address=event.client_address,
            )
        )


def binding_of(event: NewEvent) -> Binding | None:
    """The binding that an event asks for, if it has an address; addresses bind whatever their case."""
    return None if event.email is None else (event.list_id, event.visitor, event.email.lower())


def identifying(event: NewEvent) -> bytes:
    """The properties of an identify event: with the address, unless they name one."""
    properties = event.properties
    if event.email is None or (b'"emailAddress"' in properties and "emailAddress" in _decode_properties(properties)):
        return properties
    comma = b"" if properties == b"{}" else b","
    return properties[:-1] + comma + b'"emailAddress":' + encode(event.email) + b"}"


def check(event: NewEvent) -> None:
    """Raises EventsError for what no row can hold: the answer is out before the database could say so."""
    if not _are_uuids(event.visitor + (event.id or event.visitor)):
        raise EventsError("The database refuses an event: its ids must be UUIDs in lower case.")
    moments_are_right = (
        _FIRST_US <= event.occurred_at < _LAST_US
        and _FIRST_US <= event.received_at < _LAST_US
        and (event.client_timestamp is None or _FIRST_US <= event.client_timestamp < _LAST_US)
    )
    if not moments_are_right or not 0 <= event.list_id < _MOST_ID:
        raise EventsError("The database refuses an event: its list or its time is out of range.")
    if event.properties[:1] != b"{" or event.properties[-1:] != b"}":
        raise EventsError("The database refuses an event: its properties are no object in JSON.")
