"""Rows of webhooks. Each function is one task for the store's writer, or one read."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from falcon_events.errors import NotFound
from falcon_events.model.webhooks import Target, Webhook, WebhookState
from falcon_events.store.database import duckdb
from falcon_events.store.engine.tables import LAST_SEQ

FIND = "select webhook_id, secret, created_at from webhooks where url = ?"
STATES = """
select w.webhook_id, w.url, w.list_ids, w.events, w.created_at,
    case when w.disabled then 'disabled' when w.resume_at > $now then 'paused' else 'active' end,
    greatest(0, $last - w.next_seq + 1), count(d.seq) filter (where not d.failed), count(d.seq) filter (where d.failed),
    case when w.resume_at > $now and not w.disabled then w.resume_at end, w.last_error
from webhooks as w left join deliveries as d on d.webhook_id = w.webhook_id
group by all
order by w.created_at, w.url
"""
TARGETS = """
select webhook_id, url, [secret] || case when old_secret is not null and old_secret_until > $now then [old_secret] else [] end,
    list_ids, events, next_seq, disabled, failures, epoch_us(resume_at)
from webhooks where $webhook_id is null or webhook_id = $webhook_id
order by webhook_id
"""


def set_webhook(
    connection: duckdb.DuckDBPyConnection,
    url: str,
    secret: str | None,
    new_secret: str,
    list_ids: list[int] | None,
    events: list[str] | None,
    *,
    from_start: bool,
    now: datetime,
    old_secret_until: datetime,
) -> Webhook:
    """Add a webhook, or replace the filters and the secret of the webhook with this URL.

    Args:
        connection: the writing connection, with every event in the tables.
        url: the URL that events are posted to.
        secret: the secret to sign with. None: keep the present one, or `new_secret` for a new webhook.
        new_secret: the secret of a new webhook if `secret` is None.
        list_ids: the lists whose events are delivered. None: all lists.
        events: the event types that are delivered. None: all types.
        from_start: whether a new webhook gets the events that are already stored.
        now: the time.
        old_secret_until: until when a replaced secret still signs beside the new one.
    """
    row = connection.execute(FIND, [url]).fetchone()
    if row is None:
        ((last,),) = connection.execute(LAST_SEQ).fetchall()
        added = Webhook(uuid.uuid4().hex[:12], url, secret or new_secret, list_ids, events, now, made=True)
        connection.execute(
            "insert into webhooks values (?, ?, ?, null, null, ?, ?, ?, ?, false, 0, null, null)",
            [added.webhook_id, url, added.secret, list_ids, events, to_naive_utc(now), 1 if from_start else last + 1],
        )
        return added
    webhook_id, known, created_at = row
    if secret is not None and secret != known:
        connection.execute(
            "update webhooks set old_secret = secret, old_secret_until = ?, secret = ? where webhook_id = ?",
            [to_naive_utc(old_secret_until), secret, webhook_id],
        )
    connection.execute("update webhooks set list_ids = ?, events = ? where webhook_id = ?", [list_ids, events, webhook_id])
    return Webhook(webhook_id, url, secret or known, list_ids, events, created_at.replace(tzinfo=UTC))


def remove(connection: duckdb.DuckDBPyConnection, url: str) -> int:
    """Remove a webhook with its deliveries, and return how many deliveries that were. Raises NotFound."""
    webhook_id = find_id(connection, url)
    connection.begin()
    try:
        ((gone,),) = connection.execute("delete from deliveries where webhook_id = ?", [webhook_id]).fetchall()
        connection.execute("delete from webhooks where webhook_id = ?", [webhook_id])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return int(gone)


def find_id(connection: duckdb.DuckDBPyConnection, url: str) -> str:
    """Return the id of the webhook with this URL. Raises NotFound."""
    row = connection.execute(FIND, [url]).fetchone()
    if row is None:
        raise NotFound(f"There is no webhook {url}; `falcon-events webhooks list` shows the existing ones.")
    return str(row[0])


def list_states(connection: duckdb.DuckDBPyConnection, last_seq: int, now: datetime) -> list[WebhookState]:
    """Return every webhook and its state, oldest first."""
    rows = connection.execute(STATES, {"now": to_naive_utc(now), "last": last_seq}).fetchall()
    return [
        WebhookState(
            i, url, list_ids, events, _as_utc(created), state, unread, waiting, failed, resume and _as_utc(resume), error
        )
        for i, url, list_ids, events, created, state, unread, waiting, failed, resume, error in rows
    ]


def list_targets(connection: duckdb.DuckDBPyConnection, now: datetime, webhook_id: str | None = None) -> list[Target]:
    """Return webhooks in the form that webhook workers need: all, or the one with this id."""
    rows = connection.execute(TARGETS, {"now": to_naive_utc(now), "webhook_id": webhook_id}).fetchall()
    return [Target(*row) for row in rows]


def to_naive_utc(moment: datetime) -> datetime:
    """Convert an aware time to a naive one in UTC, as the tables store it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
