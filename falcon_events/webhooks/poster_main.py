"""Poster process: posts events for the owner of a store, so that posting does not slow down the owner's interpreter."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, BinaryIO

from falcon_events.webhooks.poster import MAX_ERROR, Poster
from falcon_events.webhooks.poster_messages import (
    ROUND_S,
    Attempt,
    AttemptResult,
    Job,
    JobOutcome,
    Stop,
    decode_order,
    encode,
    read_frame,
    write_frame,
)
from falcon_events.webhooks.poster_threads import PosterThreads
from falcon_events.webhooks.round import Round

GRACE_S = 1.0
"""How long a stopped job waits for answers. Other jobs wait this much longer than the time limit of an attempt."""
NICE = 10
"""The niceness of this process, since storing events matters more."""


class JobRunner:
    """Runs jobs: those of several webhooks at the same time, and one at a time of each.

    Args:
        out: the pipe that outcomes are written to.
        agent: the User-Agent sent to receivers.
    """

    def __init__(self, out: BinaryIO, agent: str) -> None:
        self._out = out
        self._agent = agent
        self._writing = threading.Lock()
        self._threads: dict[str, tuple[object, PosterThreads]] = {}
        self._stopping: dict[int, threading.Event] = {}

    def handle(self, order: Job | Stop) -> None:
        """Start or stop a job."""
        if isinstance(order, Stop):
            if (stopping := self._stopping.get(order.number)) is not None:
                stopping.set()
            return
        stopping = self._stopping[order.number] = threading.Event()
        threading.Thread(target=self._run, args=(order, stopping), name="falcon-events-job", daemon=True).start()

    def _run(self, job: Job, stopping: threading.Event) -> None:
        try:
            outcome = self._post(job, stopping)
        except Exception as error:  # such as an unusable proxy or certificate file in the environment
            text = f"cannot be reached: {type(error).__name__}: {error}"[:MAX_ERROR]
            failure = Attempt(AttemptResult.UNREACHABLE, error=text)
            outcome = JobOutcome(job.number, {}, failure, True, job.failing_visitors)
        del self._stopping[job.number]
        self._send(outcome)

    def _post(self, job: Job, stopping: threading.Event) -> JobOutcome:
        round_ = Round(job)
        self._get_threads(job).deliver(round_)
        began = time.monotonic()
        while not round_.over.is_set() and not stopping.is_set() and time.monotonic() - began < ROUND_S:
            round_.over.wait(0.1)
        if not round_.over.is_set():
            round_.stop()
        stopped_at = time.monotonic()
        while not round_.over.is_set():
            waited_s = time.monotonic() - stopped_at
            if stopping.is_set() and waited_s > GRACE_S:
                round_.end(None)
            elif waited_s > job.timeout_s + GRACE_S:  # the receiver sends its answer byte by byte
                round_.end(Attempt(AttemptResult.REFUSED, error=f"no answer within {job.timeout_s:g} s"))
                self._threads.pop(job.webhook_id)[1].close()
            round_.over.wait(0.1)
        return round_.outcome()

    def _send(self, outcome: JobOutcome) -> None:
        with self._writing:
            try:
                write_frame(self._out, encode(outcome))
            except OSError:
                os._exit(0)  # the owner has ended

    def _get_threads(self, job: Job) -> PosterThreads:
        """Return the threads of a job's webhook. If its URL, secrets or timeout have changed, replace them."""
        terms = (job.url, job.secrets, job.timeout_s)
        known = self._threads.get(job.webhook_id)
        if known is not None and known[0] == terms:
            return known[1]
        if known is not None:
            known[1].close()
        threads = PosterThreads(lambda: Poster(job.url, job.secrets, job.timeout_s, self._agent, time.time))
        self._threads[job.webhook_id] = (terms, threads)
        return threads


def main(start: dict[str, Any]) -> None:
    """Run jobs until the owner ends, then end at once, even during an attempt.

    Args:
        start: a dict with `agent`, the User-Agent sent to receivers.
    """
    os.nice(NICE)
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    runner = JobRunner(out, start["agent"])
    while (frame := read_frame(source)) is not None:
        runner.handle(decode_order(frame))
    os._exit(0)  # without waiting for receivers
