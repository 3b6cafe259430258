"""Processes die while events are on their way to a webhook: each event arrives, in order per visitor, perhaps more than once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

from falcon_events import EventTracking
from tests.faults.common import Clients, kill_owner
from tests.harness import Credentials, children_of, free_port, owner_of, serving, wait_until
from tests.receiver import Post, Receiver, receiving
from tests.shortcuts import make_store

FAST = {"FALCON_EVENTS_DELIVERY_BACKOFF_S": "0.02"}


def load(credentials: Credentials, number: int) -> dict[str, object]:
    """One of many events of a few visitors."""
    name = f"v{number % 5}"
    return credentials.event(event="step", id=name, email=f"{name}@example.com", properties={"n": number})


def first_arrivals(receiver: Receiver) -> list[Post]:
    """The posts without repeats."""
    return list({post.id: post for post in reversed(receiver.taken)}.values())[::-1]


def assert_in_order(receiver: Receiver) -> None:
    """Each visitor's events came first in the order in which they were stored."""
    seqs: dict[str, list[int]] = {}
    for post in first_arrivals(receiver):
        seqs.setdefault(post.data["visitor"], []).append(post.data["seq"])
    for found in seqs.values():
        assert found == sorted(found)


def test_an_owner_that_dies_between_post_and_record_delivers_again(db: Path) -> None:
    """Under the same id; nothing is lost, and the next owner goes on by itself."""
    killed = threading.Event()

    def answer(post: Post) -> int:
        if post.data["properties"].get("n") == 3 and not killed.is_set():
            killed.set()
            os.kill(owner_of(db), signal.SIGKILL)
        return 200

    make_store(db)
    with receiving(answer) as receiver, EventTracking(db, delivery_backoff_s=0.02) as tracking:
        tracking.deliver(receiver.url)
        ids = [tracking.track(94, "step", email="ada@example.com", properties={"n": number}).event_id for number in range(6)]
        receiver.wait_for(7)
        wait_until(lambda: tracking.webhooks.states()[0].unread == 0, "it is not recorded")
        posts = [post for post in receiver.taken if post.data["event"] == "step"]
        assert [post.id for post in posts if post.data["properties"]["n"] == 3] == [ids[3]] * 2
        assert {post.id for post in posts} == set(ids)
        assert_in_order(receiver)


def test_owners_are_killed_under_load_and_everything_arrives(flavour: str, db: Path) -> None:
    """Two server processes; the owner is killed again and again while clients send and events are posted."""
    credentials = make_store(db)
    with receiving() as receiver:
        with EventTracking(db) as tracking:
            tracking.deliver(receiver.url)
        with serving(db, flavour, "--workers", "2", env=FAST) as served, Clients(served.url, credentials) as clients:
            for _ in range(3):
                clients.wait_for(40)
                kill_owner(db)
            clients.wait_for(30)
            clients.stop()
            wait_until(
                lambda: clients.acknowledged <= {post.id for post in receiver.taken}, "events are missing", served, seconds=120
            )
            assert served.stop() == 0, served.log()
        assert_in_order(receiver)


def test_a_killed_servers_deliveries_go_on_with_the_next_process(flavour: str, db: Path) -> None:
    """Kill -9 of the server while the receiver is down; the next process delivers what the first one took."""
    credentials = make_store(db)
    port = free_port()
    with EventTracking(db) as tracking:
        tracking.deliver(f"http://127.0.0.1:{port}/hook")
    with serving(db, flavour, env={"FALCON_EVENTS_DELIVERY_BACKOFF_S": "0.2"}) as served:
        ids = {served.client.track(**load(credentials, number)).headers["X-Event-ID"] for number in range(20)}
        with contextlib.suppress(ProcessLookupError):
            os.killpg(served.process.pid, signal.SIGKILL)
        served.process.wait()
    with receiving(port=port) as receiver, EventTracking(db, delivery_backoff_s=0.02):
        posts = receiver.wait_for(25)
        assert ids <= {post.id for post in posts}
        assert_in_order(receiver)


def test_a_posting_process_that_dies_is_replaced(db: Path) -> None:
    """The owner stays, and what was on its way goes out once more; it ends with its owner, too."""
    killed = threading.Event()

    def answer(post: Post) -> int:
        if not killed.is_set():
            killed.set()
            (child,) = children_of(owner_of(db))
            os.kill(child, signal.SIGKILL)
        return 200

    make_store(db)
    with receiving(answer) as receiver, EventTracking(db, delivery_backoff_s=0.02) as tracking:
        tracking.deliver(receiver.url)
        owner = owner_of(db)
        tracking.track(94, "identify", email="ada@example.com")
        wait_until(lambda: len(receiver.taken) == 2, "it is not posted again")
        assert len({post.id for post in receiver.taken}) == 1
        assert owner_of(db) == owner
        (child,) = children_of(owner)
        os.kill(owner, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{child}").exists(), "the posting process outlives its owner")
