"""The outbox: events that are to be posted to webhooks, in the order of the table of events; what became of them is recorded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import duckdb
import msgspec

from falcon_events.model.webhooks import Delivery, Settlement, Target, Webhook, WebhookState, Work
from falcon_events.store.engine.readers import Readers
from falcon_events.store.engine.writer import Writer
from falcon_events.store.webhooks import delivery_rows, webhook_rows

T = TypeVar("T")
OLD_SECRET_H = 24
"""How long a secret that was replaced signs beside its successor, in hours."""


class Outbox:
    """What a store has to deliver. Taking an event in writes nothing here: everything past a webhook's watermark is to come.

    Args:
        writer: opens the store, where it is not open.
        readers: read beside it.
        clock: the current time in seconds since 1970.
    """

    def __init__(self, writer: Callable[[], Writer], readers: Readers, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self._changed: Callable[[], object] = lambda: None

    def tell(self, applied: Callable[[], object], changed: Callable[[], object]) -> None:
        """Has `applied` called when events have come into the tables, and `changed` when somebody has changed a webhook."""
        self._writer().backlog.told = applied
        self._changed = changed

    def last_seq(self) -> int:
        """The seq of the last event that the tables have."""
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
        """Adds or changes a webhook (see webhooks.py)."""
        now = self._now()

        def task(connection: duckdb.DuckDBPyConnection) -> Webhook:
            until = now + timedelta(hours=OLD_SECRET_H)
            return webhook_rows.set_webhook(
                connection, url, secret, new_secret, list_ids, events, from_start=from_start, now=now, old_secret_until=until
            )

        return self._change(self._writer().alone(task))

    def remove(self, url: str) -> Future[int]:
        """Removes a webhook; how many deliveries are gone with it."""
        return self._change(self._writer().run(lambda connection: webhook_rows.remove(connection, url)))

    def retry(self, event_id: str | None, url: str | None) -> Future[int]:
        """Has deliveries tried again now; how many."""
        now = self._now()
        return self._change(self._writer().run(lambda connection: delivery_rows.retry(connection, event_id, url, now)))

    def states(self) -> Future[list[WebhookState]]:
        """Every webhook and how it does."""
        return self._read(lambda connection: webhook_rows.states(connection, self.last_seq(), self._now()), take_in=True)

    def listed(self, url: str | None, state: str | None, most: int) -> Future[list[Delivery]]:
        """Deliveries that wait or have failed."""
        return self._read(lambda connection: delivery_rows.listed(connection, url, state, most))

    def targets(self) -> Future[list[Target]]:
        """Webhooks as couriers need them."""
        return self._read(lambda connection: webhook_rows.targets(connection, self._now()), delivering=True)

    def work(self, webhook_id: str, position: int, most: int, due: int) -> Future[Work | None]:
        """What there is to deliver for a webhook; None where it has been removed.

        Args:
            webhook_id: which.
            position: a seq before which everything is delivered or has a row, where the caller knows more than the table.
            most: how many fresh events, at the most; fewer where the webhook's receiver was out of order.
            due: how many that are tried again.
        """
        last_seq = self.last_seq()  # before the transaction, which then has all of them

        def read(connection: duckdb.DuckDBPyConnection) -> Work | None:
            now = self._now()
            connection.begin()
            try:
                for target in webhook_rows.targets(connection, now, webhook_id):
                    at = msgspec.structs.replace(target, next_seq=max(position, target.next_seq))
                    limits = (1, 1) if target.failures else (most, due)
                    return delivery_rows.work(connection, at, int(now.timestamp() * 1e6), last_seq, *limits)
                return None
            finally:
                connection.rollback()

        return self._read(read, delivering=True)

    def settle(self, settlement: Settlement) -> Future[None]:
        """Records what became of letters."""
        writer = self._writer()

        def task(connection: duckdb.DuckDBPyConnection) -> None:
            delivery_rows.settle(connection, settlement)
            writer.upkeep.committed()

        return writer.run(task)

    def _change(self, future: Future[T]) -> Future[T]:
        future.add_done_callback(lambda _: self._changed())
        return future

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _read(
        self, read: Callable[[duckdb.DuckDBPyConnection], T], *, take_in: bool = False, delivering: bool = False
    ) -> Future[T]:
        writer = self._writer()
        before = writer.take_in if take_in else (lambda: None)
        return self._readers.read(lambda: writer.connection, read, before=before, delivering=delivering)
