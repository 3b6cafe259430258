"""Poster: posts one event, signed by the Standard Webhooks scheme, within a bounded time whatever the receiver does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook as Signer

from falcon_events.model.webhooks import OutgoingEvent
from falcon_events.webhooks.poster_messages import Attempt, AttemptResult
from falcon_events.webhooks.schedule import parse_retry_after

MAX_RESPONSE_BYTES = 64 << 10
"""How much of a response body is read. Once it is read to its end, the connection can be used again."""
MAX_ERROR = 200
DRAIN_S = 0.4
"""How long a response body is read, and how long its last read may take. Both together stay below GRACE_S (poster_main.py)."""
GONE = 410
BUSY = (429, 502, 503, 504)
"""Statuses that concern the whole receiver rather than one event."""


class Poster:
    """HTTP client that posts events to one receiver, for use in one thread.

    Args:
        url: the receiver's URL.
        secrets: the secrets; each event is signed with each of them.
        timeout_s: how long an attempt may take, in seconds.
        agent: the User-Agent.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, url: str, secrets: Sequence[str], timeout_s: float, agent: str, clock: Callable[[], float]) -> None:
        self._url = url
        self._signers = [Signer(secret) for secret in secrets]
        self._timeout_s = timeout_s
        self._clock = clock
        headers = {"Content-Type": "application/json", "User-Agent": agent}
        self._client = httpx.Client(headers=headers, timeout=timeout_s, follow_redirects=False)

    def post(self, outgoing: OutgoingEvent) -> Attempt:
        """Try to deliver an event."""
        attempt = self._try(outgoing)
        if attempt.is_cut_off:  # usually the receiver has closed an idle connection, and accepts the event over a new one
            attempt = self._try(outgoing)
        return attempt

    def close(self) -> None:
        """Close the connections. A read from one of them fails."""
        self._client.close()

    def _try(self, outgoing: OutgoingEvent) -> Attempt:
        now = datetime.fromtimestamp(self._clock(), UTC)
        body = outgoing.body.decode()
        headers = {
            "webhook-id": outgoing.event_id,
            "webhook-timestamp": str(math.floor(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(outgoing.event_id, now, body) for signer in self._signers),
        }
        attempt = None
        try:
            with self._client.stream("POST", self._url, content=outgoing.body, headers=headers) as response:
                attempt = self._judge_response(response)
                if attempt.result is AttemptResult.DELIVERED:
                    self._drain(response)
                return attempt
        except Exception as error:
            return attempt or self._judge_error(error)  # once there is a status, it counts, even if the body cannot be read

    def _judge_error(self, error: Exception) -> Attempt:
        unreachable = (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.UnsupportedProtocol,
            httpx.ProxyError,
        )
        if isinstance(error, unreachable):
            return Attempt(AttemptResult.UNREACHABLE, error=f"cannot be reached: {str(error) or 'timed out'}"[:MAX_ERROR])
        if isinstance(error, httpx.TimeoutException):
            return Attempt(AttemptResult.REFUSED, error=f"no answer within {self._timeout_s:g} s")
        if isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
            return Attempt(AttemptResult.REFUSED, error="the connection was cut off", is_cut_off=True)
        # Any other error, such as that of a connection that close() has ended: the event is tried again.
        return Attempt(AttemptResult.REFUSED, error=f"{type(error).__name__}: {error}"[:MAX_ERROR])

    def _drain(self, response: httpx.Response) -> None:
        """Read a response to its end, so that its connection can be used again. One that takes too long is closed instead."""
        response.request.extensions["timeout"]["read"] = min(DRAIN_S, self._timeout_s)
        deadline = time.monotonic() + DRAIN_S
        size = 0
        for part in response.iter_raw():
            size += len(part)
            if size > MAX_RESPONSE_BYTES or time.monotonic() > deadline:
                break

    def _judge_response(self, response: httpx.Response) -> Attempt:
        status = response.status_code
        if 200 <= status < 300:
            return Attempt(AttemptResult.DELIVERED, status)
        result = AttemptResult.GONE if status == GONE else AttemptResult.BUSY if status in BUSY else AttemptResult.REFUSED
        is_busy = result is AttemptResult.BUSY
        wait_s = parse_retry_after(response.headers.get("Retry-After"), self._clock()) if is_busy else None
        redirected = " (redirects are not followed)" if 300 <= status < 400 else ""
        return Attempt(result, status, f"answered {status}{redirected}", wait_s)
