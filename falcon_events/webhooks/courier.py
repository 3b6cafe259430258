"""A courier: the thread that delivers a store's events to one webhook, round by round, and has each round recorded."""

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
from falcon_events.webhooks.poster_messages import ROUND_S, Job, Outcome, Result
from falcon_events.webhooks.poster_process import PostingProcess
from falcon_events.webhooks.schedule import Schedule, microseconds
from falcon_events.webhooks.settlement import settlement

logger = logging.getLogger(__name__)

T = TypeVar("T")
FEWEST, MOST = 8, 500
"""How many events are read for one round: as many as go out within about GOOD_S."""
GOOD_S = 1.0
RECORD_S = 2.0
"""How often it is recorded that events were left out, where there is nothing else to record."""
AGAIN_S = 1.0
"""How long to wait where the store cannot be read or written."""
TICK_S = 0.2
OVERDUE_S = 10.0
"""How much longer than it should the posting process may take before it is given up."""


class Courier:
    """Delivers to one webhook.

    Args:
        webhook_id: which.
        outbox: the store's.
        process: posts.
        timeout_s: how long an attempt may take, in seconds.
        schedule: when to try again.
        clock: the current time in seconds since 1970.
    """

    def __init__(
        self,
        webhook_id: str,
        outbox: Outbox,
        process: PostingProcess,
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
        self._told = threading.Condition()
        self._news = self._changed = self._closing = False
        self._position = self._recorded = 0
        self._recorded_at = 0.0
        self._most = FEWEST
        self._troubled: list[str] = []
        self._waiting = 0
        self.counts: Counter[Result] = Counter()
        """How the attempts have ended."""
        self.given_up = 0
        self.thread = threading.Thread(target=self._run, name="falcon-events-courier", daemon=True)
        self.thread.start()

    def wake(self, *, changed: bool = False) -> None:
        """There are new events, or the webhook itself has changed."""
        with self._told:
            self._news = True
            self._changed = self._changed or changed
            self._told.notify_all()

    def waiting(self) -> int:
        """How many events are not delivered yet; those that have not been read are counted before the webhook's filters."""
        return self._waiting + max(0, self._outbox.last_seq() + 1 - self._position) if self._position else 0

    def close(self) -> None:
        """Lets nothing more go out; the thread ends once what has gone out is recorded, which is soon."""
        with self._told:
            self._closing = True
            self._told.notify_all()

    def _run(self) -> None:
        while not self._closing:
            try:
                if not self._step():
                    return
            except Exception:
                # Whatever it is, events are taken in meanwhile; an error that nobody caught would end the owner.
                if not self._closing:
                    logger.exception("events cannot be delivered; tried again")
                    self._rest(5 * AGAIN_S, changed=True)

    def _step(self) -> bool:
        """Does what can be done now, or waits until something can be; False once the webhook has been removed."""
        with self._told:
            self._news = self._changed = False
        work = self._asked(lambda: self._outbox.read_work(self._webhook_id, self._position, self._most, self._most))
        if work is None:
            self._position = 0
            return False
        target, now = work.target, microseconds(self._clock())
        if target.disabled:
            self._position = 0  # whatever waits there does not count any more
            self._rest(None, changed=True)
        elif target.resume_at is not None and target.resume_at > now:
            self._position, self._waiting = target.next_seq, work.waiting
            self._rest((target.resume_at - now) / 1e6, changed=True)
        elif work.due or work.fresh:
            self._deliver(work)
        else:
            self._go_past(work)
        return True

    def _deliver(self, work: Work) -> None:
        began = time.monotonic()
        outcome = self._carried(work)
        if outcome is None:
            if not self._closing:
                logger.warning("the process that posts events has died; another one is started")
                self._rest(AGAIN_S, changed=True)
            return
        settled = settlement(work, outcome, self._schedule, self._clock())
        self._troubled = [] if outcome.worst is not None else outcome.troubled
        self._record(settled)
        self.counts.update(verdict.result for verdict in outcome.verdicts.values())
        self.given_up += sum(kept.failed for kept in settled.kept)
        self._waiting = work.waiting + _more_waiting(work, settled)
        self._tell(work.target, settled)
        took_s = time.monotonic() - began
        if took_s > GOOD_S:
            self._most = max(FEWEST, self._most // 2)
        elif took_s < GOOD_S / 2:
            self._most = min(MOST, self._most * 2)

    def _carried(self, work: Work) -> Outcome | None:
        """What became of letters; None where it is not known, and they have to be posted once more."""
        letters = [letter for letter in (*work.due, *work.fresh) if not letter.blocked]
        if not letters:
            return Outcome(0, {}, None, False, self._troubled)
        target = work.target
        job = Job(0, target.webhook_id, target.url, target.secrets, self._timeout_s, letters, self._troubled)
        number, outcome = self._process.start(job)
        deadline = time.monotonic() + ROUND_S + self._timeout_s + OVERDUE_S
        stopped = False
        while True:
            try:
                return outcome.result(TICK_S)
            except TimeoutError:
                if self._closing and not stopped:
                    self._process.stop(number)
                    stopped = True
                if time.monotonic() > deadline:
                    self._process.give_up()

    def _go_past(self, work: Work) -> None:
        """There is nothing to deliver among the events that were read."""
        self._position, self._waiting = work.until + 1, work.waiting
        if self._position > self._recorded and time.monotonic() - self._recorded_at > RECORD_S:
            self._record(Settlement(self._webhook_id, self._position, [], [], failures=work.target.failures))
        if work.more:
            return
        wait_s = RECORD_S if self._position > self._recorded else None
        if work.next_due is not None:
            due_s = max(0.0, work.next_due / 1e6 - self._clock())
            wait_s = due_s if wait_s is None else min(wait_s, due_s)
        self._rest(wait_s)

    def _record(self, settled: Settlement) -> None:
        self._asked(lambda: self._outbox.settle(settled))
        self._position = self._recorded = max(self._position, settled.next_seq)
        self._recorded_at = time.monotonic()

    def _asked(self, ask: Callable[[], Future[T]]) -> T:
        """What the store answers, which may be out of order for a while; its last error where the owner ends."""
        told = False
        while True:
            try:
                return ask().result()
            except Exception as error:
                if self._closing:
                    raise
                if not told:
                    logger.warning("deliveries wait for the store: %s", error)
                told = True
            self._rest(AGAIN_S, changed=True)

    def _rest(self, wait_s: float | None, *, changed: bool = False) -> None:
        """Waits until there is news, or only until the webhook has changed; at most so many seconds."""
        with self._told:
            self._told.wait_for(lambda: self._closing or self._changed or (self._news and not changed), wait_s)

    def _tell(self, target: Target, settled: Settlement) -> None:
        url = target.url.split("?")[0]  # a query may hold a token
        if settled.disabled:
            logger.error("webhook %s has answered 410 Gone and gets nothing more; see 'falcon-events webhooks list'", url)
        elif settled.failures == 1 and settled.resume_at is not None:
            logger.warning("webhook %s %s; it is tried again, with growing pauses", url, settled.last_error)
        elif target.failures and not settled.failures:
            logger.warning("webhook %s takes events again", url)
        for kept in settled.kept:
            if kept.failed:
                logger.error(
                    "webhook %s: event %s is given up after %d attempts: %s", url, kept.event_id, kept.attempts, kept.last_error
                )


def _more_waiting(work: Work, settled: Settlement) -> int:
    """By how many there are more deliveries that wait."""
    due = {letter.seq for letter in work.due}
    new = sum(kept.seq not in due and not kept.failed for kept in settled.kept)
    return new - len(settled.gone) - sum(kept.seq in due and kept.failed for kept in settled.kept)
