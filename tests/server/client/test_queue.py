"""The client's queue: what is enqueued is stored exactly once or told of, across faults, forks and the end of the process."""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from falcon_events.client import (
    AsyncClient,
    Client,
    ClientClosed,
    Event,
    EventsError,
    InvalidRequest,
    NoAnswer,
    NotAuthenticated,
    QueueFull,
    RequestRefused,
)
from falcon_events.client.batch_sender import BatchSender
from tests.harness import free_port, rows, serving, wait_until
from tests.server.client.common import ERRORS, Caller, World, name, run_script
from tests.server.client.peer import Peer, answering, cut_answer, lose_answer, lose_request
from tests.shortcuts import make_store


class Told:
    """What on_error was told."""

    def __init__(self) -> None:
        self.errors: dict[str, EventsError] = {}

    def __call__(self, event: Event, error: EventsError) -> None:
        """Notes it."""
        assert event.event_id not in self.errors, "told twice"
        self.errors[event.event_id] = error


def enqueue(client: Any, event: str, count: int) -> list[str]:
    """Enqueues events; their EventIDs."""
    if isinstance(client, Caller) and isinstance(client.client, AsyncClient):

        async def all_of_them() -> list[str]:
            return [await client.client.enqueue(94, event, email=f"{n}@example.com") for n in range(count)]

        return client._result(all_of_them())  # type: ignore[no-any-return]
    return [client.enqueue(94, event, email=f"{n}@example.com") for n in range(count)]


def test_2000_events_are_stored_exactly_once(kind: str, world: World) -> None:
    """In their order and in few requests, whatever is lost on the way."""
    event, told = name(), Told()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, on_error=told) as client:
        peer.tricks = [lose_answer, lose_request, answering(503, ERRORS, Retry_After="1"), cut_answer, answering(200, b"?")]
        sent = enqueue(client, event, 2000)
        assert client.waiting() > 0
        assert client.flush(60)
        assert client.waiting() == 0
        assert len(peer.requests) <= 12
    assert world.stored(event) == sent
    assert told.errors == {}


def test_events_are_sent_without_a_flush(kind: str, world: World) -> None:
    """After a short time, together with those that came within it; as of when they were enqueued."""
    event = name()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, linger_s=1) as client:
        began = int(time.time())
        sent = enqueue(client, event, 3)
        enqueued = time.time()

        def are_stored() -> bool:
            if kind == "async":
                client._result(asyncio.sleep(0.1))
            return world.stored(event) == sent

        wait_until(are_stored, "the events do not arrive")
        (request,) = peer.requests
        assert [body["EventID"] for body in request.json()["Events"]] == sent
        for body in request.json()["Events"]:
            at = calendar.timegm(time.strptime(body["Timestamp"][:19], "%Y-%m-%dT%H:%M:%S"))
            assert began <= at <= enqueued


@pytest.mark.parametrize("mistake", [RuntimeError, SystemExit])
def test_refused_events_are_told_of_and_keep_no_other_back(kind: str, world: World, mistake: type[BaseException]) -> None:
    """Each once, with the reason; an error in on_error is no reason to stop."""
    event, told = name(), Told()

    def on_error(refused: Event, error: EventsError) -> None:
        told(refused, error)
        raise mistake("of the host's")

    with Caller(kind, world.url, world.made.full, on_error=on_error) as client:
        sent = [client.enqueue(94, event, email="a@example.com")]
        wrong = [client.enqueue(94, event), client.enqueue(96, event, email="a@example.com")]
        sent.append(client.enqueue(94, event, email="a@example.com"))
        assert client.flush(30)
    assert world.stored(event) == sent
    assert told.errors.keys() == set(wrong)
    assert [told.errors[event_id].codes for event_id in wrong] == [(6,), (4,)]  # type: ignore[attr-defined]


def test_a_wrong_key_is_told_of_for_every_event(kind: str, world: World) -> None:
    """At once, in one request."""
    told = Told()
    with Peer(world.url) as peer, Caller(kind, peer.url, "wrong", on_error=told) as client:
        sent = enqueue(client, name(), 50)
        assert client.flush(30)
        assert len(peer.requests) == 1
    assert list(told.errors) == sent
    assert {type(error) for error in told.errors.values()} == {NotAuthenticated}


@pytest.mark.parametrize("status", [301, 403, 404, 405, 409])
def test_a_refusal_of_whatever_is_sent_is_no_reason_to_divide(kind: str, world: World, status: int) -> None:
    """A wrong address or a firewall: one request, and each event is told of."""
    told = Told()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, on_error=told) as client:
        peer.always = answering(status, b"<html>no</html>")
        sent = enqueue(client, name(), 50)
        assert client.flush(30)
        assert len(peer.requests) == 1
    assert list(told.errors) == sent


def test_a_server_out_of_order_costs_no_event(kind: str, world: World) -> None:
    """Its own errors are no proof against an event, as long as it takes no other."""
    event, told = name(), Told()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, on_error=told, linger_s=0) as client:
        peer.tricks = [answering(500, {"Errors": [{"Code": 100005, "Message": "x"}]})] * 10
        sent = enqueue(client, event, 1)
        while peer.tricks and client.waiting():
            client.flush(0.1)
        assert client.flush(30)
    assert told.errors == {}
    assert world.stored(event) == sent


@pytest.mark.parametrize(("variable", "value"), [("ALL_PROXY", "socks5://127.0.0.1:1"), ("SSL_CERT_FILE", "/nowhere/cert.pem")])
def test_a_wrong_environment_is_named_and_outlived(
    kind: str, world: World, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A call raises an error of this package; what is enqueued is sent once the environment is right."""
    event = name()
    with Caller(kind, world.url, world.made.full, retry_s=0, linger_s=0) as client:
        monkeypatch.setenv(variable, value)
        with pytest.raises(NoAnswer):
            client.track(94, event, email="a@example.com")
        sent = enqueue(client, event, 3)
        assert client.flush(0.3) is False
        monkeypatch.delenv(variable)
        assert client.flush(30)
    assert world.stored(event) == sent


def test_a_mistake_in_sending_does_not_end_it(kind: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the log, and the events are sent again."""
    event, post, failures = name(), BatchSender.send, ["a mistake"]

    def deliver(delivery: BatchSender, events: Any) -> Any:
        if failures:
            raise RuntimeError(failures.pop())
        return post(delivery, events)

    monkeypatch.setattr(BatchSender, "send", deliver)
    with Caller(kind, world.url, world.made.full) as client:
        sent = enqueue(client, event, 3)
        assert client.flush(30)
    assert world.stored(event) == sent


def test_a_task_that_is_cancelled_is_started_again(world: World) -> None:
    """By whoever waits for what it had to send."""
    event = name()

    async def main(url: str) -> list[str]:
        async with AsyncClient(url, world.made.full) as client:
            sent = [await client.enqueue(94, event, email="a@example.com") for _ in range(3)]
            flushing = asyncio.create_task(client.flush())
            await asyncio.to_thread(peer.asked.wait)
            (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "falcon-events-client")
            task.cancel()
            peer.always = None
            assert await flushing
        return sent

    with Peer(world.url) as peer:
        peer.always = answering(503, ERRORS, Retry_After="600")
        sent = asyncio.run(main(peer.url))
    assert world.stored(event) == sent


def test_flush_does_not_wait_for_what_comes_meanwhile(kind: str, world: World) -> None:
    """Though there is always another event."""
    event = name()

    def another(request: Any) -> bool:
        enqueued = client.client.enqueue(94, name(), email="a@example.com")
        if kind == "async":
            asyncio.run_coroutine_threadsafe(enqueued, client._loop).result()
        return True

    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, linger_s=0) as client:
        peer.always = another
        sent = enqueue(client, event, 3)
        assert client.flush(20)
        peer.always = None
    assert world.stored(event) == sent


@pytest.mark.parametrize(
    "fault",
    [answering(500, b"oops"), answering(500, {"Errors": [{"Code": 100005, "Message": "x"}]}), lose_request, answering(400, b"")],
)
def test_a_poisonous_event_keeps_no_other_back(kind: str, world: World, fault: Any) -> None:
    """The server fails over every batch that has it: the others are stored without it, and it is told of."""
    event, told = name(), Told()

    def fails_over_poison(request: Any) -> bool:
        poisoned = any(body["event"] == "poison" for body in peer.requests[-1].json()["Events"])
        return fault(request) if poisoned else True

    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, on_error=told, queue_retry_s=120) as client:
        peer.always = fails_over_poison
        first = enqueue(client, event, 5)
        poison = client.enqueue(94, "poison", email="a@example.com")
        second = enqueue(client, event, 5)

        def others_are_stored() -> bool:
            client.flush(0.5)
            return set(world.stored(event)) == {*first, *second} and client.waiting() <= 1

        wait_until(others_are_stored, "others are kept back")
        client.close(0)
    assert list(told.errors) == [poison]
    assert len(world.stored(event)) == 10
    assert world.stored("poison") == []


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that takes small bodies only."""
    db = tmp_path_factory.mktemp("narrow") / "events.duckdb"
    made = make_store(db)
    small = {"FALCON_EVENTS_MAX_BODY_BYTES": "10000"}
    with serving(db, "wsgi", env=small) as served, contextlib.closing(World(served, made)) as world:
        yield world


def test_a_batch_that_is_too_large_for_the_server_is_divided(kind: str, narrow: World) -> None:
    """An event that is too large alone is refused; the others are stored."""
    event, told = name(), Told()
    with Caller(kind, narrow.url, narrow.made.full, on_error=told) as client:
        sent = [client.enqueue(94, event, email="a@example.com", properties={"n": n, "x": "x" * 900}) for n in range(40)]
        large = client.enqueue(94, "large", email="a@example.com", properties={"x": "x" * 20_000})
        assert client.flush(30)
    assert narrow.stored(event) == sent
    assert narrow.stored("large") == []
    assert list(told.errors) == [large]
    assert told.errors[large].status == 413  # type: ignore[attr-defined]


def test_a_full_queue_says_so(kind: str, world: World) -> None:
    """At once, or after the time that one is willing to wait; then there is room, and what was refused was not kept."""
    event = name()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, queue_events=5, linger_s=0) as client:
        peer.always = answering(503, ERRORS)
        sent = enqueue(client, event, 5)
        for wait_s in (0, 0.2):
            with pytest.raises(QueueFull, match="5 events are not settled"):
                client.enqueue(94, event, email="a@example.com", wait_s=wait_s)
        peer.always = None
        sent.append(client.enqueue(94, event, email="a@example.com", wait_s=30))
        assert client.flush(30)
    assert world.stored(event) == sent
    with Caller(kind, world.url, world.made.full, queue_bytes=1000) as client, pytest.raises(QueueFull, match="1000 bytes"):
        client.enqueue(94, event, email="a@example.com", properties={"x": "x" * 1000})


def test_an_event_that_json_cannot_hold_is_refused_at_once(kind: str, world: World) -> None:
    """Where it is enqueued, and not later."""
    with Caller(kind, world.url, world.made.full) as client:
        for value in (float("inf"), object()):
            with pytest.raises(InvalidRequest):
                client.enqueue(94, "x", email="a@example.com", properties={"x": value})
        assert client.waiting() == 0


def test_what_is_too_old_is_given_up_and_told_of(kind: str) -> None:
    """After queue_retry_s; nothing disappears silently."""
    told = Told()
    with Caller(kind, f"http://127.0.0.1:{free_port()}", "key", on_error=told, queue_retry_s=0.5) as client:
        sent = enqueue(client, "x", 10)
        assert client.flush(30)
    assert list(told.errors) == sent
    assert {type(error) for error in told.errors.values()} == {NoAnswer}


def test_close_takes_no_longer_than_it_may(kind: str) -> None:
    """What is not sent by then is told of; and in the log, where nobody wants to be told."""
    told = Told()
    url = f"http://127.0.0.1:{free_port()}"
    with Caller(kind, url, "key", on_error=told, exit_s=0.5) as client:
        sent = enqueue(client, "x", 10)
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began > 0.4
    assert list(told.errors) == sent
    assert {type(error) for error in told.errors.values()} == {ClientClosed}


def test_lost_events_are_in_the_log_unless_somebody_is_told(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """With their number and the reason."""
    with Caller(kind, f"http://127.0.0.1:{free_port()}", "key") as client:
        enqueue(client, "x", 3)
        client.close(0)
    assert "3 events were not stored" in caplog.text


def test_flush_waits_no_longer_than_it_may(kind: str, world: World) -> None:
    """And has the next try made at once, however long the pause."""
    event = name()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, linger_s=0) as client:
        peer.always = answering(503, ERRORS, Retry_After="600")
        sent = enqueue(client, event, 1)
        assert client.flush(0.5) is False
        peer.always = None
        assert client.flush(30) is True
    assert world.stored(event) == sent


def test_the_queue_outlives_a_server(one_flavour: str, db: Path) -> None:
    """Killed with events under way, and started again, beside both clients."""
    made, port = make_store(db), free_port()
    with ExitStack() as stack:
        clients = [stack.enter_context(Caller(kind, f"http://127.0.0.1:{port}", made.full)) for kind in ("sync", "async")]
        sent: list[str] = []
        with serving(db, one_flavour, port=port) as served:
            for client in clients:
                sent += enqueue(client, "x", 300)
                client.flush(0.05)
            served.process.kill()
            for client in clients:
                sent += enqueue(client, "x", 300)
        with serving(db, one_flavour, port=port) as served:
            for client in clients:
                assert client.flush(60)
            served.stop()
    stored = [one for (one,) in rows(db, "select event_id::varchar from events where event = 'x'")]
    assert len(stored) == len(sent) == 1200
    assert set(stored) == set(sent)


def test_many_threads_share_a_client(world: World) -> None:
    """No event is lost between them."""
    event, sent = name(), []
    with Client(world.url, world.made.full, linger_s=0.01) as client:

        def work() -> None:
            sent.extend(client.enqueue(94, event, email="a@example.com") for _ in range(200))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(30)
    assert sorted(world.stored(event)) == sorted(sent)


def test_on_error_may_enqueue_and_not_flush(world: World) -> None:
    """What it enqueues is sent; a flush would wait for itself."""
    event, errors = name(), []

    def on_error(refused: Event, error: EventsError) -> None:
        client.enqueue(94, event, email="mended@example.com")
        try:
            client.flush()
        except EventsError as failed:
            errors.append(str(failed))

    client = Client(world.url, world.made.full, on_error=on_error)
    client.enqueue(94, event)
    assert client.flush(30)
    client.close()
    assert len(world.stored(event)) == 1
    assert "wait for itself" in errors[0]


FORKING = """
import os, sys, threading
from falcon_events.client import Client

url, key, event = sys.argv[1:]
client = Client(url, key, linger_s=0.05)
stop = threading.Event()
sent = [0] * 4


def busy(number):
    while not stop.is_set():
        client.enqueue(94, event + "-parent", email="a@example.com", wait_s=30)
        sent[number] += 1


threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert client.waiting() == 0
            for _ in range(50):
                client.enqueue(94, event + "-child", email="c@example.com")
            client.track(94, event + "-called", email="c@example.com")
            code = 0 if client.flush(60) else 2
        finally:
            os._exit(code)
    children.append(child)
codes = [os.waitpid(child, 0)[1] for child in children]
stop.set()
for thread in threads:
    thread.join()
print(sum(sent))
assert codes == [0] * 8, codes
"""
EXITING = """
import sys
from falcon_events.client import AsyncClient, Client

how, url, key, event = sys.argv[1:]


def enqueue():
    client = Client(url, key, linger_s=60, exit_s=0.5 if how == "dead server" else 30)
    for number in range(50):
        client.enqueue(94, event, email="a@example.com")


if how in ("plain", "dead server"):
    enqueue()
elif how == "multiprocessing":
    import multiprocessing

    for method in ("fork", "spawn"):
        if __name__ == "__main__":
            child = multiprocessing.get_context(method).Process(target=enqueue)
            child.start()
            child.join()
elif how == "async":
    import asyncio

    async def main():
        client = AsyncClient(url, key, linger_s=60)
        for number in range(50):
            await client.enqueue(94, event, email="a@example.com")
        await asyncio.sleep(0)

    asyncio.run(main())
"""


def test_a_fork_with_a_busy_queue_loses_and_doubles_nothing(world: World, tmp_path: Path) -> None:
    """The parent's events are the parent's; a child starts with an empty queue, whatever lock was held."""
    event = name()
    done = run_script(tmp_path, FORKING, world.url, world.made.full, event)
    assert done.returncode == 0, done.stderr
    counts = {who: len(world.stored(f"{event}-{who}")) for who in ("parent", "child", "called")}
    assert counts == {"parent": int(done.stdout), "child": 400, "called": 8}


@pytest.mark.parametrize(("how", "count"), [("plain", 50), ("multiprocessing", 100), ("async", 50)])
def test_the_end_of_the_process_sends_what_waits(how: str, count: int, world: World, tmp_path: Path) -> None:
    """Without a close(), long before its time would have come."""
    event = name()
    done = run_script(tmp_path, EXITING, how, world.url, world.made.full, event)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(world.stored(event)) == count


def test_the_end_of_the_process_waits_for_no_dead_server(tmp_path: Path) -> None:
    """Not for longer than exit_s, and what is lost is in the log."""
    done = run_script(tmp_path, EXITING, "dead server", f"http://127.0.0.1:{free_port()}", "key", "exit")
    assert done.returncode == 0
    assert "50 events were not stored" in done.stderr


def test_an_event_loop_after_the_other(world: World) -> None:
    """What the first has left is sent in the second."""
    event = name()
    client = AsyncClient(world.url, world.made.full, linger_s=60)

    async def first() -> str:
        return await client.enqueue(94, event, email="a@example.com")

    async def second() -> str:
        event_id = await client.enqueue(94, event, email="a@example.com", event_id=str(uuid.uuid4()))
        assert await client.flush(30)
        await client.close()
        return event_id

    assert [asyncio.run(first()), asyncio.run(second())] == world.stored(event)


def test_a_refusal_has_the_packages_class(world: World) -> None:
    """So that on_error can tell them apart."""
    told = Told()
    with Client(world.url, world.made.full, on_error=told) as client:
        client.enqueue(94, "")
    (error,) = told.errors.values()
    assert isinstance(error, RequestRefused)
