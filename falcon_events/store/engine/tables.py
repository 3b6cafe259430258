"""The tables take in what the journal has: many entries in one transaction, which says how far it has come."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import duckdb
import msgspec

from falcon_events.store.database.statements import Statements
from falcon_events.store.engine.draft import Binding, KnownBinding
from falcon_events.store.engine.entry import (
    NOTHING,
    Entry,
    EventIDRow,
    TraitsRow,
    decode_event_ids,
    decode_rows,
    decode_traits,
    encode,
    joined,
)

INSERT_EVENTS = """
insert into events
select r.seq, r.event_id, r.account_id, r.list_id, r.event as event, r.visitor, r.external_id, r.email,
       make_timestamp(r.occurred_at), make_timestamp(r.received_at), r.properties, make_timestamp(r.client_timestamp),
       r.client_address
from (select unnest(from_json_strict($rows, '[{"seq": "BIGINT", "event_id": "UUID", "account_id": "VARCHAR",
    "list_id": "BIGINT", "event": "VARCHAR", "visitor": "UUID", "external_id": "VARCHAR", "email": "VARCHAR",
    "occurred_at": "BIGINT", "received_at": "BIGINT", "properties": "JSON", "client_timestamp": "BIGINT",
    "client_address": "VARCHAR"}]')) as r)
"""
INSERT_EVENT_IDS = """
insert into event_ids
select r.account_id, r.event_id, r.visitor, r.external_id, r.identify_event_sent, make_timestamp(r.stored_at)
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID", "visitor": "UUID",
    "external_id": "VARCHAR", "identify_event_sent": "BOOLEAN", "stored_at": "BIGINT"}]')) as r)
"""
RENEW_EVENT_IDS = f"""{INSERT_EVENT_IDS} on conflict do update set visitor = excluded.visitor,
    external_id = excluded.external_id, identify_event_sent = excluded.identify_event_sent, stored_at = excluded.stored_at
"""
_INSERT_BINDINGS = """
insert into bindings
select r.list_id, r.visitor, r.email, r.traits, make_timestamp(r.bound_at)
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR",
    "traits": "JSON", "bound_at": "BIGINT"}]')) as r)
"""
FOLD_BINDINGS = f"{_INSERT_BINDINGS} on conflict do nothing"
WRITE_TRAITS = f"{_INSERT_BINDINGS} on conflict do update set traits = excluded.traits"
COUNT_DROPPED = """
insert into dropped_events
select r.list_id, sum(r.events), make_timestamp(min(r.first_seen)), make_timestamp(max(r.last_seen))
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "events": "BIGINT", "first_seen": "BIGINT",
    "last_seen": "BIGINT"}]')) as r)
group by r.list_id
on conflict do update set events = dropped_events.events + excluded.events,
    first_seen = least(dropped_events.first_seen, excluded.first_seen),
    last_seen = greatest(dropped_events.last_seen, excluded.last_seen)
"""
FORGET_EXPIRED = "delete from event_ids where stored_at <= make_timestamp($since)"
MARK_APPLIED = "update meta set journal_applied = $number"
APPLIED = "select journal_applied from meta"
# No number is given out twice that a fold or a webhook has gone past, even where its event was deleted.
LAST_SEQ = """
select greatest(coalesce(max(seq), 0), (select folded_seq from meta), (select coalesce(max(next_seq), 1) - 1 from webhooks))
from events
"""

PORTION_BYTES = 8 << 20
"""How much one statement takes in: the database holds it several times over, in the little memory that it may take."""

Row = TypeVar("Row", TraitsRow, EventIDRow)


class Tables:
    """Writes entries into the tables; for one thread.

    Args:
        connection: the store's writing connection.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._reading = connection
        # Planning costs more than running an insert of a few rows: without the optimizer, half the time.
        self._writing = connection.cursor()
        self._writing.execute("pragma disable_optimizer")
        self._statements = Statements(self._writing)
        self.applied = 0
        """The number of the last entry that the tables have."""
        self.look()
        ((self.last_seq,),) = connection.execute(LAST_SEQ).fetchall()
        """The highest seq of the events in the tables; the watermark's, where the events up to it have been deleted."""

    def apply(self, entries: Sequence[Entry]) -> None:
        """Writes entries that follow upon the last one, in one transaction, synced to disk.

        Raises:
            duckdb.Error: nothing of them was written; or all was, and applied() of a new connection says so.
        """
        last = entries[-1]
        with self._transaction():
            self._write(entries)
            self._statements.run(MARK_APPLIED, number=last.number)
        self.applied, self.last_seq = last.number, max(self.last_seq, last.last_seq)

    def look(self) -> None:
        """Finds out which entries the tables have, where a transaction's end is not known; raises duckdb.Error."""
        ((self.applied,),) = self._reading.execute(APPLIED).fetchall()

    def skip(self, number: int) -> None:
        """Has no entry up to this number ever applied any more."""
        self._statements.run(MARK_APPLIED, number=number)
        self.applied = number

    def refused(self, entry: Entry) -> list[msgspec.Raw]:
        """The rows of events that the database refuses, tried out in transactions that are rolled back."""
        return self._culprits(decode_rows(entry.events))

    def fold_bindings(self, bindings: dict[Binding, KnownBinding]) -> None:
        """Writes bindings that only events tell of; to be called before the catalogue's fold moves past these events."""
        rows = [TraitsRow(*binding, None, known.bound_at) for binding, known in bindings.items()]
        self._statements.run(FOLD_BINDINGS, rows=encode(rows).decode())

    def forget_event_ids(self, before_us: int) -> None:
        """Deletes the EventIDs that came before this time, in microseconds since 1970."""
        self._reading.execute(FORGET_EXPIRED, {"since": before_us})

    def close(self) -> None:
        """Closes the connection that it has made."""
        self._writing.close()

    def _write(self, entries: Sequence[Entry]) -> None:
        for events in _portions(entries):
            self._statements.run(INSERT_EVENTS, rows=events)
        for sql, rows in (
            (WRITE_TRAITS, _last((entry.traits for entry in entries), decode_traits, _binding)),
            (INSERT_EVENT_IDS, joined(entry.event_ids for entry in entries)),
            (RENEW_EVENT_IDS, _last((entry.renewed_event_ids for entry in entries), decode_event_ids, _key)),
            (COUNT_DROPPED, joined(entry.dropped for entry in entries)),
        ):
            if rows:
                self._statements.run(sql, rows=rows)

    def _culprits(self, rows: list[msgspec.Raw]) -> list[msgspec.Raw]:
        try:
            with self._transaction(keep=False):
                self._statements.run(INSERT_EVENTS, rows=encode(rows).decode())
        except duckdb.Error:
            if len(rows) == 1:
                return rows
            middle = len(rows) // 2
            return self._culprits(rows[:middle]) + self._culprits(rows[middle:])
        return []

    @contextlib.contextmanager
    def _transaction(self, *, keep: bool = True) -> Iterator[None]:
        self._writing.begin()
        try:
            yield
            if keep:
                self._writing.commit()
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # a failed commit has ended the transaction already
                self._writing.rollback()
            raise
        if not keep:
            self._writing.rollback()


def _portions(entries: Sequence[Entry]) -> Iterator[str]:
    """The events of entries, in as few arrays as stay within PORTION_BYTES; an event is never divided."""
    portion: list[msgspec.Raw] = []
    size = 0
    for entry in entries:
        whole = len(bytes(entry.events)) <= PORTION_BYTES
        for array in [entry.events] if whole else [msgspec.Raw(b"[%b]" % bytes(row)) for row in decode_rows(entry.events)]:
            size += len(bytes(array))
            if portion and size > PORTION_BYTES:
                yield joined(portion)
                portion, size = [], len(bytes(array))
            portion.append(array)
    if events := joined(portion):
        yield events


def _last(arrays: Iterable[msgspec.Raw], decode: Callable[[msgspec.Raw], list[Row]], key: Callable[[Row], object]) -> str:
    """The rows of all arrays; of those with one key the last, as no statement may meet a row twice."""
    rows = {key(row): row for array in arrays if array != NOTHING for row in decode(array)}
    return encode(list(rows.values())).decode() if rows else ""


def _binding(row: TraitsRow) -> Binding:
    return row.list_id, row.visitor, row.email


def _key(row: EventIDRow) -> tuple[str, str]:
    return row.account_id, row.event_id
