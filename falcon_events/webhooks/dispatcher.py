"""The dispatcher: a courier for each webhook of a store, in the process that owns it, as long as that lives."""

from __future__ import annotations

import logging
import threading
import time

from falcon_events.errors import EventsError
from falcon_events.settings import Settings
from falcon_events.store.webhooks.outbox import Outbox
from falcon_events.webhooks.courier import Courier
from falcon_events.webhooks.poster_messages import Result
from falcon_events.webhooks.poster_process import PostingProcess
from falcon_events.webhooks.schedule import Schedule
from falcon_events.webhooks.validation import check_installed

logger = logging.getLogger(__name__)

END_S = 3.0
"""How long an owner's end may be held up, in seconds."""


class Dispatcher:
    """Starts and ends couriers. What posts is a process of its own, started with the first event.

    Args:
        outbox: of an open store.
        settings: the store's.
        agent: what names us to receivers.
    """

    def __init__(self, outbox: Outbox, settings: Settings, agent: str) -> None:
        self._outbox = outbox
        self._settings = settings
        self._process = PostingProcess(agent)
        self._couriers: dict[str, Courier] = {}
        self._look = threading.Event()
        self._look.set()
        self._closing = False
        outbox.set_callbacks(self._applied, self._changed)
        self._thread = threading.Thread(target=self._run, name="falcon-events-dispatcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Lets nothing more go out, and returns once what has gone out is recorded, or after END_S."""
        self._closing = True
        self._look.set()
        couriers = list(self._couriers.values())
        for courier in couriers:
            courier.close()
        deadline = time.monotonic() + END_S
        for thread in (self._thread, *(courier.thread for courier in couriers)):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._process.close()

    def counts(self) -> dict[str, int]:
        """How many attempts ended how since the owner started: `delivered`, to be `retried`, `failed` for good."""
        couriers = list(self._couriers.values())
        delivered = sum(courier.counts[Result.DELIVERED] for courier in couriers)
        failed = sum(courier.given_up for courier in couriers)
        retried = sum(courier.counts.total() for courier in couriers) - delivered - failed
        return {"delivered": delivered, "retried": retried, "failed": failed}

    def waiting(self) -> int:
        """How many events are not delivered yet, counted for each webhook."""
        return sum(courier.waiting() for courier in list(self._couriers.values()))

    def _applied(self) -> None:
        for courier in list(self._couriers.values()):
            courier.wake()

    def _changed(self) -> None:
        self._look.set()

    def _run(self) -> None:
        while True:
            self._look.wait()
            self._look.clear()
            if self._closing:
                return
            try:
                self._engage()
            except Exception as error:  # the store may be out of order for a while
                logger.warning("webhooks cannot be read: %s", error)
                time.sleep(1.0)
                self._look.set()

    def _engage(self) -> None:
        """Sees to it that each webhook has its courier."""
        targets = self._outbox.list_targets().result()
        if targets:
            try:
                check_installed()
            except EventsError as error:
                logger.error("events wait for their delivery: %s", error)
                return
            for target in targets:
                known = self._couriers.get(target.webhook_id)
                if known is None or not known.thread.is_alive():
                    self._couriers[target.webhook_id] = Courier(
                        target.webhook_id,
                        self._outbox,
                        self._process,
                        timeout_s=self._settings.delivery_timeout_s,
                        schedule=Schedule(self._settings.delivery_backoff_s),
                    )
        for courier in list(self._couriers.values()):
            courier.wake(changed=True)
