"""What is to be recorded after a round: what is delivered, what is tried again and when, and how the receiver does."""

from __future__ import annotations

from falcon_events.model.webhooks import Kept, Letter, Settlement, Work
from falcon_events.webhooks.poster_messages import Outcome, Result, Verdict
from falcon_events.webhooks.schedule import Schedule, microseconds

UNSEEN = (Result.UNREACHABLE, Result.GONE)
"""What happens to the receiver is no attempt of an event's."""


def settlement(work: Work, outcome: Outcome, schedule: Schedule, now: float) -> Settlement:
    """What to record.

    Everything before its `next_seq` is delivered or gets a row. Where the round was stopped, that is what comes before the
    last event that the receiver has seen: what comes after it stays where it is, so that a receiver that is down leads to no
    rows at all.

    Args:
        work: what there was to deliver.
        outcome: what became of it. An answer that speaks for the whole receiver is no attempt of an event's, but where another
            event was taken in the same round.
        schedule: when to try again what has failed.
        now: the current time in seconds since 1970.
    """
    verdicts = {seq: verdict for seq, verdict in outcome.verdicts.items() if verdict.result not in UNSEEN}
    failures, trouble = _health(work, outcome)
    pause_s = 0.0 if trouble is None else max(schedule.pause(failures), trouble.retry_after_s or 0.0)
    takes_others = any(verdict.result is Result.DELIVERED for verdict in verdicts.values())

    def row_of(letter: Letter) -> Kept | None:
        verdict = verdicts.get(letter.seq)
        if verdict is not None and verdict.result is Result.BUSY and not takes_others:
            # It speaks for the receiver. The row lets the next try be another event's, should it be this one's after all.
            return _row(letter, letter.attempts, microseconds(now + max(pause_s, verdict.retry_after_s or 0.0)), verdict)
        return _kept(letter, verdict, schedule, now)

    kept: list[Kept] = []
    gone: list[int] = []
    for letter in work.due:
        if letter.seq in verdicts:
            row = row_of(letter)
            if row is None:
                gone.append(letter.seq)
            else:
                kept.append(row)
    next_seq = work.until + 1
    if outcome.stopped or outcome.worst is not None:
        next_seq = max((letter.seq for letter in work.fresh if letter.seq in verdicts), default=work.target.next_seq - 1) + 1
    kept += [row for letter in work.fresh if letter.seq < next_seq and (row := row_of(letter)) is not None]
    return Settlement(
        webhook_id=work.target.webhook_id,
        next_seq=next_seq,
        gone=gone,
        kept=kept,
        failures=failures,
        resume_at=None if trouble is None else microseconds(now + pause_s),
        disabled=outcome.worst is not None and outcome.worst.result is Result.GONE,
        last_error=trouble.error if trouble is not None else None,
    )


def _health(work: Work, outcome: Outcome) -> tuple[int, Verdict | None]:
    """How often the receiver has been out of order without a success in between, and what says that it is now."""
    before = work.target.failures
    if any(verdict.result is Result.DELIVERED for verdict in outcome.verdicts.values()):
        before = 0
    trouble = outcome.worst
    if trouble is None and before:  # a probe; an event that has failed before may do so by itself
        first = (letter.seq for letter in (*work.due, *work.fresh) if not letter.attempts)
        trouble = next((outcome.verdicts[seq] for seq in first if seq in outcome.verdicts), None)
    return before + (trouble is not None), trouble


def _kept(letter: Letter, verdict: Verdict | None, schedule: Schedule, now: float) -> Kept | None:
    """The row that an event needs, or None where it was delivered."""
    if verdict is None:
        return _row(letter, letter.attempts, microseconds(now))
    if verdict.result is Result.DELIVERED:
        return None
    attempts = letter.attempts + 1
    wait_s = schedule.after(attempts)
    next_at = microseconds(now + max(wait_s or 0.0, verdict.retry_after_s or 0.0))
    return _row(letter, attempts, next_at, verdict, failed=wait_s is None)


def _row(letter: Letter, attempts: int, next_at: int, verdict: Verdict | None = None, *, failed: bool = False) -> Kept:
    status, error = (None, None) if verdict is None else (verdict.status, verdict.error)
    return Kept(letter.seq, letter.event_id, letter.list_id, letter.visitor, attempts, next_at, status, error, failed)
