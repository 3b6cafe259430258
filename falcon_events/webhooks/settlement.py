"""Settlement: what to record after a round, namely what is delivered, what is tried again and when, and the receiver's state."""

from __future__ import annotations

from falcon_events.model.webhooks import DeliveryRow, OutgoingEvent, Settlement, Work
from falcon_events.webhooks.poster_messages import Attempt, AttemptResult, JobOutcome
from falcon_events.webhooks.schedule import Schedule, to_microseconds

UNCOUNTED = (AttemptResult.UNREACHABLE, AttemptResult.GONE)
"""Results that concern the receiver only and do not count as an attempt of the event."""


def build_settlement(work: Work, outcome: JobOutcome, schedule: Schedule, now: float) -> Settlement:
    """Decide what to record after a round.

    Every event before the settlement's `next_seq` is delivered or gets a row. If the round was stopped, `next_seq` comes right
    after the last event that the receiver has seen. Later events get no row, so a receiver that is down causes no rows at all.

    A failure of the whole receiver does not count as an attempt of an event, unless the receiver accepted another event in the
    same round.

    Args:
        work: what there was to deliver.
        outcome: the outcome of the round.
        schedule: the waits between attempts.
        now: the current time in seconds since 1970.
    """
    attempts = {seq: attempt for seq, attempt in outcome.attempts.items() if attempt.result not in UNCOUNTED}
    failures, failure = _assess_receiver(work, outcome)
    pause_s = 0.0 if failure is None else max(schedule.compute_pause_s(failures), failure.retry_after_s or 0.0)
    accepts_others = any(attempt.result is AttemptResult.DELIVERED for attempt in attempts.values())

    def decide_row(outgoing: OutgoingEvent) -> DeliveryRow | None:
        attempt = attempts.get(outgoing.seq)
        if attempt is not None and attempt.result is AttemptResult.BUSY and not accepts_others:
            # The receiver is busy, so this is no attempt of the event. The row makes the next try start with another event, in
            # case this event is the cause after all.
            return _build_row(
                outgoing, outgoing.attempts, to_microseconds(now + max(pause_s, attempt.retry_after_s or 0.0)), attempt
            )
        return _decide_row(outgoing, attempt, schedule, now)

    rows: list[DeliveryRow] = []
    gone: list[int] = []
    for outgoing in work.due:
        if outgoing.seq in attempts:
            row = decide_row(outgoing)
            if row is None:
                gone.append(outgoing.seq)
            else:
                rows.append(row)
    next_seq = work.until + 1
    if outcome.stopped or outcome.receiver_failure is not None:
        next_seq = (
            max((outgoing.seq for outgoing in work.fresh if outgoing.seq in attempts), default=work.target.next_seq - 1) + 1
        )
    rows += [row for outgoing in work.fresh if outgoing.seq < next_seq and (row := decide_row(outgoing)) is not None]
    return Settlement(
        webhook_id=work.target.webhook_id,
        next_seq=next_seq,
        gone=gone,
        rows=rows,
        failures=failures,
        resume_at=None if failure is None else to_microseconds(now + pause_s),
        disabled=outcome.receiver_failure is not None and outcome.receiver_failure.result is AttemptResult.GONE,
        last_error=failure.error if failure is not None else None,
    )


def _assess_receiver(work: Work, outcome: JobOutcome) -> tuple[int, Attempt | None]:
    """Return how often the receiver has failed without a success in between, and the attempt that shows that it fails now."""
    before = work.target.failures
    if any(attempt.result is AttemptResult.DELIVERED for attempt in outcome.attempts.values()):
        before = 0
    failure = outcome.receiver_failure
    if failure is None and before:
        # After a failure, a round has one fresh event and one due event. Only an event without earlier attempts tells whether
        # the receiver still fails, because another one may fail by itself.
        untried = (outgoing.seq for outgoing in (*work.due, *work.fresh) if not outgoing.attempts)
        failure = next((outcome.attempts[seq] for seq in untried if seq in outcome.attempts), None)
    return before + (failure is not None), failure


def _decide_row(outgoing: OutgoingEvent, attempt: Attempt | None, schedule: Schedule, now: float) -> DeliveryRow | None:
    """Return the row that an event needs, or None if it was delivered."""
    if attempt is None:
        return _build_row(outgoing, outgoing.attempts, to_microseconds(now))
    if attempt.result is AttemptResult.DELIVERED:
        return None
    attempts = outgoing.attempts + 1
    wait_s = schedule.compute_wait_s(attempts)
    next_at = to_microseconds(now + max(wait_s or 0.0, attempt.retry_after_s or 0.0))
    return _build_row(outgoing, attempts, next_at, attempt, failed=wait_s is None)


def _build_row(
    outgoing: OutgoingEvent, attempts: int, next_at: int, attempt: Attempt | None = None, *, failed: bool = False
) -> DeliveryRow:
    status, error = (None, None) if attempt is None else (attempt.status, attempt.error)
    return DeliveryRow(
        outgoing.seq, outgoing.event_id, outgoing.list_id, outgoing.visitor, attempts, next_at, status, error, failed
    )
