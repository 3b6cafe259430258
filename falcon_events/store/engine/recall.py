"""What the store knows without asking its tables: the last seq, bindings and EventIDs, journaled ones included."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import msgspec

from falcon_events.model.events import NewEvent, Receipt
from falcon_events.model.ids import RandomUUIDs
from falcon_events.settings import Settings
from falcon_events.store.database.statements import Statements
from falcon_events.store.engine.draft import Binding, Draft, EventKey, KnownBinding, binding_of, check
from falcon_events.store.engine.entry import NOTHING, Entry, decode_event_ids, encode
from falcon_events.store.engine.filter import Filter

FIND_REPEATS = """
select known.account_id, known.event_id::varchar, known.visitor::varchar, known.external_id, known.identify_event_sent,
       epoch_us(known.stored_at)
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID"}]')) as r) as asked
join event_ids as known on known.account_id = asked.r.account_id and known.event_id = asked.r.event_id
"""
# An event's identify event stands right before it (draft.py). The time of receipt came with the event, so a zone map finds it.
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
FIND_BINDINGS = """
select known.list_id, known.visitor::varchar, known.email, known.traits
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR"}]')) as r) as asked
join bindings as known
    on known.list_id = asked.r.list_id and known.visitor = asked.r.visitor and known.email = asked.r.email
"""
COUNT_EVENT_IDS = "select count(*) from event_ids"
EVENT_IDS = "select account_id, event_id::varchar from event_ids"
COUNT_BINDINGS = "select count(*) from bindings"
BINDINGS = "select list_id, visitor::varchar, email from bindings"
NEWEST_BINDINGS = "select list_id, visitor::varchar, email from bindings order by bound_at desc limit $most"
# Every new binding has its identify event, so the events past the catalogue's fold tell which the table lacks.
UNFOLDED_BINDINGS = """
select list_id, visitor::varchar, email, epoch_us(received_at), seq from events
where seq > (select folded_seq from meta) and event = 'identify' and email is not null
order by seq desc
"""


class Knowledge:
    """Everything that decides what a new event leads to.

    It is asked and told in the thread that takes events in, and told of what the tables have in the writer's.

    Args:
        connection: to the store, whose tables have every entry of the journal.
        last_seq: the last seq given out.
        settings: how many bindings are kept, and how long EventIDs count.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, last_seq: int, settings: Settings) -> None:
        self.last_seq = last_seq
        self._window_us = settings.event_id_window_s * 1_000_000
        self._cache_size = settings.binding_cache
        self._new_ids = RandomUUIDs()
        self._changing = threading.Lock()
        self._bound: OrderedDict[Binding, None] = OrderedDict()
        self._unfolded: dict[Binding, KnownBinding] = {}
        self._traits: dict[Binding, tuple[int, KnownBinding]] = {}
        """Bindings whose traits are newer than the table's, and the last seq when they were."""
        self._bindings_filter = Filter(COUNT_BINDINGS, BINDINGS)
        self._event_ids: dict[EventKey, tuple[Receipt, int]] = {}
        """Answers of EventIDs that are not in the table yet, and when they were received."""
        self._event_ids_filter = Filter(COUNT_EVENT_IDS, EVENT_IDS)
        self.reconnect(connection)
        self.load_bindings()

    def reconnect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Reads over a cursor of this connection from now on."""
        self._connection = connection.cursor()
        self._statements = Statements(self._connection)
        self._fill(connection)

    def close(self) -> None:
        """Closes the cursors: they would keep the database alive."""
        self._event_ids_filter.close()
        self._bindings_filter.close()
        self._connection.close()

    def draft(self, number: int, events: Sequence[NewEvent]) -> Draft:
        """What these events lead to as the entry of this number.

        Raises:
            EventsError: no table could hold one of them.
            duckdb.Error: what is known could not be read.
        """
        for event in events:
            check(event)
        draft = Draft(
            number, self.last_seq, self._repeats(events), self._bindings(events), self._new_ids, self._stored_before(events)
        )
        for event in events:
            draft.add(event)
        return draft

    def took(self, draft: Draft) -> None:
        """Remembers what was journaled."""
        self.last_seq = draft.last_seq
        for row in (*draft.event_ids, *draft.renewed_event_ids):
            receipt = Receipt(row.event_id, row.visitor, row.external_id, row.identify_event_sent, duplicate=True)
            self._event_ids[(row.account_id, row.event_id)] = (receipt, row.stored_at)
        self._event_ids_filter.add((row.account_id, row.event_id) for row in draft.event_ids)
        if draft.bindings:
            with self._changing:
                self._unfolded.update(draft.new_bindings)
                self._bindings_filter.add(draft.new_bindings)  # after: a filling takes what is unfolded, and what is added
                self._traits.update({binding: (draft.last_seq, known) for binding, known in draft.changed_traits.items()})
                found = [binding for binding, known in draft.bindings.items() if known is not None]
                self._bound.update(dict.fromkeys(binding for binding in found if binding not in self._unfolded))
                self._shrink()

    def stored(self, entries: Sequence[Entry], connection: duckdb.DuckDBPyConnection) -> None:
        """Leaves to the tables what these entries had: they have been written; called in the connection's thread."""
        for entry in entries:
            for rows in (entry.event_ids, entry.renewed_event_ids):
                for row in decode_event_ids(rows) if rows != NOTHING else ():
                    key = (row.account_id, row.event_id)
                    if (newest := self._event_ids.get(key)) and newest[1] == row.stored_at:  # else a later entry renews it
                        del self._event_ids[key]
        self._fill(connection)
        if self._traits:
            with self._changing:
                last = entries[-1].last_seq
                self._traits = {binding: newer for binding, newer in self._traits.items() if newer[0] > last}

    def _fill(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._event_ids_filter.fill(connection, self._event_ids)
        self._bindings_filter.fill(connection, self._unfolded)

    def unfolded_bindings(self, last_seq: int) -> dict[Binding, KnownBinding]:
        """The bindings that only events up to this one tell of."""
        with self._changing:
            return {binding: known for binding, known in self._unfolded.items() if known.seq <= last_seq}

    def folded(self, bindings: Iterable[Binding]) -> None:
        """Leaves these bindings to the table and the cache."""
        with self._changing:
            for binding in bindings:
                del self._unfolded[binding]
                self._bound[binding] = None
            self._shrink()

    def load_bindings(self) -> None:
        """Fills the cache with the newest bindings: at the start, and after rows of that table were deleted."""
        newest = self._connection.execute(NEWEST_BINDINGS, {"most": self._cache_size}).fetchall()
        found = self._connection.execute(UNFOLDED_BINDINGS).fetchall()
        with self._changing:
            self._bound = OrderedDict.fromkeys(reversed(newest))
            self._unfolded = {(i, visitor, email.lower()): KnownBinding(at, seq) for i, visitor, email, at, seq in found}
            self._traits.clear()
            self._bindings_filter.add(self._unfolded)

    def _repeats(self, events: Sequence[NewEvent]) -> dict[EventKey, Receipt | None]:
        """The answers of EventIDs that are known; None for one whose time has run out, but whose row is still there."""
        repeats: dict[EventKey, Receipt | None] = {}
        asked: dict[EventKey, int] = {}
        for event in events:
            if not event.event_id:
                continue
            key, since = (event.account_id, event.event_id), event.received_at - self._window_us
            if (newest := self._event_ids.get(key)) is not None:
                repeats[key] = newest[0] if newest[1] > since else None
            elif self._event_ids_filter.may_have(key):
                asked[key] = since
        if asked:
            keys = [{"account_id": account, "event_id": event_id} for account, event_id in asked]
            for account, event_id, visitor, external_id, sent, at in self._find(FIND_REPEATS, rows=_json(keys)):
                receipt = Receipt(event_id, visitor, external_id, sent, duplicate=True)
                repeats[(account, event_id)] = receipt if at > asked[(account, event_id)] else None
        return repeats

    def _stored_before(self, events: Sequence[NewEvent]) -> dict[tuple[str, int], Receipt]:
        """The receipts of events that were sent before and are stored: whoever stored them died before it said so."""
        asked = [event for event in events if event.again and event.id]
        if not asked:
            return {}
        times = [event.received_at for event in asked]
        found = self._find(FIND_STORED, rows=_json([event.id for event in asked]), first=min(times), last=max(times))
        return {
            (event_id, at): Receipt(event_id, visitor, external_id, sent) for event_id, at, visitor, external_id, sent in found
        }

    def _bindings(self, events: Sequence[NewEvent]) -> dict[Binding, KnownBinding | None]:
        """The bindings that this batch may write: those that memory does not know, and those that get traits."""
        asked: dict[Binding, KnownBinding | None] = {}
        uncertain = []
        for event in events:
            binding = binding_of(event)
            if binding is None or binding in asked:
                continue
            known = self._unfolded.get(binding)
            if event.traits is None and (known is not None or binding in self._bound):
                continue
            # From here on copies: what is planned counts when it is journaled.
            if (newest := self._traits.get(binding)) is not None:
                asked[binding] = msgspec.structs.replace(newest[1])
                continue
            asked[binding] = None if known is None else msgspec.structs.replace(known)
            if self._bindings_filter.may_have(binding):
                uncertain.append(binding)
        if uncertain:
            keys = [{"list_id": list_id, "visitor": visitor, "email": email} for list_id, visitor, email in uncertain]
            for list_id, visitor, email, traits in self._find(FIND_BINDINGS, rows=_json(keys)):
                known = asked[(list_id, visitor, email)] or KnownBinding(0, 0)
                known.traits = None if traits is None else msgspec.json.decode(traits)
                asked[(list_id, visitor, email)] = known
        return asked

    def _shrink(self) -> None:
        while len(self._bound) > self._cache_size:
            self._bound.popitem(last=False)

    def _find(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        return self._statements.run(sql, **parameters).fetchall()


def _json(rows: object) -> str:
    return encode(rows).decode()
