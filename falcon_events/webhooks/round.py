"""Round of deliveries: which events are posted at the same time, which wait for each other, and when posting stops."""

from __future__ import annotations

import threading
from collections import deque

from falcon_events.model.webhooks import OutgoingEvent
from falcon_events.webhooks.poster import Poster
from falcon_events.webhooks.poster_messages import Attempt, AttemptResult, Job, JobOutcome

MAX_FAILING_VISITORS = 3
"""If the events of this many visitors fail without a success in between, the receiver itself has failed."""


class Round:
    """Round of deliveries: the events of one visitor are posted one after the other, those of several visitors in parallel.

    Args:
        job: the job to deliver.
    """

    def __init__(self, job: Job) -> None:
        self._number = job.number
        self._failing_visitors = set(job.failing_visitors)
        self._lock = threading.Lock()
        self._attempts: dict[int, Attempt] = {}
        self._unanswered: dict[int, OutgoingEvent] = {}
        chains: dict[str, list[OutgoingEvent]] = {}
        for outgoing in job.outgoing_events:
            chains.setdefault(outgoing.visitor, []).append(outgoing)
        self._chains = deque(chains.values())
        self.chains = len(self._chains)
        """The number of visitors."""
        self._running = 0
        self._receiver_failure: Attempt | None = None
        self._stopped = False
        self.over = threading.Event()
        """Set once no event of the round is being posted any more."""

    def stop(self) -> None:
        """Post no further event."""
        self._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether no further event is posted."""
        return self._stopped or self._receiver_failure is not None

    def deliver(self, poster: Poster) -> None:
        """Post the events of one visitor after another, until none are left. Several threads call this."""
        while True:
            with self._lock:
                if self.over.is_set():
                    return
                if self.stopped or not self._chains:
                    if not self._running:
                        self.over.set()
                    return
                chain = self._chains.popleft()
                self._running += 1
            for outgoing in chain:
                if self.stopped:
                    break
                self._unanswered[outgoing.seq] = outgoing
                if not self._record(outgoing, poster.post(outgoing)):
                    break
            with self._lock:
                self._running -= 1

    def end(self, attempt: Attempt | None) -> None:
        """End the round now. Unanswered events get this attempt; None: they get no attempt."""
        with self._lock:
            if not self.over.is_set() and attempt is not None:
                for outgoing in list(self._unanswered.values()):
                    self._add(outgoing, attempt)
            self._stopped = True
            self.over.set()

    def outcome(self) -> JobOutcome:
        """Return the outcome, once the round is over."""
        with self._lock:
            visitors = sorted(self._failing_visitors)
            return JobOutcome(self._number, self._attempts, self._receiver_failure, self.stopped, visitors)

    def _record(self, outgoing: OutgoingEvent, attempt: Attempt) -> bool:
        """Record an attempt, and return whether the visitor's next event may follow."""
        with self._lock:
            if self.over.is_set():
                return False
            self._add(outgoing, attempt)
            return attempt.result is AttemptResult.DELIVERED

    def _add(self, outgoing: OutgoingEvent, attempt: Attempt) -> None:
        del self._unanswered[outgoing.seq]
        self._attempts[outgoing.seq] = attempt
        if attempt.result is AttemptResult.DELIVERED:
            self._failing_visitors.clear()
            return
        self._failing_visitors.add(outgoing.visitor)
        is_event_refused = attempt.result is AttemptResult.REFUSED and len(self._failing_visitors) < MAX_FAILING_VISITORS
        if attempt.result is AttemptResult.GONE or (self._receiver_failure is None and not is_event_refused):
            self._receiver_failure = attempt
