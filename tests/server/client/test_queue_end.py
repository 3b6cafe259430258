"""How a client's queue ends: by close(), cancelled or not, with its process or child, and where no thread can be had."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from falcon_events.client import AsyncClient, Client, ClientClosed, Event, EventsError
from tests.server.client.common import ERRORS, World, name, run_script
from tests.server.client.peer import Peer, answering

EXITING = """
import asyncio, atexit, gc, multiprocessing, sys
from falcon_events.client import AsyncClient, Client

how, url, key, event = sys.argv[1:]


async def enqueue(client):
    for number in range(20):
        await client.enqueue(94, event, email="a@example.com")


async def forgotten():
    await enqueue(AsyncClient(url, key, linger_s=60))


async def cancelled():
    client = AsyncClient(url, key, linger_s=60)
    await enqueue(client)
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()


async def hanging():
    await enqueue(AsyncClient(url, key, exit_s=0.5, timeout_s=3600))


def run():
    asyncio.run(globals()[how]() if how in globals() else forgotten())
    gc.collect()


if how == "atexit":
    client = Client(url, key)
    atexit.register(lambda: [client.enqueue(94, event, email="a@example.com") for number in range(20)])
elif how == "child":
    for method in ("fork", "spawn"):
        if __name__ == "__main__":
            process = multiprocessing.get_context(method).Process(target=run)
            process.start()
            process.join()
else:
    run()
"""
BROKEN = """
from falcon_events.client import Client
from falcon_events.runtime.lifecycle import register


class Broken:
    def reset_after_fork(self): ...

    def close(self):
        raise RuntimeError("broken")


parts = [Broken(), Client("http://127.0.0.1:1", "key", exit_s=0.1), Broken()]
for part in parts:
    register(part) if isinstance(part, Broken) else part.enqueue(94, "x", email="a@example.com")
"""


@pytest.mark.parametrize(("how", "count"), [("forgotten", 20), ("cancelled", 20), ("child", 40), ("atexit", 20)])
def test_what_is_left_is_sent_at_the_end_of_the_process(how: str, count: int, world: World, tmp_path: Path) -> None:
    """Of a client that nobody has any more, whose close() was cancelled, in a child, or that others use at the end."""
    event = name()
    done = run_script(tmp_path, EXITING, how, world.url, world.made.full, event)
    said = [line for line in done.stderr.splitlines() if "No thread sends" not in line]  # Python 3.12 starts none at the end
    assert (done.returncode, said) == (0, [])
    assert len(world.stored(event)) == count


def test_the_end_of_the_process_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    """Though a server takes the connection and says nothing; what is lost is in the log."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = run_script(tmp_path, EXITING, "hanging", f"http://127.0.0.1:{server.getsockname()[1]}", "key", "x")
    assert done.returncode == 0
    assert "20 events were not stored" in done.stderr


def test_what_cannot_be_closed_keeps_nothing_else_from_being_closed(tmp_path: Path) -> None:
    """At the end of the process each is closed, and the failures are in the log."""
    done = run_script(tmp_path, BROKEN)
    assert done.stderr.count("Broken could not be closed") == 2
    assert "1 events were not stored" in done.stderr


def test_a_cancelled_close_leaves_the_rest_to_another(world: World) -> None:
    """Nothing is lost, and nothing more is taken."""
    event = name()

    async def main(url: str) -> list[str]:
        client = AsyncClient(url, world.made.full)
        sent = [await client.enqueue(94, event, email="a@example.com") for _ in range(5)]
        closing = asyncio.create_task(client.close(60))
        await asyncio.to_thread(peer.asked.wait)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ClientClosed):
            await client.enqueue(94, event, email="a@example.com")
        assert client.waiting() == 5
        peer.always = None
        await client.close(60)
        assert client.waiting() == 0
        return sent

    with Peer(world.url) as peer:
        peer.always = answering(503, ERRORS)
        sent = asyncio.run(main(peer.url))
    assert world.stored(event) == sent


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the connections, as nobody has closed the client
def test_a_forgotten_client_leaves_no_task_behind(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Once its queue is empty."""

    async def main() -> None:
        client = AsyncClient(world.url, world.made.full)
        await client.enqueue(94, "x", email="a@example.com")
        assert await client.flush(30)
        del client
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert "destroyed" not in caplog.text


def test_close_waits_for_no_callback_longer_than_it_may(world: World) -> None:
    """An on_error that waits for whoever closes the client ends with that."""
    closed, told, ended = threading.Event(), threading.Event(), threading.Event()

    def on_error(event: Event, error: EventsError) -> None:
        told.set()
        closed.wait(600)
        ended.set()

    client = Client(world.url, world.made.full, on_error=on_error)
    client.enqueue(94, "x")
    told.wait()
    client.close(0.5)
    assert not ended.is_set()
    closed.set()


@pytest.mark.parametrize("call", [Client.flush, Client.close])
def test_without_a_thread_the_caller_sends(world: World, monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    """Where none can be started, as at the end of a process or of its memory: what was taken is sent by flush() or close()."""
    event, start = name(), threading.Thread.start

    def failing(thread: threading.Thread) -> None:
        if thread.name == "falcon-events-client":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    client = Client(world.url, world.made.full)
    sent = [client.enqueue(94, event, email="a@example.com") for _ in range(3)]
    assert client.waiting() == 3
    call(client, 30)
    assert client.waiting() == 0
    assert world.stored(event) == sent
    client.close()


def test_a_thread_that_could_not_be_started_is_started_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next event."""
    event, start, failures = name(), threading.Thread.start, ["can't start new thread"]

    def failing(thread: threading.Thread) -> None:
        if thread.name == "falcon-events-client" and failures:
            raise RuntimeError(failures.pop())
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    with Client(world.url, world.made.full) as client:
        sent = [client.enqueue(94, event, email="a@example.com") for _ in range(2)]
        assert client.flush(30)
    assert world.stored(event) == sent


def test_a_call_under_way_when_the_client_is_closed_may_have_been_stored(kind: str, world: World) -> None:
    """So it ends with NoAnswer, if with an error, and not as one that was never sent."""
    event = name()
    going, over = threading.Event(), threading.Event()

    def slow(request: Any) -> bool:
        going.set()
        return over.wait()

    async def closing(url: str) -> BaseException | None:
        client = AsyncClient(url, world.made.full)
        call = asyncio.create_task(client.track(94, event, email="a@example.com"))
        await asyncio.to_thread(going.wait)
        await client.close()
        over.set()
        await asyncio.wait([call])
        return call.exception()

    def closing_in_threads(url: str) -> BaseException | None:
        client, errors = Client(url, world.made.full), []

        def call() -> None:
            try:
                client.track(94, event, email="a@example.com")
            except EventsError as error:
                errors.append(error)

        calling = threading.Thread(target=call)
        calling.start()
        going.wait()
        client.close()
        over.set()
        calling.join()
        return errors[0] if errors else None

    with Peer(world.url) as peer:
        peer.always = slow
        error = asyncio.run(closing(peer.url)) if kind == "async" else closing_in_threads(peer.url)
    assert not isinstance(error, ClientClosed)
