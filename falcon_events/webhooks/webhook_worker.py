"""Webhook worker: the thread that delivers a store's events to one webhook, round by round, and records each round."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from falcon_events.model.webhooks import Settlement, Target, Work
from falcon_events.store.webhooks.outbox import Outbox
from falcon_events.webhooks.poster_messages import ROUND_S, AttemptResult, Job, JobOutcome
from falcon_events.webhooks.poster_process import PosterProcess
from falcon_events.webhooks.schedule import Schedule, to_microseconds
from falcon_events.webhooks.settlement import build_settlement

logger = logging.getLogger(__name__)

T = TypeVar("T")
MIN_EVENTS, MAX_EVENTS = 8, 500
"""The bounds of the number of events read for one round. It is adjusted so that a round takes about TARGET_ROUND_S."""
TARGET_ROUND_S = 1.0
RECORD_S = 2.0
"""How often the position is recorded if a webhook's filters leave out all events, so that there is nothing else to record."""
RETRY_S = 1.0
"""How long to wait before the store is asked again after an error."""
POLL_S = 0.2
OVERDUE_S = 10.0
"""How much longer than its limits a job may take before the poster process is killed."""


class WebhookWorker:
    """Thread that delivers to one webhook.

    Args:
        webhook_id: the webhook.
        outbox: the store's outbox.
        process: the process that posts.
        timeout_s: how long an attempt may take, in seconds.
        schedule: the waits between attempts.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(
        self,
        webhook_id: str,
        outbox: Outbox,
        process: PosterProcess,
        *,
        timeout_s: float,
        schedule: Schedule,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._webhook_id = webhook_id
        self._outbox = outbox
        self._timeout_s = timeout_s
        self._schedule = schedule
        self._process = process
        self._clock = clock
        self._condition = threading.Condition()
        self._new_events = self._changed = self._closing = False
        self._position = self._recorded = 0
        self._recorded_at = 0.0
        self._most = MIN_EVENTS
        self._failing_visitors: list[str] = []
        self._waiting = 0
        self.counts: Counter[AttemptResult] = Counter()
        """The number of attempts by result."""
        self.given_up = 0
        self.thread = threading.Thread(target=self._run, name="falcon-events-webhook", daemon=True)
        self.thread.start()

    def wake(self, *, changed: bool = False) -> None:
        """Tell the worker that there are new events, and whether the webhook itself may have changed."""
        with self._condition:
            self._new_events = True
            self._changed = self._changed or changed
            self._condition.notify_all()

    def waiting(self) -> int:
        """Return how many events are not delivered yet. Events not read yet count even if the webhook's filters exclude them."""
        return self._waiting + max(0, self._outbox.last_seq() + 1 - self._position) if self._position else 0

    def close(self) -> None:
        """Stop posting. The thread ends soon, once the attempts made so far are recorded."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()

    def _run(self) -> None:
        while not self._closing:
            try:
                if not self._step():
                    return
            except Exception:
                # An uncaught error would end the owner process, which has events to store.
                if not self._closing:
                    logger.exception("Events cannot be delivered to webhook %s, which is tried again", self._webhook_id)
                    self._wait(5 * RETRY_S, only_changes=True)

    def _step(self) -> bool:
        """Deliver what is due now, or wait until something is. Return False once the webhook has been removed."""
        with self._condition:
            self._new_events = self._changed = False
        work = self._ask(lambda: self._outbox.read_work(self._webhook_id, self._position, self._most, self._most))
        if work is None:
            self._position = 0
            return False
        target, now = work.target, to_microseconds(self._clock())
        if target.disabled:
            self._position = 0  # so that waiting() counts none of its events
            self._wait(None, only_changes=True)
        elif target.resume_at is not None and target.resume_at > now:
            self._position, self._waiting = target.next_seq, work.waiting
            self._wait((target.resume_at - now) / 1e6, only_changes=True)
        elif work.due or work.fresh:
            self._deliver(work)
        else:
            self._skip(work)
        return True

    def _deliver(self, work: Work) -> None:
        began = time.monotonic()
        outcome = self._post(work)
        if outcome is None:
            if not self._closing:
                logger.warning("The process that posts events to webhooks has died; another one is started")
                self._wait(RETRY_S, only_changes=True)
            return
        settlement = build_settlement(work, outcome, self._schedule, self._clock())
        self._failing_visitors = [] if outcome.receiver_failure is not None else outcome.failing_visitors
        self._record(settlement)
        self.counts.update(attempt.result for attempt in outcome.attempts.values())
        self.given_up += sum(row.failed for row in settlement.rows)
        self._waiting = work.waiting + _count_added(work, settlement)
        self._log(work.target, settlement)
        took_s = time.monotonic() - began
        if took_s > TARGET_ROUND_S:
            self._most = max(MIN_EVENTS, self._most // 2)
        elif took_s < TARGET_ROUND_S / 2:
            self._most = min(MAX_EVENTS, self._most * 2)

    def _post(self, work: Work) -> JobOutcome | None:
        """Post events and return the outcome. None: the outcome is unknown, so the events must be posted again."""
        outgoing_events = [outgoing for outgoing in (*work.due, *work.fresh) if not outgoing.blocked]
        if not outgoing_events:
            return JobOutcome(0, {}, None, False, self._failing_visitors)
        target = work.target
        job = Job(0, target.webhook_id, target.url, target.secrets, self._timeout_s, outgoing_events, self._failing_visitors)
        number, outcome = self._process.start(job)
        deadline = time.monotonic() + ROUND_S + self._timeout_s + OVERDUE_S
        stopped = False
        while True:
            try:
                return outcome.result(POLL_S)
            except TimeoutError:
                if self._closing and not stopped:
                    self._process.stop(number)
                    stopped = True
                if time.monotonic() > deadline:
                    self._process.kill()

    def _skip(self, work: Work) -> None:
        """Move past the events that were searched, since the filters leave out all of them, and wait."""
        self._position, self._waiting = work.until + 1, work.waiting
        if self._position > self._recorded and time.monotonic() - self._recorded_at > RECORD_S:
            self._record(Settlement(self._webhook_id, self._position, [], [], failures=work.target.failures))
        if work.more:
            return
        wait_s = RECORD_S if self._position > self._recorded else None
        if work.next_due is not None:
            due_s = max(0.0, work.next_due / 1e6 - self._clock())
            wait_s = due_s if wait_s is None else min(wait_s, due_s)
        self._wait(wait_s)

    def _record(self, settlement: Settlement) -> None:
        self._ask(lambda: self._outbox.settle(settlement))
        self._position = self._recorded = max(self._position, settlement.next_seq)
        self._recorded_at = time.monotonic()

    def _ask(self, ask: Callable[[], Future[T]]) -> T:
        """Return the store's answer, asking again while the store fails. Raises its error if the worker is being closed."""
        logged = False
        while True:
            try:
                return ask().result()
            except Exception as error:
                if self._closing:
                    raise
                if not logged:
                    logger.warning("Deliveries wait for the store: %s", error)
                logged = True
            self._wait(RETRY_S, only_changes=True)

    def _wait(self, wait_s: float | None, *, only_changes: bool = False) -> None:
        """Wait until the webhook has changed or, unless `only_changes`, there are new events; at most `wait_s` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._closing or self._changed or (self._new_events and not only_changes), wait_s)

    def _log(self, target: Target, settlement: Settlement) -> None:
        url = target.url.split("?")[0]  # a query may hold a token
        if settlement.disabled:
            logger.error("Webhook %s answered 410 Gone and is disabled; see 'falcon-events webhooks list'", url)
        elif settlement.failures == 1 and settlement.resume_at is not None:
            logger.warning("Webhook %s %s; it is tried again, with growing pauses", url, settlement.last_error)
        elif target.failures and not settlement.failures:
            logger.warning("Webhook %s accepts events again", url)
        for row in settlement.rows:
            if row.failed:
                logger.error(
                    "Webhook %s: event %s is given up after %d attempts: %s", url, row.event_id, row.attempts, row.last_error
                )


def _count_added(work: Work, settlement: Settlement) -> int:
    """Return by how much a settlement changes the number of waiting deliveries."""
    due = {outgoing.seq for outgoing in work.due}
    new = sum(row.seq not in due and not row.failed for row in settlement.rows)
    return new - len(settlement.gone) - sum(row.seq in due and row.failed for row in settlement.rows)
