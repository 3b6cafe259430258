"""When a call is tried again and when it ends, by a clock that only the tests' pauses and answers move."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import msgspec
import pytest

from falcon_events.client import Event, NoAnswer, RateLimited, StoreUnavailable, retries as exchanges
from falcon_events.client.events import QueuedEvent
from falcon_events.client.replies import ServerReply
from tests.server.client.common import ERRORS

ANSWER_S = 0.01
"""How long an answer takes."""


class Exchange:
    """A call's requests and pauses, in the order in which it makes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self.pauses: list[float] = []
        monkeypatch.setattr(exchanges, "time", SimpleNamespace(monotonic=lambda: self.now))

    def track(self, answer: ServerReply, retry_s: float) -> None:
        """Tracks an event with a server that has one answer."""

        def ask(_: exchanges.Request) -> ServerReply:
            self.asked.append(self.now)
            self.now += ANSWER_S
            return answer

        def rest(pause: exchanges.Pause) -> None:
            self.pauses.append(pause.seconds)
            self.now += pause.seconds

        exchanges.drive(exchanges.track(QueuedEvent(Event(94, "x", email="a@example.com"), 0.0), retry_s), ask, rest)


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Exchange:
    """One with nothing asked yet."""
    return Exchange(monkeypatch)


@pytest.mark.parametrize("retry_s", [0, 0.05, 2, 30])
def test_pauses_grow_and_the_last_try_comes_in_time(exchange: Exchange, retry_s: float) -> None:
    """Each pause is of twice the last one's range, a quarter of the time at most, and no two clients' are the same."""
    with pytest.raises(NoAnswer, match="500 Internal Server Error"):
        exchange.track(ServerReply(500, {}, b"oops"), retry_s)
    longest = max(retry_s / 4, exchanges.FIRST_PAUSE_S)
    ranges = [min(exchanges.FIRST_PAUSE_S * 2**number, longest) for number in range(len(exchange.pauses))]
    assert all(most / 2 <= pause <= most for pause, most in zip(exchange.pauses, ranges, strict=True))
    assert exchange.asked[-1] <= retry_s < exchange.now + longest
    assert len(set(exchange.pauses)) == len(exchange.pauses)
    assert len(exchange.asked) == len(exchange.pauses) + 1


@pytest.mark.parametrize(
    ("status", "retry_after", "error"),
    [(429, "3000", RateLimited), (503, "21", StoreUnavailable), (503, "Fri, 31 Dec 9999 23:59:59 GMT", StoreUnavailable)],
)
def test_where_no_try_can_come_in_time_there_is_nothing_to_wait_for(
    exchange: Exchange, status: int, retry_after: str, error: type[Exception]
) -> None:
    """A server that asks for more patience than the call has is taken at its word."""
    with pytest.raises(error):
        exchange.track(ServerReply(status, {"retry-after": retry_after}, msgspec.json.encode(ERRORS)), 20)
    assert (len(exchange.asked), exchange.pauses) == (1, [])


def test_a_server_that_asks_for_patience_gets_it(exchange: Exchange) -> None:
    """Each pause is what the server asked for, and a little more, that differs between clients."""
    with pytest.raises(StoreUnavailable):
        exchange.track(ServerReply(503, {"retry-after": "3"}, msgspec.json.encode(ERRORS)), 20)
    assert len(exchange.pauses) == 6
    assert all(later - earlier >= 3 for earlier, later in itertools.pairwise(exchange.asked))
