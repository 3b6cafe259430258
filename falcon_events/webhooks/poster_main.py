"""The posting process: takes jobs from the owner of a store and posts, so that the owner has its interpreter to itself."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, BinaryIO

from falcon_events.webhooks.poster import MAX_ERROR, Poster
from falcon_events.webhooks.poster_messages import (
    ROUND_S,
    Job,
    Outcome,
    Result,
    Stop,
    Verdict,
    decode_order,
    encode,
    read_frame,
    write_frame,
)
from falcon_events.webhooks.poster_threads import Senders
from falcon_events.webhooks.round import Round

GRACE_S = 1.0
"""How long answers are waited for where a job is stopped; and how much longer than their limit, where it is not."""
NICE = 10
"""Taking events in comes first."""


class Office:
    """Does jobs, those of several webhooks side by side; one at a time of each.

    Args:
        out: where outcomes are written.
        agent: what names us to receivers.
    """

    def __init__(self, out: BinaryIO, agent: str) -> None:
        self._out = out
        self._agent = agent
        self._writing = threading.Lock()
        self._senders: dict[str, tuple[object, Senders]] = {}
        self._stopping: dict[int, threading.Event] = {}

    def take(self, order: Job | Stop) -> None:
        """Starts a job, or stops it."""
        if isinstance(order, Stop):
            if (stopping := self._stopping.get(order.number)) is not None:
                stopping.set()
            return
        stopping = self._stopping[order.number] = threading.Event()
        threading.Thread(target=self._do, args=(order, stopping), name="falcon-events-job", daemon=True).start()

    def _do(self, job: Job, stopping: threading.Event) -> None:
        try:
            outcome = self._outcome(job, stopping)
        except Exception as error:  # such as a proxy or a file of certificates in the environment that cannot be used
            text = f"cannot be reached: {type(error).__name__}: {error}"[:MAX_ERROR]
            outcome = Outcome(job.number, {}, Verdict(Result.UNREACHABLE, error=text), True, job.troubled)
        del self._stopping[job.number]
        self._tell(outcome)

    def _outcome(self, job: Job, stopping: threading.Event) -> Outcome:
        letters = Round(job)
        self._senders_for(job).carry(letters)
        began = time.monotonic()
        while not letters.over.is_set() and not stopping.is_set() and time.monotonic() - began < ROUND_S:
            letters.over.wait(0.1)
        if not letters.over.is_set():
            letters.stop()
        stopped_at = time.monotonic()
        while not letters.over.is_set():
            waited_s = time.monotonic() - stopped_at
            if stopping.is_set() and waited_s > GRACE_S:
                letters.end(None)
            elif waited_s > job.timeout_s + GRACE_S:  # an answer that comes byte by byte
                letters.end(Verdict(Result.REFUSED, error=f"no answer within {job.timeout_s:g} s"))
                self._senders.pop(job.webhook_id)[1].close()
            letters.over.wait(0.1)
        return letters.outcome()

    def _tell(self, outcome: Outcome) -> None:
        with self._writing:
            try:
                write_frame(self._out, encode(outcome))
            except OSError:
                os._exit(0)  # the owner has gone

    def _senders_for(self, job: Job) -> Senders:
        terms = (job.url, job.secrets, job.timeout_s)
        known = self._senders.get(job.webhook_id)
        if known is not None and known[0] == terms:
            return known[1]
        if known is not None:
            known[1].close()
        senders = Senders(lambda: Poster(job.url, job.secrets, job.timeout_s, self._agent, time.time))
        self._senders[job.webhook_id] = (terms, senders)
        return senders


def main(start: dict[str, Any]) -> None:
    """Does jobs until the owner has gone; what is on its way then is left where it is.

    Args:
        start: `agent` names us to receivers.
    """
    os.nice(NICE)
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    office = Office(out, start["agent"])
    while (frame := read_frame(source)) is not None:
        office.take(decode_order(frame))
    os._exit(0)  # without waiting for any receiver
