"""Large bodies take turns, and a batch that takes long lets other requests go first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

import pytest

from falcon_events import EventTracking
from falcon_events.contract import envelope
from falcon_events.ingest.bodies import HeldBody, Turns
from falcon_events.model.sender import Sender
from falcon_events.runtime.steps import OTHERS_FIRST, Steps, Waiter
from tests.harness import Credentials

LARGE = HeldBody(b" " * (1 << 20))
Event = tuple[int, str]


def work(number: int, seen: list[Event], *, pauses: int = 0, commit: Future[None] | None = None) -> Steps[int]:
    """Steps that note when they run."""
    seen.append((number, "begins"))
    for _ in range(pauses):
        yield OTHERS_FIRST
    seen.append((number, "is checked"))
    if commit is not None:
        yield commit
    return number


def step(steps: Generator[Any, Any, Any]) -> Any:
    """What steps wait for next."""
    return next(steps)


def test_a_body_keeps_its_turn_while_it_pauses() -> None:
    """Only one large body is decoded at a time, whoever pauses; a small one needs no turn."""
    turns, seen = Turns(), list[Event]()
    commit: Future[None] = Future()
    first = turns.take(LARGE, work(1, seen, pauses=2, commit=commit))
    second = turns.take(LARGE, work(2, seen, commit=commit))
    assert step(first) is OTHERS_FIRST
    turn = step(second)
    assert not turn.done()
    assert Waiter().run(turns.take(HeldBody(b"{}"), work(3, seen))) == 3
    assert step(first) is OTHERS_FIRST
    assert not turn.done()
    assert step(first) is commit
    assert turn.done(), "it is the other one's turn while the first one waits for its commit"
    assert second.send(None) is commit
    assert [event for event in seen if event[0] != 3] == [(1, "begins"), (1, "is checked"), (2, "begins"), (2, "is checked")]


@pytest.mark.parametrize("which", ["waits", "has the turn", "pauses"])
def test_a_canceled_request_passes_its_turn_on(which: str) -> None:
    """Whether it waits for the turn, has just got it or is being checked: the one behind it has its turn."""
    turns, seen = Turns(), list[Event]()
    first, second, third = (turns.take(LARGE, work(number, seen, pauses=1)) for number in (1, 2, 3))
    step(first)
    turn, last = step(second), step(third)
    if which == "waits":
        second.close()
    with pytest.raises(StopIteration):
        step(first)
    if which == "has the turn":
        assert turn.done()
        second.close()
    elif which == "pauses":
        assert second.send(None) is OTHERS_FIRST
        second.close()
    assert last.done()
    assert third.send(None) is OTHERS_FIRST


def test_events_are_taken_while_refused_batches_are_checked(tracking: EventTracking, credentials: Credentials) -> None:
    """In one event loop: an event that arrives after thousands of events to refuse has its reply before they have theirs."""
    refused = {"event": "e", "email": "a@example.com", "Timestamp": "0001-01-01T00:00:00Z"}
    batch = json.dumps({"APIKey": credentials.full, "ListID": credentials.list_id, "Events": [refused] * 1000}).encode()
    event = json.dumps(credentials.event()).encode()
    waiter, pipeline, replies = Waiter(), tracking.pipeline, list[str]()

    async def send(name: str, steps: Steps[Any]) -> None:
        reply = await waiter.arun(steps)
        assert reply.status == 200
        replies.append(name)

    async def send_all() -> None:
        await send("first", pipeline.event_reply(event, Sender()))  # opens the store
        batches = [asyncio.create_task(send("batch", pipeline.events_reply(batch, Sender()))) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.gather(send("event", pipeline.event_reply(event, Sender())), *batches)

    asyncio.run(send_all())
    assert replies.index("event") <= 3, replies


@pytest.mark.parametrize("known", ["in front", "behind", "bearer", "", "unknown"])
def test_large_unreadable_batches_are_split_for_known_senders_only(
    tracking: EventTracking, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """Others get 400 with code 100000, without the search for readable events, which takes time."""
    key = credentials.ingest if known != "unknown" else "fe_ingest_unknown"
    member = f'"APIKey": "{key}",'.encode()
    event = b'{"event": "e", "email": "a@example.com", "properties": {"text": "%b"}}' % (b"x" * 1_000)
    events = b",".join([event] * 100 + [b'{"event": 1e999}'])
    front, behind = (member if known == place else b"" for place in ("in front", "behind"))
    body = b'{%b"ListID": %d, "Events": [%b], %b "a": 1}' % (
        member if known == "unknown" else front, credentials.list_id, events, behind
    )  # fmt: skip
    if known in ("", "unknown"):
        monkeypatch.setattr(envelope, "_split", None)
    reply = tracking.waiter.run(tracking.pipeline.events_reply(body, Sender(key if known == "bearer" else None)))
    if known in ("", "unknown"):
        assert (reply.status, json.loads(reply.body)["Errors"][0]["Code"]) == (400, 100000)
    else:
        codes = [result.get("Errors", [{"Code": 0}])[0]["Code"] for result in json.loads(reply.body)["Results"]]
        assert codes == [0] * 100 + [100000]
