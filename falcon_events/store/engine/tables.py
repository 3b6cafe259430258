"""Tables: write journal entries into the database, many in one transaction that also records the last entry's number."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from falcon_events.store.database import duckdb
from falcon_events.store.database.statements import Statements
from falcon_events.store.database.transaction import transaction
from falcon_events.store.engine.draft import BindingKey, KnownBinding
from falcon_events.store.engine.entry import (
    EMPTY,
    Entry,
    TraitsRow,
    decode_event_ids,
    decode_rows,
    decode_traits,
    encode,
    join_arrays,
)
from falcon_events.store.engine.filter import NO_LIMIT, binding_filter, event_id_filter

INSERT_EVENTS = """
insert into events
select r.seq, r.event_id, r.account_id, r.list_id, r.event as event, r.visitor, r.external_id, r.email,
       make_timestamp(r.occurred_at), make_timestamp(r.received_at), r.properties, make_timestamp(r.client_timestamp),
       r.client_address, r.automatic
from (select unnest(from_json_strict($rows, '[{"seq": "BIGINT", "event_id": "UUID", "account_id": "VARCHAR",
    "list_id": "BIGINT", "event": "VARCHAR", "visitor": "UUID", "external_id": "VARCHAR", "email": "VARCHAR",
    "occurred_at": "BIGINT", "received_at": "BIGINT", "properties": "JSON", "client_timestamp": "BIGINT",
    "client_address": "VARCHAR", "automatic": "BOOLEAN"}]')) as r)
"""
INSERT_EVENT_IDS = """
insert into event_ids
select r.account_id, r.event_id, r.visitor, r.external_id, r.identify_event_sent, make_timestamp(r.stored_at)
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID", "visitor": "UUID",
    "external_id": "VARCHAR", "identify_event_sent": "BOOLEAN", "stored_at": "BIGINT"}]')) as r)
"""
INSERT_BINDINGS = """
insert into bindings
select r.list_id, r.visitor, r.email, r.traits, make_timestamp(r.bound_at)
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR",
    "traits": "JSON", "bound_at": "BIGINT"}]')) as r)
"""
CHANGE_TRAITS = """
update bindings as known set traits = asked.r.traits
from (select unnest(from_json_strict($rows, '[{"row": "BIGINT", "traits": "JSON"}]')) as r) as asked
where known.rowid = asked.r.row
"""
# A join on one column passes a filter on to the scan, which reads the other columns of the found rows only. The limit keeps
# the joins apart.
FIND_BINDINGS = """
with asked as materialized (
    select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR"}]')) as r
)
select found.list_id, found.visitor::varchar, found.email, found.traits, found.row
from (
    select *, rowid as row from bindings
    where rowid in (
        select known.rowid from asked join bindings as known on known.visitor = asked.r.visitor
        where known.bound_at >= make_timestamp($first) and known.bound_at <= make_timestamp($last)
    )
    limit 1_000_000_000_000
) as found
join asked on found.list_id = asked.r.list_id and found.visitor = asked.r.visitor and found.email = asked.r.email
"""
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
FIRST_EVENT_IDS = "select epoch_us(min(stored_at)), epoch_us(max(stored_at)) from (select stored_at from event_ids limit $most)"
FORGET_EXPIRED = "delete from event_ids where stored_at <= make_timestamp($since)"
MARK_APPLIED = "update meta set journal_applied = $number"
APPLIED = "select journal_applied from meta"
# A seq that a fold or a webhook has passed is never assigned again, even if its event was deleted.
LAST_SEQ = """
select greatest(
    coalesce(max(seq), 0), (select folded_seq from meta), (select columns_seq from meta),
    (select coalesce(max(next_seq), 1) - 1 from webhooks)
)
from events
"""

PORTION_BYTES = 8 << 20
"""The most JSON in one statement. DuckDB keeps several copies of it, within its memory limit."""

BINDINGS_AT_ONCE = 5_000
"""The most bindings in one statement."""
FORGOTTEN_AT_ONCE = 250_000
"""About how many EventIDs one transaction deletes."""


class Tables:
    """Tables of the database, for the writer thread only.

    Args:
        connection: the store's writing connection.
        filter_bytes: the size of the filters of one table from which on they become less exact.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, filter_bytes: int = NO_LIMIT) -> None:
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
        self.event_ids = event_id_filter(filter_bytes)
        """The filters of the EventIDs in the tables."""
        self.bindings = binding_filter(filter_bytes)
        """The filters of the bindings in the tables."""
        self.event_ids.load(connection)
        self.bindings.load(connection)

    def apply(self, entries: Sequence[Entry]) -> None:
        """Write the entries that follow the last applied one, in one transaction, synced to disk.

        Raises:
            duckdb.Error: none of the entries were written, or all of them; refresh_applied() tells which.
        """
        last = entries[-1]
        with transaction(self._writing):
            self._write(entries)
            self._statements.run(MARK_APPLIED, number=last.number)
        self.applied, self.last_seq = last.number, max(self.last_seq, last.last_seq)

    def refresh_applied(self) -> None:
        """Read which entries the tables have, after a transaction whose outcome is unknown. Raises duckdb.Error."""
        ((self.applied,),) = self._reading.execute(APPLIED).fetchall()

    def end_transaction(self) -> None:
        """Roll back what failed: a rollback may have failed, too, for lack of memory, and its transaction be still open."""
        for connection in (self._reading, self._writing):
            with contextlib.suppress(duckdb.Error):
                connection.rollback()

    def skip_to(self, number: int) -> None:
        """Mark the entries up to this number as applied, so that none of them is ever applied."""
        self._statements.run(MARK_APPLIED, number=number)
        self.applied = number

    def find_refused(self, entry: Entry) -> list[msgspec.Raw]:
        """Return the event rows of an entry that the database refuses, by inserting them in transactions that are rolled back."""
        return self._find_refused_rows(decode_rows(entry.events))

    def fold_bindings(self, bindings: dict[BindingKey, KnownBinding]) -> None:
        """Write bindings that only events record so far. Call it before the catalogue's fold passes these events."""
        statements = Statements(self._reading)
        keys = [key for key, new in bindings.items() if new.traits is None]  # those with traits were written with their event
        for at in range(0, len(keys), BINDINGS_AT_ONCE):
            some = keys[at : at + BINDINGS_AT_ONCE]
            known = {row[:3] for row in self.bindings.look_up(statements, FIND_BINDINGS, some)}
            if new := [TraitsRow(*key, None, bindings[key].bound_at) for key in some if key not in known]:
                self._insert_bindings(new)

    def store_filters(self, *, closing: bool = False) -> None:
        """Store the filters that have enough new keys. Call it after a commit."""
        self.event_ids.store(self._reading, closing=closing)
        self.bindings.store(self._reading, closing=closing)

    def forget_event_ids(self, before_us: int, most_s: float) -> bool:
        """Delete EventIDs, oldest first, as a transaction that deletes many millions would take too much memory.

        Args:
            before_us: the time up to which they were stored, in microseconds since 1970.
            most_s: how long it may take, in seconds.

        Returns:
            Whether all of them have been deleted.
        """
        until = time.monotonic() + most_s
        while True:
            ((first, last),) = self._reading.execute(FIRST_EVENT_IDS, {"most": FORGOTTEN_AT_ONCE}).fetchall()
            if first is None or first > before_us:
                return True
            if time.monotonic() > until:
                return False
            forgotten = min(before_us, last)
            self._reading.execute(FORGET_EXPIRED, {"since": forgotten})
            self.event_ids.forget(self._reading, forgotten)

    @property
    def reads(self) -> bool:
        """Whether filters are being built by reading the tables, which keeps checkpoints waiting."""
        return self.event_ids.reads or self.bindings.reads

    def stop_reading(self) -> None:
        """Stop building filters. The next opening of the store continues."""
        self.event_ids.close()
        self.bindings.close()

    def close(self) -> None:
        """Close the cursors, because they would keep the database alive."""
        self.stop_reading()
        self._writing.close()

    def _write(self, entries: Sequence[Entry]) -> None:
        for events in _split_events(entries):
            self._statements.run(INSERT_EVENTS, rows=events)
        if traits := _keep_last(entry.traits for entry in entries):
            self._write_traits(traits)
        arrays = [array for entry in entries for array in (entry.event_ids, entry.renewed_event_ids) if array != EMPTY]
        if arrays:
            rows = [row for array in arrays for row in decode_event_ids(array)]
            # Before the rows are visible, and even if they are not written in the end: a filter may have too much.
            self.event_ids.add([(row.account_id, row.event_id) for row in rows], [row.stored_at for row in rows])
            self._statements.run(INSERT_EVENT_IDS, rows=join_arrays(arrays))
        if dropped := join_arrays(entry.dropped for entry in entries):
            self._statements.run(COUNT_DROPPED, rows=dropped)

    def _write_traits(self, traits: dict[BindingKey, TraitsRow]) -> None:
        changed: dict[BindingKey, int] = {}
        if self.bindings.group(traits):
            self._writing.execute("pragma enable_optimizer")  # without it these statements would read every binding
            try:
                found = self.bindings.look_up(self._statements, FIND_BINDINGS, traits)
                changed = {(list_id, visitor, email): row for list_id, visitor, email, _, row in found}
                if changed:
                    rows = [{"row": row, "traits": traits[key].traits} for key, row in changed.items()]
                    self._statements.run(CHANGE_TRAITS, rows=encode(rows).decode())
            finally:
                self._writing.execute("pragma disable_optimizer")
        if new := [row for key, row in traits.items() if key not in changed]:
            self._insert_bindings(new)

    def _insert_bindings(self, rows: Sequence[TraitsRow]) -> None:
        self.bindings.add([_get_binding_key(row) for row in rows], [row.bound_at for row in rows])
        self._statements.run(INSERT_BINDINGS, rows=encode(rows).decode())

    def _find_refused_rows(self, rows: list[msgspec.Raw]) -> list[msgspec.Raw]:
        self._writing.begin()
        try:
            self._statements.run(INSERT_EVENTS, rows=encode(rows).decode())
            return []
        except duckdb.Error:
            if len(rows) == 1:
                return rows
        finally:
            self._writing.rollback()
        middle = len(rows) // 2
        return self._find_refused_rows(rows[:middle]) + self._find_refused_rows(rows[middle:])


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


def _keep_last(arrays: Iterable[msgspec.Raw]) -> dict[BindingKey, TraitsRow]:
    """Return the last row of each binding, since a statement may update a row only once."""
    return {_get_binding_key(row): row for array in arrays if array != EMPTY for row in decode_traits(array)}


def _get_binding_key(row: TraitsRow) -> BindingKey:
    return row.list_id, row.visitor, row.email
