"""One batch, one transaction: repeats, bindings, identify events, and the events themselves."""

from __future__ import annotations

import contextlib
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import msgspec

from falcon_events.store.records import NewEvent, Receipt

INSERT_EVENTS = """
insert into events
select r.seq, r.event_id, r.account_id, r.list_id, r.event as event, r.visitor, r.external_id, r.email,
       make_timestamp(r.occurred_at), make_timestamp(r.received_at), r.properties
from (select unnest(from_json_strict($rows, '[{"seq": "BIGINT", "event_id": "UUID", "account_id": "VARCHAR",
    "list_id": "BIGINT", "event": "VARCHAR", "visitor": "UUID", "external_id": "VARCHAR", "email": "VARCHAR",
    "occurred_at": "BIGINT", "received_at": "BIGINT", "properties": "JSON"}]')) as r)
"""
FIND_REPEATS = """
select known.account_id, known.event_id::varchar, known.visitor::varchar, known.external_id, known.identify_event_sent
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID"}]')) as r) as asked
join event_ids as known on known.account_id = asked.r.account_id and known.event_id = asked.r.event_id
where known.stored_at > make_timestamp($since)
"""
FORGET_EXPIRED = "delete from event_ids where stored_at <= make_timestamp($since)"
INSERT_EVENT_IDS = """
insert into event_ids
select r.account_id, r.event_id, r.visitor, r.external_id, r.identify_event_sent, make_timestamp(r.stored_at)
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID", "visitor": "UUID",
    "external_id": "VARCHAR", "identify_event_sent": "BOOLEAN", "stored_at": "BIGINT"}]')) as r)
on conflict do update set visitor = excluded.visitor, external_id = excluded.external_id,
    identify_event_sent = excluded.identify_event_sent, stored_at = excluded.stored_at
"""
FIND_BINDINGS = """
select known.list_id, known.visitor::varchar, known.email, known.traits
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR"}]')) as r) as asked
join bindings as known
    on known.list_id = asked.r.list_id and known.visitor = asked.r.visitor and known.email = asked.r.email
"""
INSERT_BINDINGS = """
insert into bindings
select r.list_id, r.visitor, r.email, r.traits, make_timestamp(r.bound_at)
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR",
    "traits": "JSON", "bound_at": "BIGINT"}]')) as r)
"""
UPDATE_TRAITS = """
update bindings set traits = changed.r.traits
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR",
    "traits": "JSON", "bound_at": "BIGINT"}]')) as r) as changed
where bindings.list_id = changed.r.list_id and bindings.visitor = changed.r.visitor and bindings.email = changed.r.email
"""

LAST_SEQ = "select greatest(coalesce(max(seq), 0), (select folded_seq from meta)) from events"

Binding = tuple[int, str, str]
"""A visitor and an email address, lower-cased, within a list."""

_encode = msgspec.json.Encoder().encode


class _Row(msgspec.Struct, gc=False):
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


class _EventIDRow(msgspec.Struct, gc=False):
    """A row of the table event_ids: an answer that a repeat gets again."""

    account_id: str
    event_id: str
    visitor: str
    external_id: str
    identify_event_sent: bool
    stored_at: int


class _BindingRow(msgspec.Struct, gc=False):
    """A row of the table bindings; traits are the merged ones."""

    list_id: int
    visitor: str
    email: str
    traits: dict[str, Any] | None
    bound_at: int


class _Plan:
    """What one transaction is to write, worked out event by event, in their order."""

    def __init__(
        self, last_seq: int, repeats: dict[tuple[str, str], Receipt], bindings: dict[Binding, _BindingRow | None]
    ) -> None:
        self.last_seq = last_seq
        self.receipts: list[Receipt] = []
        self.rows: list[_Row] = []
        self.event_ids: list[_EventIDRow] = []
        self.new_bindings: dict[Binding, _BindingRow] = {}
        self.changed_traits: dict[Binding, _BindingRow] = {}
        self._repeats = repeats
        self._bindings = bindings

    def add(self, event: NewEvent) -> None:
        key = (event.account_id, event.event_id)
        if event.repeatable and key in self._repeats:
            self.receipts.append(self._repeats[key])
            return
        newly_bound = self._bind(event)
        is_identify = event.event == "identify"
        sent = newly_bound or is_identify
        properties = event.properties
        if sent and event.email is not None and "emailAddress" not in properties:
            properties = {**properties, "emailAddress": event.email}
        if sent and not is_identify:
            # Before its event: an export that is read in again then finds the visitor bound and makes no second one.
            self._add_row(event, str(uuid.uuid4()), "identify", properties)
        self._add_row(event, event.event_id, event.event, properties if is_identify else event.properties)
        receipt = Receipt(event.event_id, event.visitor, event.external_id, sent)
        self.receipts.append(receipt)
        if event.repeatable:
            self._repeats[key] = msgspec.structs.replace(receipt, duplicate=True)
            answer = (event.account_id, event.event_id, event.visitor, event.external_id, sent)
            self.event_ids.append(_EventIDRow(*answer, event.received_at))

    def _bind(self, event: NewEvent) -> bool:
        """Whether the event's address was not yet bound to its visitor; takes in its traits too."""
        binding = binding_of(event)
        if binding is None or binding not in self._bindings:
            return False  # no address, or a binding known from memory without traits to change
        row = self._bindings[binding]
        if newly_bound := row is None:
            row = _BindingRow(*binding, None, event.received_at)
            self._bindings[binding] = self.new_bindings[binding] = row
        if event.traits:
            row.traits = {**(row.traits or {}), **event.traits}
            if binding not in self.new_bindings:
                self.changed_traits[binding] = row
        return newly_bound

    def known_bindings(self) -> Iterable[Binding]:
        """The bindings that are in the table once this plan is committed."""
        return (binding for binding, row in self._bindings.items() if row is not None)

    def _add_row(self, event: NewEvent, event_id: str, name: str, properties: dict[str, Any]) -> None:
        self.last_seq += 1
        self.rows.append(
            _Row(
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
            )
        )


def binding_of(event: NewEvent) -> Binding | None:
    """The binding that an event asks for, if it has an address; addresses bind whatever their case."""
    return None if event.email is None else (event.list_id, event.visitor, event.email.lower())


class BatchCommitter:
    """Commits batches of new events over one connection, each in one transaction.

    Args:
        connection: the store's only writing connection.
        event_id_window_s: how long an EventID counts as a repeat, in seconds.
        binding_cache: how many known bindings are kept in memory.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, event_id_window_s: int, binding_cache: int) -> None:
        self._connection = connection
        self._window_us = event_id_window_s * 1_000_000
        self._cache_size = binding_cache
        self._bound: OrderedDict[Binding, None] = OrderedDict()
        self._statements: dict[str, duckdb.Statement] = {}
        self.last_seq = self.stored_seq()
        self.unconfirmed: tuple[int, list[Receipt]] | None = None
        """The last seq and the receipts of a transaction whose commit did not return; stored_seq() tells its outcome."""

    def stored_seq(self) -> int:
        """The highest seq given out; the watermark's, where the events up to it have been deleted."""
        ((seq,),) = self._connection.execute(LAST_SEQ).fetchall()
        return int(seq)

    def commit(self, events: Sequence[NewEvent]) -> list[Receipt]:
        """Stores the events in one transaction, synced to disk, and says what became of each.

        Raises:
            duckdb.Error: nothing was stored; or, where `unconfirmed` is set, perhaps all was.
        """
        self._connection.begin()
        try:
            plan = _Plan(self.last_seq, self._find_repeats(events), self._find_bindings(events))
            for event in events:
                plan.add(event)
            self._write(plan)
            self.unconfirmed = (plan.last_seq, plan.receipts)
            self._connection.commit()
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # a failed commit has ended the transaction already
                self._connection.rollback()
            raise
        self.unconfirmed = None
        self.last_seq = plan.last_seq
        self._remember(plan.known_bindings())
        return plan.receipts

    def forget_bindings(self) -> None:
        """Empties the cache of known bindings, after rows of that table were deleted."""
        self._bound.clear()

    def forget_expired_event_ids(self, now_us: int) -> None:
        """Deletes the EventIDs that are older than the window."""
        self._connection.execute(FORGET_EXPIRED, {"since": now_us - self._window_us})

    def _find_repeats(self, events: Sequence[NewEvent]) -> dict[tuple[str, str], Receipt]:
        asked = [event for event in events if event.repeatable]
        if not asked:
            return {}
        keys = [{"account_id": event.account_id, "event_id": event.event_id} for event in asked]
        since = min(event.received_at for event in asked) - self._window_us
        known = self._run(FIND_REPEATS, rows=_json(keys), since=since).fetchall()
        return {
            (account, event_id): Receipt(event_id, visitor, external_id, sent, duplicate=True)
            for account, event_id, visitor, external_id, sent in known
        }

    def _find_bindings(self, events: Sequence[NewEvent]) -> dict[Binding, _BindingRow | None]:
        """The bindings whose row this batch may write: those that memory does not know, and those that get traits."""
        asked: dict[Binding, _BindingRow | None] = {}
        for event in events:
            binding = binding_of(event)
            if binding is not None and (event.traits or binding not in self._bound):
                asked[binding] = None
        if asked:
            keys = [{"list_id": list_id, "visitor": visitor, "email": email} for list_id, visitor, email in asked]
            for list_id, visitor, email, traits in self._run(FIND_BINDINGS, rows=_json(keys)).fetchall():
                known = None if traits is None else msgspec.json.decode(traits)
                asked[(list_id, visitor, email)] = _BindingRow(list_id, visitor, email, known, 0)
        return asked

    def _write(self, plan: _Plan) -> None:
        for statement, rows in (
            (INSERT_EVENTS, plan.rows),
            (INSERT_BINDINGS, list(plan.new_bindings.values())),
            (UPDATE_TRAITS, list(plan.changed_traits.values())),
            (INSERT_EVENT_IDS, plan.event_ids),
        ):
            if rows:
                self._run(statement, rows=_json(rows))

    def _run(self, sql: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        statement = self._statements.get(sql)
        if statement is None:
            (statement,) = self._connection.extract_statements(sql)
            self._statements[sql] = statement
        return self._connection.execute(statement, parameters)

    def _remember(self, bindings: Iterable[Binding]) -> None:
        self._bound.update(dict.fromkeys(bindings))
        while len(self._bound) > self._cache_size:
            self._bound.popitem(last=False)


def _json(rows: object) -> str:
    return _encode(rows).decode()
