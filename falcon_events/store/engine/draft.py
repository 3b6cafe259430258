"""Draft: decides what a batch stores, event by event: repeats, bindings and identify events. It uses no database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from falcon_events.errors import RequestRefused
from falcon_events.model.events import NewEvent, Receipt
from falcon_events.store.engine.entry import DroppedRow, Entry, EventIDRow, EventRow, TraitsRow, encode, encode_rows
from falcon_events.store.engine.name_limits import NameLimits

EventKey = tuple[str, str]
"""Where an EventID counts, as get_event_key() writes it, and the EventID."""
BindingKey = tuple[int, str, str]
"""A list's id, a visitor and an email address in lower case."""

_are_uuids = re.compile(r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}){2}").fullmatch
_LIST_ID_LIMIT = 2**63
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_800_000_000
"""The years 1 to 9999, in microseconds since 1970."""
_decode_traits = msgspec.json.Decoder(dict[str, Any]).decode
_decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class KnownBinding(msgspec.Struct):
    """A binding that a batch may write: when it was bound, the seq of its identify event, and its traits."""

    bound_at: int
    seq: int
    traits: dict[str, Any] | None = None


class Draft:
    """Content of the next journal entry. Its receipts are sent only after the entry is synced.

    Args:
        number: the number of the entry.
        last_seq: the last seq assigned before this entry.
        repeats: the receipts of known EventIDs.
        bindings: the bindings that the batch may write. None: the binding is new.
        new_ids: ids for events without one.
        stored: receipts, by id and time of receipt, of resent events that are stored, though their sender got no answer.
        limits: the limits of names; None: there are none.
    """

    def __init__(
        self,
        number: int,
        last_seq: int,
        repeats: dict[EventKey, Receipt],
        bindings: dict[BindingKey, KnownBinding | None],
        new_ids: Iterator[str],
        stored: dict[tuple[str, int], Receipt],
        limits: NameLimits | None = None,
    ) -> None:
        self.last_seq = last_seq
        self.receipts: list[Receipt | RequestRefused] = []
        """The receipt of each event, or its refusal because of a limit of its list."""
        self.new_bindings: dict[BindingKey, KnownBinding] = {}
        """New bindings. Their identify events record them; a later fold adds them to the table bindings."""
        self.changed_traits: dict[BindingKey, KnownBinding] = {}
        self.event_ids: list[EventIDRow] = []
        self.dropped: dict[int, DroppedRow] = {}
        self._number = number
        self._rows: list[EventRow] = []
        self.bindings = bindings
        self._repeats = repeats
        self._new_ids = new_ids
        self._stored = stored
        self._limits = limits

    def add(self, event: NewEvent) -> None:
        """Decide what the next event stores, and add its receipt."""
        event_id = event.id or next(self._new_ids)
        if event.dropped:
            self._drop(event)
            self.receipts.append(Receipt(event_id, event.visitor, event.external_id, identify_event_sent=False))
            return
        if event.again and (stored := self._stored.get((event_id, event.received_at))) is not None:
            self.receipts.append(stored)
            return
        if event.event_id and (first := self._repeats.get(get_event_key(event, event_id))) is not None:
            self.receipts.append(first)
            return
        is_identify = event.event == "identify"
        if self._limits is not None:
            refusal = self._limits.find_refusal(event, sends_identify=is_identify or self._is_unbound(event))
            if refusal is not None:
                self.receipts.append(refusal)
                return
        newly_bound = self._bind(event, self.last_seq + 1)
        sent = newly_bound or is_identify
        properties = build_identify_properties(event) if sent else event.properties
        if sent and not is_identify:
            # Before its event: when an export is imported, the visitor is then bound already and gets no second identify event.
            self._add_row(event, next(self._new_ids), "identify", properties, automatic=True)
        automatic = event.automatic if is_identify else None
        self._add_row(event, event_id, event.event, properties if is_identify else event.properties, automatic=automatic)
        receipt = Receipt(event_id, event.visitor, event.external_id, sent)
        self.receipts.append(receipt)
        if event.event_id:
            key = get_event_key(event, event_id)
            row = EventIDRow(*key, event.visitor, event.external_id, sent, event.received_at)
            self.event_ids.append(row)
            self._repeats[key] = msgspec.structs.replace(receipt, duplicate=True)

    def build_entry(self) -> Entry | None:
        """Return the entry, or None if there is nothing to store because every event was a repeat."""
        if not (self._rows or self.changed_traits or self.dropped):
            return None
        traits = [TraitsRow(*binding, known.traits, known.bound_at) for binding, known in self.changed_traits.items()]
        return Entry(
            self._number,
            self.last_seq,
            len(self._rows),
            events=encode_rows(self._rows),
            traits=encode_rows(traits),
            event_ids=encode_rows(self.event_ids),
            dropped=encode_rows(list(self.dropped.values())),
        )

    def _drop(self, event: NewEvent) -> None:
        at = event.received_at
        row = self.dropped.setdefault(event.list_id, DroppedRow(event.list_id, 0, at, at))
        row.events += 1
        row.first_seen, row.last_seen = min(row.first_seen, at), max(row.last_seen, at)

    def _is_unbound(self, event: NewEvent) -> bool:
        binding = get_binding_key(event)
        return binding is not None and self.bindings.get(binding, event) is None

    def _bind(self, event: NewEvent, seq: int) -> bool:
        """Bind the event's email address to its visitor, merge its traits, and return whether the binding is new."""
        binding = get_binding_key(event)
        if binding is None or binding not in self.bindings:
            return False  # no address, or a known binding without traits to change
        known = self.bindings[binding]
        if newly_bound := known is None:
            known = KnownBinding(event.received_at, seq)
            self.bindings[binding] = self.new_bindings[binding] = known
        if event.traits is not None and (traits := _decode_traits(event.traits)):
            known.traits = {**(known.traits or {}), **traits}
            self.changed_traits[binding] = known
        return newly_bound

    def _add_row(self, event: NewEvent, event_id: str, name: str, properties: bytes, *, automatic: bool | None) -> None:
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
                automatic=automatic,
            )
        )


def get_event_key(event: NewEvent, event_id: str) -> EventKey:
    """Return the key under which an EventID counts: within its account and list.

    A key may be bound to a list. If EventIDs counted within the account, it would get another list's visitor as the answer to a
    repeat.
    """
    return f"{event.account_id}/{event.list_id}", event_id


def get_binding_key(event: NewEvent) -> BindingKey | None:
    """Return the binding that an event asks for, or None if it has no email address. The address's case is ignored."""
    return None if event.email is None else (event.list_id, event.visitor, event.email.lower())


def build_identify_properties(event: NewEvent) -> bytes:
    """Return an event's properties with `emailAddress` added, unless they have it already."""
    properties = event.properties
    if event.email is None or (b'"emailAddress"' in properties and "emailAddress" in _decode_properties(properties)):
        return properties
    comma = b"" if properties == b"{}" else b","
    return properties[:-1] + comma + b'"emailAddress":' + encode(event.email) + b"}"


def find_fault(event: NewEvent) -> str | None:
    """Return why no row can hold an event, or None. Events are acknowledged before the database checks them."""
    if not _are_uuids(event.visitor + (event.id or event.visitor)):
        return "its event id and visitor must be UUIDs in lower case"
    times_are_valid = (
        _FIRST_US <= event.occurred_at < _LAST_US
        and _FIRST_US <= event.received_at < _LAST_US
        and (event.client_timestamp is None or _FIRST_US <= event.client_timestamp < _LAST_US)
    )
    if not times_are_valid or not 0 <= event.list_id < _LIST_ID_LIMIT:
        return "its list id must be from 0 to 2**63 - 1, and its times must be in the years 1 to 9999"
    if event.properties[:1] != b"{" or event.properties[-1:] != b"}":
        return "its properties must be a JSON object"
    return None
