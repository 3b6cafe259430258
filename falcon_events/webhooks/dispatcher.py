"""Dispatcher: runs a worker for each webhook of a store, in the process that owns the store."""

from __future__ import annotations

import logging
import threading
import time

from falcon_events.errors import EventsError
from falcon_events.settings import Settings
from falcon_events.store.webhooks.outbox import Outbox
from falcon_events.webhooks.poster_messages import AttemptResult
from falcon_events.webhooks.poster_process import PosterProcess
from falcon_events.webhooks.schedule import Schedule
from falcon_events.webhooks.validation import check_installed
from falcon_events.webhooks.webhook_worker import WebhookWorker

logger = logging.getLogger(__name__)

END_S = 3.0
"""How long close() may delay the end of the owner process."""


class Dispatcher:
    """Starts and ends the webhook workers. One poster process, started with the first event, posts for all of them.

    Args:
        outbox: the outbox of an open store.
        settings: the store's settings.
        agent: the User-Agent sent to receivers.
    """

    def __init__(self, outbox: Outbox, settings: Settings, agent: str) -> None:
        self._outbox = outbox
        self._settings = settings
        self._process = PosterProcess(agent)
        self._workers: dict[str, WebhookWorker] = {}
        self._webhooks_changed = threading.Event()
        self._webhooks_changed.set()
        self._closing = False
        outbox.set_callbacks(applied=self._wake_workers, changed=self._webhooks_changed.set)
        self._thread = threading.Thread(target=self._run, name="falcon-events-dispatcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop posting, and return once the attempts made so far are recorded, or after END_S."""
        self._closing = True
        self._webhooks_changed.set()
        workers = list(self._workers.values())
        for worker in workers:
            worker.close()
        deadline = time.monotonic() + END_S
        for thread in (self._thread, *(worker.thread for worker in workers)):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._process.close()

    def counts(self) -> dict[str, int]:
        """Return the number of attempts since the owner started: `delivered`, `retried` later, or `failed` for good."""
        workers = list(self._workers.values())
        delivered = sum(worker.counts[AttemptResult.DELIVERED] for worker in workers)
        failed = sum(worker.given_up for worker in workers)
        retried = sum(worker.counts.total() for worker in workers) - delivered - failed
        return {"delivered": delivered, "retried": retried, "failed": failed}

    def waiting(self) -> int:
        """Return how many events are not delivered yet, counted once for each webhook."""
        return sum(worker.waiting() for worker in list(self._workers.values()))

    def _wake_workers(self) -> None:
        for worker in list(self._workers.values()):
            worker.wake()

    def _run(self) -> None:
        while True:
            self._webhooks_changed.wait()
            self._webhooks_changed.clear()
            if self._closing:
                return
            try:
                self._start_workers()
            except Exception as error:  # the store may be unavailable for a while
                logger.warning("Webhooks cannot be read from the store, which is tried again: %s", error)
                time.sleep(1.0)
                self._webhooks_changed.set()

    def _start_workers(self) -> None:
        """Start a worker for each webhook that has none, and wake all of them."""
        targets = self._outbox.list_targets().result()
        if targets:
            try:
                check_installed()
            except EventsError as error:
                logger.error("Events are not delivered to webhooks: %s", error)
                return
            for target in targets:
                known = self._workers.get(target.webhook_id)
                if known is None or not known.thread.is_alive():
                    self._workers[target.webhook_id] = WebhookWorker(
                        target.webhook_id,
                        self._outbox,
                        self._process,
                        timeout_s=self._settings.delivery_timeout_s,
                        schedule=Schedule(self._settings.delivery_backoff_s),
                    )
        for worker in list(self._workers.values()):
            worker.wake(changed=True)
