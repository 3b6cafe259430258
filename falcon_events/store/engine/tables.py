"""Tables: write journal entries into the database, many in one transaction that also records the last entry's number."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import duckdb
import msgspec

from falcon_events.store.database.statements import Statements
from falcon_events.store.engine.draft import BindingKey, KnownBinding
from falcon_events.store.engine.entry import (
    EMPTY,
    Entry,
    EventIDRow,
    TraitsRow,
    decode_event_ids,
    decode_rows,
    decode_traits,
    encode,
    join_arrays,
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
# A seq that a fold or a webhook has passed is never assigned again, even if its event was deleted.
LAST_SEQ = """
select greatest(coalesce(max(seq), 0), (select folded_seq from meta), (select coalesce(max(next_seq), 1) - 1 from webhooks))
from events
"""

PORTION_BYTES = 8 << 20
"""The most JSON in one statement. DuckDB keeps several copies of it, within its memory limit."""

Row = TypeVar("Row", TraitsRow, EventIDRow)


class Tables:
    """Tables of the database, for the writer thread only.

    Args:
        connection: the store's writing connection.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._reading = connection
        # Planning an insert of a few rows costs more than running it. Without the optimizer it takes half the time.
        self._writing = connection.cursor()
        self._writing.execute("pragma disable_optimizer")
        self._statements = Statements(self._writing)
        self.applied = 0
        """The number of the last applied entry."""
        self.refresh_applied()
        ((self.last_seq,),) = connection.execute(LAST_SEQ).fetchall()
        """The highest seq of the events in the tables, or the watermark if the events up to it have been deleted."""

    def apply(self, entries: Sequence[Entry]) -> None:
        """Write the entries that follow the last applied one, in one transaction, synced to disk.

        Raises:
            duckdb.Error: none of the entries were written, or all of them; refresh_applied() tells which.
        """
        last = entries[-1]
        with self._transaction():
            self._write(entries)
            self._statements.run(MARK_APPLIED, number=last.number)
        self.applied, self.last_seq = last.number, max(self.last_seq, last.last_seq)

    def refresh_applied(self) -> None:
        """Read which entries the tables have, after a transaction whose outcome is unknown. Raises duckdb.Error."""
        ((self.applied,),) = self._reading.execute(APPLIED).fetchall()

    def skip_to(self, number: int) -> None:
        """Mark the entries up to this number as applied, so that none of them is ever applied."""
        self._statements.run(MARK_APPLIED, number=number)
        self.applied = number

    def find_refused(self, entry: Entry) -> list[msgspec.Raw]:
        """Return the event rows of an entry that the database refuses, by inserting them in transactions that are rolled back."""
        return self._find_refused_rows(decode_rows(entry.events))

    def fold_bindings(self, bindings: dict[BindingKey, KnownBinding]) -> None:
        """Write bindings that only events record so far. Call it before the catalogue's fold passes these events."""
        rows = [TraitsRow(*binding, None, known.bound_at) for binding, known in bindings.items()]
        self._statements.run(FOLD_BINDINGS, rows=encode(rows).decode())

    def forget_event_ids(self, before_us: int) -> None:
        """Delete the EventIDs stored up to this time, in microseconds since 1970."""
        self._reading.execute(FORGET_EXPIRED, {"since": before_us})

    def close(self) -> None:
        """Close the cursor that the constructor opened."""
        self._writing.close()

    def _write(self, entries: Sequence[Entry]) -> None:
        for events in _split_events(entries):
            self._statements.run(INSERT_EVENTS, rows=events)
        for sql, rows in (
            (WRITE_TRAITS, _keep_last((entry.traits for entry in entries), decode_traits, _get_binding_key)),
            (INSERT_EVENT_IDS, join_arrays(entry.event_ids for entry in entries)),
            (RENEW_EVENT_IDS, _keep_last((entry.renewed_event_ids for entry in entries), decode_event_ids, _get_event_key)),
            (COUNT_DROPPED, join_arrays(entry.dropped for entry in entries)),
        ):
            if rows:
                self._statements.run(sql, rows=rows)

    def _find_refused_rows(self, rows: list[msgspec.Raw]) -> list[msgspec.Raw]:
        try:
            with self._transaction(keep=False):
                self._statements.run(INSERT_EVENTS, rows=encode(rows).decode())
        except duckdb.Error:
            if len(rows) == 1:
                return rows
            middle = len(rows) // 2
            return self._find_refused_rows(rows[:middle]) + self._find_refused_rows(rows[middle:])
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


def _split_events(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the events of entries as JSON arrays of at most PORTION_BYTES each. A larger event is an array of its own."""
    portion: list[msgspec.Raw] = []
    size = 0
    for entry in entries:
        whole = len(bytes(entry.events)) <= PORTION_BYTES
        for array in [entry.events] if whole else [msgspec.Raw(b"[%b]" % bytes(row)) for row in decode_rows(entry.events)]:
            size += len(bytes(array))
            if portion and size > PORTION_BYTES:
                yield join_arrays(portion)
                portion, size = [], len(bytes(array))
            portion.append(array)
    if events := join_arrays(portion):
        yield events


def _keep_last(arrays: Iterable[msgspec.Raw], decode: Callable[[msgspec.Raw], list[Row]], key: Callable[[Row], object]) -> str:
    """Return the rows of all arrays as one, with only the last row of each key, since a statement may update a row only once."""
    rows = {key(row): row for array in arrays if array != EMPTY for row in decode(array)}
    return encode(list(rows.values())).decode() if rows else ""


def _get_binding_key(row: TraitsRow) -> BindingKey:
    return row.list_id, row.visitor, row.email


def _get_event_key(row: EventIDRow) -> tuple[str, str]:
    return row.account_id, row.event_id
