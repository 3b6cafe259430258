"""Recall: finds repeats and bindings, journaled ones included, from memory where possible and else from the tables."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from falcon_events.model.events import NewEvent, Receipt
from falcon_events.model.ids import RandomUUIDs
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, duckdb
from falcon_events.store.database.statements import Statements
from falcon_events.store.engine.draft import BindingKey, Draft, EventKey, KnownBinding, get_binding_key, get_event_key
from falcon_events.store.engine.entry import EMPTY, Entry, decode_event_ids, encode
from falcon_events.store.engine.name_limits import NameLimits
from falcon_events.store.engine.tables import FIND_BINDINGS, Tables

# A join on one column passes a filter on to the scan, which reads the other columns of the found rows only.
FIND_REPEATS = """
select account_id, event_id::varchar, visitor::varchar, external_id, identify_event_sent, epoch_us(stored_at)
from event_ids
where rowid in (
    select known.rowid
    from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID"}]')) as r) as asked
    join event_ids as known on known.event_id = asked.r.event_id
    where known.stored_at >= make_timestamp($first) and known.stored_at <= make_timestamp($last)
)
"""
# An event's identify event has the seq right before it (draft.py). The times of receipt let DuckDB's zone maps skip row groups.
FIND_STORED = """
with near as (
    select seq, event_id, event, visitor, external_id, received_at from events
    where received_at >= make_timestamp($first) and received_at <= make_timestamp($last)
)
select stored.event_id::varchar, epoch_us(stored.received_at), stored.visitor::varchar, stored.external_id,
    stored.event = 'identify' or before.event_id is not null
from (select unnest(from_json_strict($rows, '["UUID"]')) as event_id) as asked
join near as stored on stored.event_id = asked.event_id
left join near as before on before.seq = stored.seq - 1 and before.event = 'identify' and before.visitor = stored.visitor
    and before.received_at = stored.received_at and before.external_id = stored.external_id
"""
LAST_BINDING = "select max(rowid) from bindings"
NEWEST_BINDINGS = "select list_id, visitor::varchar, email from bindings where rowid > $row order by rowid"
# Every new binding has an identify event, so the unfolded identify events tell which bindings the table lacks.
UNFOLDED_BINDINGS = """
select list_id, visitor::varchar, email, epoch_us(received_at), seq from events
where seq > (select folded_seq from meta) and event = 'identify' and email is not null
order by seq desc
"""


class Recall:
    """Last seq, known EventIDs and known bindings, by which a draft decides what a new event stores.

    The intake thread drafts and remembers; the writer thread reports what has been applied and folded.

    Args:
        connection: a connection to the store, whose tables have every entry of the journal.
        tables: its tables.
        settings: the size of the binding cache, and how long an EventID is remembered.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, tables: Tables, settings: Settings) -> None:
        self.last_seq = tables.last_seq
        self._window_us = settings.event_id_window_s * 1_000_000
        self._cache_size = settings.binding_cache
        self._new_ids = RandomUUIDs()
        self._changing = threading.Lock()
        self._bound: OrderedDict[BindingKey, None] = OrderedDict()
        self._unfolded: dict[BindingKey, KnownBinding] = {}
        self._traits: dict[BindingKey, tuple[int, KnownBinding]] = {}
        """Bindings whose traits are newer than the table's, each with the last seq of its entry."""
        self._event_ids: dict[EventKey, tuple[Receipt, int]] = {}
        """Receipts of EventIDs that are not in the table yet, and when their events were received."""
        self.reconnect(connection, tables)
        self.load_bindings()

    def reconnect(self, connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
        """Use a cursor of this connection from now on, and the filters of these tables."""
        self._connection = connection.cursor()
        self._statements = Statements(self._connection)
        self._tables = tables

    def close(self) -> None:
        """Close the cursor, because it would keep the database alive."""
        self._connection.close()

    def draft(self, number: int, events: Sequence[NewEvent], limits: NameLimits | None = None) -> Draft:
        """Draft the journal entry of this number for these events.

        Args:
            number: the entry's number.
            events: the events.
            limits: the limits of names; None: there are none.

        Raises:
            duckdb.Error: the tables could not be read.
        """
        if limits is not None:
            limits.begin_draft()
        draft = Draft(
            number,
            self.last_seq,
            self._find_repeats(events),
            self._find_bindings(events),
            self._new_ids,
            self._find_resent(events),
            limits,
        )
        for event in events:
            draft.add(event)
        return draft

    def remember(self, draft: Draft) -> None:
        """Remember a draft that was journaled."""
        self.last_seq = draft.last_seq
        for row in draft.event_ids:
            receipt = Receipt(row.event_id, row.visitor, row.external_id, row.identify_event_sent, duplicate=True)
            self._event_ids[(row.account_id, row.event_id)] = (receipt, row.stored_at)
        if draft.bindings:
            with self._changing:
                self._unfolded.update(draft.new_bindings)
                self._traits.update({binding: (draft.last_seq, known) for binding, known in draft.changed_traits.items()})
                found = [binding for binding, known in draft.bindings.items() if known is not None]
                self._bound.update(dict.fromkeys(binding for binding in found if binding not in self._unfolded))
                self._shrink()

    def forget_applied(self, entries: Sequence[Entry]) -> None:
        """Forget what these entries contain, since the tables and their filters have it now."""
        for entry in entries:
            for rows in (entry.event_ids, entry.renewed_event_ids):
                for row in decode_event_ids(rows) if rows != EMPTY else ():
                    key = (row.account_id, row.event_id)
                    if (newest := self._event_ids.get(key)) and newest[1] == row.stored_at:  # else a later entry renews it
                        del self._event_ids[key]
        if self._traits:
            with self._changing:
                last = entries[-1].last_seq
                self._traits = {binding: newer for binding, newer in self._traits.items() if newer[0] > last}

    def unfolded_bindings(self, last_seq: int) -> dict[BindingKey, KnownBinding]:
        """Return the bindings of events up to this seq that the table bindings lacks."""
        with self._changing:
            return {binding: known for binding, known in self._unfolded.items() if known.seq <= last_seq}

    def forget_folded(self, bindings: Iterable[BindingKey]) -> None:
        """Move these bindings from the unfolded ones to the cache, since the table has them now."""
        with self._changing:
            for binding in bindings:
                del self._unfolded[binding]
                self._bound[binding] = None
            self._shrink()

    def load_bindings(self) -> None:
        """Fill the cache with the newest bindings: at the start, and after rows of the table bindings were deleted."""
        ((last,),) = self._connection.execute(LAST_BINDING).fetchall()
        newest = self._connection.execute(NEWEST_BINDINGS, {"row": (last or 0) - self._cache_size}).fetchall()
        found = self._connection.execute(UNFOLDED_BINDINGS).fetchall()
        with self._changing:
            self._bound = OrderedDict.fromkeys(newest)
            self._unfolded = {(i, visitor, email.lower()): KnownBinding(at, seq) for i, visitor, email, at, seq in found}
            self._traits.clear()

    def read_names(self, list_id: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the event types and property names of a list that the tables have, a name or none at a time."""
        values = {"list_id": list_id, "folded": catalogue.read_folded_seq(self._connection)}
        rows = self._connection.execute(catalogue.PROPERTIES, values)
        while portion := rows.fetchmany(catalogue.FETCHED_AT_ONCE):
            for event, name in portion:
                yield event, () if name is None else (name,)

    def _find_repeats(self, events: Sequence[NewEvent]) -> dict[EventKey, Receipt]:
        """Return the receipts of known EventIDs that have not expired."""
        repeats: dict[EventKey, Receipt] = {}
        asked: dict[EventKey, int] = {}
        for event in events:
            if not event.event_id:
                continue
            key, since = get_event_key(event, event.event_id), event.received_at - self._window_us
            if (newest := self._event_ids.get(key)) is None:  # before the filter, which has the key once this lacks it
                asked[key] = since
            elif newest[1] > since:
                repeats[key] = newest[0]
        found = self._tables.event_ids.look_up(self._statements, FIND_REPEATS, asked) if asked else ()
        for account, event_id, visitor, external_id, sent, at in found:
            if at > asked.get((account, event_id), at):  # else it has expired, or is another account's
                repeats[(account, event_id)] = Receipt(event_id, visitor, external_id, sent, duplicate=True)
        return repeats

    def _find_resent(self, events: Sequence[NewEvent]) -> dict[tuple[str, int], Receipt]:
        """Return the receipts of resent events that an earlier owner process stored but did not acknowledge before it ended."""
        asked = [event for event in events if event.again and event.id]
        if not asked:
            return {}
        times = [event.received_at for event in asked]
        found = self._query(FIND_STORED, rows=_json([event.id for event in asked]), first=min(times), last=max(times))
        return {
            (event_id, at): Receipt(event_id, visitor, external_id, sent) for event_id, at, visitor, external_id, sent in found
        }

    def _find_bindings(self, events: Sequence[NewEvent]) -> dict[BindingKey, KnownBinding | None]:
        """Return the bindings that this batch may write: those not in memory, and those that get traits."""
        asked: dict[BindingKey, KnownBinding | None] = {}
        uncertain = []
        for event in events:
            binding = get_binding_key(event)
            if binding is None or binding in asked:
                continue
            known = self._unfolded.get(binding)
            if event.traits is None and (known is not None or binding in self._bound):
                continue
            # Copies from here on, because a draft takes effect only when it is journaled.
            if (newest := self._traits.get(binding)) is not None:
                asked[binding] = msgspec.structs.replace(newest[1])
                continue
            asked[binding] = None if known is None else msgspec.structs.replace(known)
            uncertain.append(binding)
        found = self._tables.bindings.look_up(self._statements, FIND_BINDINGS, uncertain) if uncertain else ()
        for list_id, visitor, email, traits, _ in found:
            known = asked[(list_id, visitor, email)] or KnownBinding(0, 0)
            known.traits = None if traits is None else msgspec.json.decode(traits)
            asked[(list_id, visitor, email)] = known
        return asked

    def _shrink(self) -> None:
        while len(self._bound) > self._cache_size:
            self._bound.popitem(last=False)

    def _query(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        return self._statements.run(sql, **parameters).fetchall()


def _json(rows: object) -> str:
    return encode(rows).decode()
