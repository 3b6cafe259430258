"""One batch, one transaction: looks up what the plan needs to know, writes what it says, commits."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import duckdb
import msgspec

from falcon_events.store.plan import Binding, BindingRow, EventKey, Plan, binding_of
from falcon_events.store.records import NewEvent, Receipt
from falcon_events.visitors import RandomUUIDs

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
FIND_REPEATS = """
select known.account_id, known.event_id::varchar, known.visitor::varchar, known.external_id, known.identify_event_sent,
       known.stored_at > make_timestamp($since)
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID"}]')) as r) as asked
join event_ids as known on known.account_id = asked.r.account_id and known.event_id = asked.r.event_id
"""
# An event's identify event stands right before it (plan.py). The time of receipt came with the event, so a zone map finds it.
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
FORGET_EXPIRED = "delete from event_ids where stored_at <= make_timestamp($since)"
INSERT_EVENT_IDS = """
insert into event_ids
select r.account_id, r.event_id, r.visitor, r.external_id, r.identify_event_sent, make_timestamp(r.stored_at)
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID", "visitor": "UUID",
    "external_id": "VARCHAR", "identify_event_sent": "BOOLEAN", "stored_at": "BIGINT"}]')) as r)
"""
REPLACE_EVENT_IDS = """
update event_ids set visitor = again.r.visitor, external_id = again.r.external_id,
    identify_event_sent = again.r.identify_event_sent, stored_at = make_timestamp(again.r.stored_at)
from (select unnest(from_json_strict($rows, '[{"account_id": "VARCHAR", "event_id": "UUID", "visitor": "UUID",
    "external_id": "VARCHAR", "identify_event_sent": "BOOLEAN", "stored_at": "BIGINT"}]')) as r) as again
where event_ids.account_id = again.r.account_id and event_ids.event_id = again.r.event_id
"""
FIND_BINDINGS = """
select known.list_id, known.visitor::varchar, known.email, known.traits
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "visitor": "UUID", "email": "VARCHAR"}]')) as r) as asked
join bindings as known
    on known.list_id = asked.r.list_id and known.visitor = asked.r.visitor and known.email = asked.r.email
"""
NEWEST_BINDINGS = "select list_id, visitor::varchar, email from bindings order by bound_at desc limit $most"
# Every new binding has its identify event, so the events past the catalogue's fold tell which the table lacks.
UNFOLDED_BINDINGS = """
select list_id, visitor::varchar, email, epoch_us(received_at) from events
where seq > (select folded_seq from meta) and event = 'identify' and email is not null
order by seq desc
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
select r.list_id, r.events, make_timestamp(r.first_seen), make_timestamp(r.last_seen)
from (select unnest(from_json_strict($rows, '[{"list_id": "BIGINT", "events": "BIGINT", "first_seen": "BIGINT",
    "last_seen": "BIGINT"}]')) as r)
on conflict do update set events = dropped_events.events + excluded.events,
    first_seen = least(dropped_events.first_seen, excluded.first_seen),
    last_seen = greatest(dropped_events.last_seen, excluded.last_seen)
"""

LAST_SEQ = "select greatest(coalesce(max(seq), 0), (select folded_seq from meta)) from events"

_encode = msgspec.json.Encoder().encode


class BatchCommitter:
    """Commits batches of new events, each in one transaction.

    Args:
        connection: the store's writing connection; what is looked up outside the transaction is read over it.
        event_id_window_s: how long an EventID counts as a repeat, in seconds.
        binding_cache: how many known bindings are kept in memory.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, event_id_window_s: int, binding_cache: int) -> None:
        self._reading = connection
        # Planning costs more than running an insert of a few rows: without the optimizer, half the time.
        self._writing = connection.cursor()
        self._writing.execute("pragma disable_optimizer")
        self._window_us = event_id_window_s * 1_000_000
        self._cache_size = binding_cache
        self._bound: OrderedDict[Binding, None] = OrderedDict()
        self._unfolded: dict[Binding, int] = {}
        self._knows_all = self._unsure = False
        self.load_bindings()
        self._new_ids = RandomUUIDs()
        self._statements: dict[str, duckdb.Statement] = {}
        self.last_seq = self.stored_seq()
        self.unconfirmed: tuple[int, list[Receipt]] | None = None
        """The last seq and the receipts of a transaction whose commit did not return; stored_seq() tells its outcome."""

    def stored_seq(self) -> int:
        """The highest seq given out; the watermark's, where the events up to it have been deleted."""
        ((seq,),) = self._reading.execute(LAST_SEQ).fetchall()
        return int(seq)

    def commit(self, events: Sequence[NewEvent]) -> list[Receipt]:
        """Stores the events in one transaction, synced to disk, and says what became of each.

        Raises:
            duckdb.Error: nothing was stored; or, where `unconfirmed` is set, perhaps all was.
        """
        if self._unsure:
            self._load_unfolded()
        plan = Plan(
            self.last_seq, self._find_repeats(events), self._find_bindings(events), self._new_ids, self._find_stored(events)
        )
        for event in events:
            plan.add(event)
        self.unconfirmed = (plan.last_seq, plan.receipts)
        try:
            self._write(plan)
        except BaseException:
            self._unsure = True  # perhaps it was written all the same
            raise
        self.unconfirmed = None
        self.last_seq = plan.last_seq
        self._unfolded.update({binding: row.bound_at for binding, row in plan.new_bindings.items()})
        self._remember(plan.known_bindings())
        return plan.receipts

    def load_bindings(self) -> None:
        """Fills the cache with the newest bindings: at the start, and after rows of that table were deleted.

        While it holds them all, a binding that it lacks is new, and no look-up is needed to know that.
        """
        newest = self._reading.execute(NEWEST_BINDINGS, {"most": self._cache_size + 1}).fetchall()
        self._knows_all = len(newest) <= self._cache_size
        self._bound = OrderedDict.fromkeys(reversed(newest[: self._cache_size]))
        self._load_unfolded()

    def fold_bindings(self) -> None:
        """Writes the bindings that only events tell of; to be called before the catalogue's fold moves past these events."""
        if self._unsure:
            self._load_unfolded()
        if self._unfolded:
            rows = [BindingRow(*binding, None, bound_at) for binding, bound_at in self._unfolded.items()]
            self._run(self._writing, FOLD_BINDINGS, rows=_json(rows))
            self._remember(self._unfolded)  # those that were loaded from the events are nowhere else
            self._unfolded.clear()

    def _load_unfolded(self) -> None:
        found = self._reading.execute(UNFOLDED_BINDINGS).fetchall()
        self._unfolded = {(list_id, visitor, email.lower()): bound_at for list_id, visitor, email, bound_at in found}
        self._unsure = False

    def forget_expired_event_ids(self, now_us: int) -> None:
        """Deletes the EventIDs that are older than the window."""
        self._reading.execute(FORGET_EXPIRED, {"since": now_us - self._window_us})

    def _find_repeats(self, events: Sequence[NewEvent]) -> dict[EventKey, Receipt | None]:
        """The answers of EventIDs that are known; None for one whose time has run out, but whose row is still there."""
        asked = [event for event in events if event.event_id]
        if not asked:
            return {}
        keys = [{"account_id": event.account_id, "event_id": event.event_id} for event in asked]
        since = min(event.received_at for event in asked) - self._window_us
        known = self._run(self._reading, FIND_REPEATS, rows=_json(keys), since=since).fetchall()
        return {
            (account, event_id): Receipt(event_id, visitor, external_id, sent, duplicate=True) if valid else None
            for account, event_id, visitor, external_id, sent, valid in known
        }

    def _find_stored(self, events: Sequence[NewEvent]) -> dict[tuple[str, int], Receipt]:
        """The receipts of events that were sent before and are stored: whoever stored them died before it said so."""
        asked = [event for event in events if event.again and event.id]
        if not asked:
            return {}
        times = [event.received_at for event in asked]
        found = self._run(
            self._reading, FIND_STORED, rows=_json([event.id for event in asked]), first=min(times), last=max(times)
        ).fetchall()
        return {
            (event_id, at): Receipt(event_id, visitor, external_id, sent) for event_id, at, visitor, external_id, sent in found
        }

    def _find_bindings(self, events: Sequence[NewEvent]) -> dict[Binding, BindingRow | None]:
        """The bindings whose row this batch may write: those that memory does not know, and those that get traits."""
        asked: dict[Binding, BindingRow | None] = {}
        for event in events:
            binding = binding_of(event)
            if binding is not None and (event.traits or not self._knows(binding)):
                asked[binding] = None
        uncertain = [binding for binding in asked if self._knows(binding)] if self._knows_all else asked
        if uncertain:
            keys = [{"list_id": list_id, "visitor": visitor, "email": email} for list_id, visitor, email in uncertain]
            for list_id, visitor, email, traits in self._run(self._reading, FIND_BINDINGS, rows=_json(keys)).fetchall():
                known = None if traits is None else msgspec.json.decode(traits)
                asked[(list_id, visitor, email)] = BindingRow(list_id, visitor, email, known, 0)
        for binding, row in asked.items():
            if row is None and binding in self._unfolded:
                asked[binding] = BindingRow(*binding, None, self._unfolded[binding])
        return asked

    def _knows(self, binding: Binding) -> bool:
        return binding in self._bound or binding in self._unfolded

    def _write(self, plan: Plan) -> None:
        statements = [
            (statement, _json(rows))
            for statement, rows in (
                (INSERT_EVENTS, plan.rows),
                (WRITE_TRAITS, list(plan.changed_traits.values())),
                (INSERT_EVENT_IDS, plan.new_event_ids),
                (REPLACE_EVENT_IDS, plan.expired_event_ids),
                (COUNT_DROPPED, list(plan.dropped.values())),
            )
            if rows
        ]
        # A lone statement is a transaction by itself; each call less is a wait less for the interpreter's lock.
        if len(statements) == 1:
            ((statement, rows),) = statements
            self._run(self._writing, statement, rows=rows)
        elif statements:
            self._writing.begin()
            try:
                for statement, rows in statements:
                    self._run(self._writing, statement, rows=rows)
                self._writing.commit()
            except BaseException:
                with contextlib.suppress(duckdb.Error):  # a failed commit has ended the transaction already
                    self._writing.rollback()
                raise

    def _run(self, connection: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        statement = self._statements.get(sql)
        if statement is None:
            (statement,) = connection.extract_statements(sql)
            self._statements[sql] = statement
        return connection.execute(statement, parameters)

    def close(self) -> None:
        """Closes the connection that it has made."""
        self._writing.close()

    def _remember(self, bindings: Iterable[Binding]) -> None:
        self._bound.update(dict.fromkeys(bindings))
        while len(self._bound) > self._cache_size:
            self._bound.popitem(last=False)
            self._knows_all = False


def _json(rows: object) -> str:
    return _encode(rows).decode()
