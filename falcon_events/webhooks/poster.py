"""Posting one event: signed by the Standard Webhooks scheme, within a bounded time, whatever the receiver does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook as Signer

from falcon_events.model.webhooks import Letter
from falcon_events.webhooks.poster_messages import Result, Verdict
from falcon_events.webhooks.schedule import retry_after_s

MOST_ANSWER_BYTES = 64 << 10
"""How much of an answer is read, so that its connection can be used again."""
MAX_ERROR = 200
DRAIN_S = 0.4
"""For so long, and for as long again at the last read: less than an attempt may take beyond its limit (office.py)."""
GONE = 410
BUSY = (429, 502, 503, 504)
"""Answers that speak for the whole receiver, not for one event."""
CUT_OFF = "the connection was cut off"


class Poster:
    """Posts events to one receiver, from one thread.

    Args:
        url: the receiver's.
        secrets: an event is signed with each of them.
        timeout_s: how long an attempt may take, in seconds.
        agent: what names us.
        clock: the current time in seconds since 1970.
    """

    def __init__(self, url: str, secrets: Sequence[str], timeout_s: float, agent: str, clock: Callable[[], float]) -> None:
        self._url = url
        self._signers = [Signer(secret) for secret in secrets]
        self._timeout_s = timeout_s
        self._clock = clock
        headers = {"Content-Type": "application/json", "User-Agent": agent}
        self._client = httpx.Client(headers=headers, timeout=timeout_s, follow_redirects=False)

    def post(self, letter: Letter) -> Verdict:
        """Tries to deliver an event."""
        verdict = self._try(letter)
        if verdict.error == CUT_OFF:  # most often the receiver has closed a connection that was idle, and takes it now
            verdict = self._try(letter)
        return verdict

    def close(self) -> None:
        """Closes the connections; whoever reads from one of them is interrupted."""
        self._client.close()

    def _try(self, letter: Letter) -> Verdict:
        now = datetime.fromtimestamp(self._clock(), UTC)
        body = letter.body.decode()
        headers = {
            "webhook-id": letter.event_id,
            "webhook-timestamp": str(math.floor(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(letter.event_id, now, body) for signer in self._signers),
        }
        verdict = None
        try:
            with self._client.stream("POST", self._url, content=letter.body, headers=headers) as answer:
                verdict = self._verdict(answer)
                if verdict.result is Result.DELIVERED:
                    self._drain(answer)
                return verdict
        except Exception as error:
            return verdict or self._failure(error)  # the status counts, whatever becomes of the rest of the answer

    def _failure(self, error: Exception) -> Verdict:
        unreachable = (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.UnsupportedProtocol,
            httpx.ProxyError,
        )
        if isinstance(error, unreachable):
            return Verdict(Result.UNREACHABLE, error=f"cannot be reached: {str(error) or 'timed out'}"[:MAX_ERROR])
        if isinstance(error, httpx.TimeoutException):
            return Verdict(Result.REFUSED, error=f"no answer within {self._timeout_s:g} s")
        if isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
            return Verdict(Result.REFUSED, error=CUT_OFF)
        # Such as a connection that close() has ended; the event is tried again, whatever it was.
        return Verdict(Result.REFUSED, error=f"{type(error).__name__}: {error}"[:MAX_ERROR])

    def _drain(self, answer: httpx.Response) -> None:
        """Reads an answer to its end, where that comes soon; else its connection is closed."""
        answer.request.extensions["timeout"]["read"] = min(DRAIN_S, self._timeout_s)
        deadline = time.monotonic() + DRAIN_S
        size = 0
        for part in answer.iter_raw():
            size += len(part)
            if size > MOST_ANSWER_BYTES or time.monotonic() > deadline:
                break

    def _verdict(self, answer: httpx.Response) -> Verdict:
        status = answer.status_code
        if 200 <= status < 300:
            return Verdict(Result.DELIVERED, status)
        result = Result.GONE if status == GONE else Result.BUSY if status in BUSY else Result.REFUSED
        wait_s = retry_after_s(answer.headers.get("Retry-After"), self._clock()) if result is Result.BUSY else None
        redirected = " (redirects are not followed)" if 300 <= status < 400 else ""
        return Verdict(result, status, f"answered {status}{redirected}", wait_s)
