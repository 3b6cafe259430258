"""Rows of deliveries, and the events to deliver. Each function is one task for the store's writer, or one read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from falcon_events.errors import NotFound
from falcon_events.model.webhooks import FAILED, Delivery, DeliveryRow, OutgoingEvent, Settlement, Target, Work
from falcon_events.store.database import duckdb
from falcon_events.store.database.portions import OF_PORTION, find_portion
from falcon_events.store.queries.event_json import COLUMNS, render_event
from falcon_events.store.webhooks import webhook_rows

TYPE = "event.stored"
SPAN = 20_000
"""The number of events that one statement searches for those that pass a webhook's filters."""
MAX_SPANS = 25
MAX_BYTES = 4 << 20
"""The most bytes of properties read at once."""
MAX_DUE = 200

# A row waits for the visitor's earlier ones: it is due when all of them are.
_ORDERED = """
select *, max(next_attempt_at) over before_it as due_at, row_number() over before_it > 1 as blocked
from deliveries where not failed
window before_it as (partition by webhook_id, visitor order by seq)
"""
LIST_DUE = f"""
select seq, attempts, epoch_us(due_at) from ({_ORDERED}) where webhook_id = $webhook_id order by due_at, seq limit {MAX_DUE + 1}
"""
READ_SIZES = f"""
select seq, strlen(properties) from events
where {OF_PORTION}
    and ($list_ids is null or list_id in (select unnest($list_ids::bigint[])))
    and ($events is null or event in (select unnest($events::varchar[])))
order by seq
"""
FRESH_EVENTS = f"""
select seq, list_id, account_id,
    visitor in (select visitor from deliveries where webhook_id = $webhook_id and not failed), {COLUMNS}
from events
where {OF_PORTION}
    and ($list_ids is null or list_id in (select unnest($list_ids::bigint[])))
    and ($events is null or event in (select unnest($events::varchar[])))
order by seq
"""
DUE_EVENT = f"select seq, list_id, account_id, false, {COLUMNS} from events where {OF_PORTION}"
# The join with events drops rows of events that were erased while they were being delivered.
INSERT_DELIVERIES = """
insert into deliveries
select $webhook_id, r.seq, r.event_id, r.list_id, r.visitor, r.attempts, make_timestamp(r.next_attempt_at), r.last_status,
    r.last_error, r.failed
from (select unnest(from_json_strict($rows, '[{"seq": "BIGINT", "event_id": "UUID", "list_id": "BIGINT", "visitor": "UUID",
    "attempts": "INTEGER", "next_attempt_at": "BIGINT", "last_status": "INTEGER", "last_error": "VARCHAR",
    "failed": "BOOLEAN"}]')) as r)
where r.seq in (select seq from events where seq >= $first and seq <= $last)
"""
LIST_DELIVERIES = f"""
select d.event_id::varchar, w.url, d.list_id, d.visitor::varchar, d.state, d.attempts, d.next_attempt_at, d.last_status,
    d.last_error, d.seq
from (
    select * exclude (due_at, blocked), case when blocked then 'blocked' else 'waiting' end as state from ({_ORDERED})
    union all by name
    select *, 'failed' as state from deliveries where failed
) as d join webhooks as w on w.webhook_id = d.webhook_id
where ($url is null or w.url = $url) and ($state is null or d.state = $state)
order by w.created_at, w.url, d.seq
limit $most
"""
COUNT_WAITING = "select count(*) from deliveries where webhook_id = ? and not failed"
_CHOSEN = "($webhook_id is null or webhook_id = $webhook_id) and ($event_id is null or event_id = try_cast($event_id as uuid))"
# A blocked event can be delivered only after the visitor's earlier ones, so these are retried with it.
RETRY = f"""
update deliveries set attempts = 0, failed = false, next_attempt_at = $now
where {_CHOSEN} or (not failed and exists (
    from (from deliveries where {_CHOSEN}) as later
    where later.webhook_id = deliveries.webhook_id and later.visitor = deliveries.visitor and later.seq > deliveries.seq
))
"""
RESUME = f"""
update webhooks set disabled = false, failures = 0, resume_at = null
where ($webhook_id is null or webhook_id = $webhook_id)
    and ($event_id is null or webhook_id in (select webhook_id from deliveries where {_CHOSEN}))
"""


def read_work(
    connection: duckdb.DuckDBPyConnection, target: Target, now: int, last_seq: int, most: int, due: int, span: int = SPAN
) -> Work:
    """Read what there is to deliver for a webhook.

    Args:
        connection: any connection in a transaction, so that all reads see one state of the store.
        target: the webhook, with the seq of the first event that is not delivered and has no row.
        now: the time, in microseconds since 1970.
        last_seq: the seq of the last event in the tables.
        most: the largest number of fresh events.
        due: the largest number of events that are tried again.
        span: how many events one statement searches.
    """
    times = connection.execute(LIST_DUE, {"webhook_id": target.webhook_id}).fetchall()
    outgoing_events: list[OutgoingEvent] = []
    size = 0
    for seq, attempts, due_at in times:
        if due_at > now or len(outgoing_events) >= due or size > MAX_BYTES:
            break
        for row in _read_portion(connection, DUE_EVENT, seq - 1, seq, {}):
            outgoing_events.append(_build_outgoing(row, attempts=attempts))
            size += len(outgoing_events[-1].body)
    next_due = min((due_at for _, _, due_at in times if due_at > now), default=None)
    fresh, until = _read_fresh(connection, target, last_seq, most, span) if size <= MAX_BYTES else ([], target.next_seq - 1)
    return Work(target, outgoing_events, fresh, until, next_due, until < last_seq, count_waiting(connection, target.webhook_id))


def settle(connection: duckdb.DuckDBPyConnection, settlement: Settlement) -> None:
    """Record the results of deliveries, in one transaction. Does nothing if the webhook has been removed meanwhile."""
    connection.begin()
    try:
        name = {"webhook_id": settlement.webhook_id}
        exists = connection.execute(
            """update webhooks set next_seq = greatest(next_seq, $next_seq), failures = $failures, disabled = $disabled,
                resume_at = make_timestamp($resume_at), last_error = $last_error
            where webhook_id = $webhook_id returning 1""",
            name
            | {
                "next_seq": settlement.next_seq,
                "failures": settlement.failures,
                "disabled": settlement.disabled,
                "resume_at": settlement.resume_at,
                "last_error": settlement.last_error,
            },
        ).fetchall()
        old = [*settlement.gone, *(row.seq for row in settlement.rows)]
        if exists and old:
            sql = "delete from deliveries where webhook_id = $webhook_id and seq in (select unnest($seqs::bigint[]))"
            connection.execute(sql, name | {"seqs": old})
        if exists and settlement.rows:
            _insert(connection, settlement.webhook_id, settlement.rows)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def list_deliveries(connection: duckdb.DuckDBPyConnection, url: str | None, state: str | None, most: int) -> list[Delivery]:
    """Return deliveries, by webhook and in the order of their events. Raises NotFound if there is no such webhook."""
    if url is not None:
        webhook_rows.find_id(connection, url)
    rows = connection.execute(LIST_DELIVERIES, {"url": url, "state": state, "most": most}).fetchall()
    return [
        Delivery(
            i, to, list_id, visitor, state, attempts, at.replace(tzinfo=UTC) if state != FAILED else None, status, error, seq
        )
        for i, to, list_id, visitor, state, attempts, at, status, error, seq in rows
    ]


def retry(connection: duckdb.DuckDBPyConnection, event_id: str | None, url: str | None, now: datetime) -> int:
    """Make deliveries due now, as if for the first time, and resume their webhooks.

    Args:
        connection: the writing connection.
        event_id: the event to deliver, together with the earlier ones that it waits for. None: all events.
        url: the webhook. None: all webhooks.
        now: the time.

    Returns:
        The number of deliveries.

    Raises:
        NotFound: there is no such webhook, or no delivery of this event waits or has failed.
    """
    webhook_id = None if url is None else webhook_rows.find_id(connection, url)
    chosen = {"webhook_id": webhook_id, "event_id": event_id}
    ((retried,),) = connection.execute(RETRY, chosen | {"now": webhook_rows.to_naive_utc(now)}).fetchall()
    if event_id is not None and not retried:
        raise NotFound(
            f"No delivery of event {event_id} waits or has failed; `falcon-events deliveries list` shows those that do."
        )
    connection.execute(RESUME, chosen)
    return int(retried)


def count_waiting(connection: duckdb.DuckDBPyConnection, webhook_id: str) -> int:
    """Return how many deliveries of a webhook wait."""
    ((waiting,),) = connection.execute(COUNT_WAITING, [webhook_id]).fetchall()
    return int(waiting)


def _read_fresh(
    connection: duckdb.DuckDBPyConnection, target: Target, last_seq: int, most: int, span: int
) -> tuple[list[OutgoingEvent], int]:
    """Return events from the webhook's watermark on, and the seq up to which they were searched."""
    filters = {"list_ids": target.list_ids, "events": target.events}
    until = target.next_seq - 1
    for _ in range(MAX_SPANS):
        if until >= last_seq or most < 1:
            break
        since, last = until, min(until + span, last_seq)
        sizes = _read_portion(connection, READ_SIZES, since, last, filters)[:most]
        until = last
        if sizes:
            until = _limit_until(sizes, last, most)
            named = {"webhook_id": target.webhook_id}
            rows = _read_portion(connection, FRESH_EVENTS, sizes[0][0] - 1, until, filters | named)
            return [_build_outgoing(row) for row in rows], until
    return [], until


def _read_portion(
    connection: duckdb.DuckDBPyConnection, statement: str, since: int, until: int, parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """Return the rows of a statement about the events with seqs above `since` up to `until`."""
    bounds = find_portion(connection, since, until)
    return [] if bounds is None else connection.execute(statement, bounds | parameters).fetchall()


def _limit_until(sizes: Sequence[tuple[int, int]], last: int, most: int) -> int:
    """Return the seq up to which events are read: at most MAX_BYTES of properties, but at least one event."""
    total = 0
    before = sizes[0][0]
    for seq, size in sizes:
        total += size
        if total > MAX_BYTES and seq != before:
            return before
        before = seq
    return before if len(sizes) == most else last


def _build_outgoing(row: Sequence[Any], *, attempts: int = 0) -> OutgoingEvent:
    seq, list_id, account_id, blocked, *columns = row
    event = render_event(columns)
    data = {"seq": seq, "account_id": account_id, "list_id": list_id, **event}
    body = msgspec.json.encode({"type": TYPE, "timestamp": event["received_at"], "data": data})
    return OutgoingEvent(seq, str(event["event_id"]), list_id, str(event["visitor"]), body, attempts, blocked)


def _insert(connection: duckdb.DuckDBPyConnection, webhook_id: str, rows: Sequence[DeliveryRow]) -> None:
    seqs = [row.seq for row in rows]
    text = msgspec.json.encode(rows).decode()
    connection.execute(INSERT_DELIVERIES, {"webhook_id": webhook_id, "rows": text, "first": min(seqs), "last": max(seqs)})
