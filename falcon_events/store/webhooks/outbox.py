"""Outbox: the events to post to webhooks, in the order of the table events, and the record of their deliveries."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from falcon_events.model.webhooks import Delivery, Settlement, Target, Webhook, WebhookState, Work
from falcon_events.store.database import duckdb
from falcon_events.store.engine.readers import Readers
from falcon_events.store.engine.writer import Writer
from falcon_events.store.webhooks import delivery_rows, webhook_rows

T = TypeVar("T")
OLD_SECRET_H = 24
"""How long a replaced secret still signs beside the new one, in hours."""


SMALLER = 16
"""How many times fewer events are searched if the memory ran out."""


class Outbox:
    """Webhooks of a store and what there is to deliver to them.

    Storing an event writes nothing here: every event past a webhook's watermark is still to be delivered.

    Args:
        writer: returns the store's writer, after opening the store if necessary.
        readers: the store's readers.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, writer: Callable[[], Writer], readers: Readers, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self._changed: Callable[[], object] = lambda: None

    def set_callbacks(self, applied: Callable[[], object], changed: Callable[[], object]) -> None:
        """Set the functions to call: `applied` when the tables have new events, `changed` when a webhook was changed."""
        self._writer().backlog.on_applied = applied
        self._changed = changed

    def last_seq(self) -> int:
        """Return the seq of the last event in the tables."""
        return self._writer().upkeep.last_seq

    def set_webhook(
        self,
        url: str,
        secret: str | None,
        new_secret: str,
        list_ids: list[int] | None,
        events: list[str] | None,
        *,
        from_start: bool,
    ) -> Future[Webhook]:
        """Add or change a webhook (see webhook_rows.py)."""
        now = self._now()

        def task(connection: duckdb.DuckDBPyConnection) -> Webhook:
            until = now + timedelta(hours=OLD_SECRET_H)
            return webhook_rows.set_webhook(
                connection, url, secret, new_secret, list_ids, events, from_start=from_start, now=now, old_secret_until=until
            )

        return self._notify(self._writer().run_exclusively(task))

    def remove(self, url: str) -> Future[int]:
        """Remove a webhook and its deliveries, and return how many deliveries that were."""
        return self._notify(self._writer().run(lambda connection: webhook_rows.remove(connection, url)))

    def retry(self, event_id: str | None, url: str | None) -> Future[int]:
        """Make deliveries due now, and return their number."""
        now = self._now()
        return self._notify(self._writer().run(lambda connection: delivery_rows.retry(connection, event_id, url, now)))

    def states(self) -> Future[list[WebhookState]]:
        """Return every webhook and its state."""
        return self._read(
            lambda connection: webhook_rows.list_states(connection, self.last_seq(), self._now()), wait_until_applied=True
        )

    def list_deliveries(self, url: str | None, state: str | None, most: int) -> Future[list[Delivery]]:
        """Return deliveries that wait or have failed."""
        return self._read(lambda connection: delivery_rows.list_deliveries(connection, url, state, most))

    def list_targets(self) -> Future[list[Target]]:
        """Return the webhooks in the form that webhook workers need."""
        return self._read(lambda connection: webhook_rows.list_targets(connection, self._now()), for_webhooks=True)

    def read_work(self, webhook_id: str, position: int, most: int, due: int) -> Future[Work | None]:
        """Read what there is to deliver for a webhook. None: the webhook has been removed.

        Args:
            webhook_id: the webhook.
            position: a seq before which every event is delivered or has a row; the worker may know a later one than the table.
            most: the largest number of fresh events; 1 if the webhook's receiver failed the last time.
            due: the largest number of events that are tried again; 1 if the webhook's receiver failed the last time.
        """
        last_seq = self.last_seq()  # before the transaction, so that it sees all of these events

        def read(connection: duckdb.DuckDBPyConnection, span: int) -> Work | None:
            now = self._now()
            connection.begin()
            try:
                for target in webhook_rows.list_targets(connection, now, webhook_id):
                    at = msgspec.structs.replace(target, next_seq=max(position, target.next_seq))
                    limits = (1, 1) if target.failures else (most, due)
                    return delivery_rows.read_work(connection, at, int(now.timestamp() * 1e6), last_seq, *limits, span)
                return None
            finally:
                connection.rollback()

        def read_large(connection: duckdb.DuckDBPyConnection) -> Work | None:
            span = delivery_rows.SPAN
            while True:
                try:
                    return read(connection, span)
                except duckdb.OutOfMemoryException:
                    if span == 1:
                        raise
                    span = max(1, span // SMALLER)  # events are large

        return self._read(read_large, for_webhooks=True)

    def settle(self, settlement: Settlement) -> Future[None]:
        """Record the results of deliveries."""
        writer = self._writer()

        def task(connection: duckdb.DuckDBPyConnection) -> None:
            delivery_rows.settle(connection, settlement)
            writer.checkpoints.count_commit()

        return writer.run(task)

    def _notify(self, future: Future[T]) -> Future[T]:
        """Call the `changed` callback when the future is done."""
        future.add_done_callback(lambda _: self._changed())
        return future

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _read(
        self, read: Callable[[duckdb.DuckDBPyConnection], T], *, wait_until_applied: bool = False, for_webhooks: bool = False
    ) -> Future[T]:
        writer = self._writer()
        before = writer.wait_until_applied if wait_until_applied else (lambda: None)
        return self._readers.read(lambda: writer.connection, read, before=before, for_webhooks=for_webhooks)
