"""More than can be stored, and requests that are no help: 503 and 429 at once, bounded memory, others still served."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from falcon_events import EventTracking, RateLimited, SettingError, StoreUnavailable
from tests.faults.common import stopped
from tests.harness import (
    EVENT,
    FLAVOURS,
    Credentials,
    Served,
    children_of,
    fill_store,
    owner_of,
    serving,
    wait_for_a_minutes_rest,
    wait_until,
)
from tests.shortcuts import make_store

IDLE = 2000
WAITING = 30
"""How many events may wait in the queue of the besieged servers."""


def resident_mb(pid: int) -> float:
    """The memory of a process and those that it has started."""
    total = 0.0
    for process in (pid, *children_of(pid)):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
            total += int(fields.get("VmRSS", "0 kB").split()[0]) / 1024
    return total


@pytest.fixture(scope="module", params=FLAVOURS)
def besieged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Credentials]]:
    """A server of each flavour that tests may trouble, as long as it has its peace again afterwards."""
    db = tmp_path_factory.mktemp("besieged") / "events.duckdb"
    credentials = make_store(db)
    env = {
        "FALCON_EVENTS_QUEUE_EVENTS": str(WAITING),
        "FALCON_EVENTS_QUEUE_BYTES": str(8 << 20),
        "FALCON_EVENTS_COMMIT_WAIT_S": "60",
    }
    with serving(db, request.param, env=env) as served:
        yield served, credentials


def test_a_full_queue_is_refused_at_once(besieged: tuple[Served, Credentials]) -> None:
    """While the owner stands still: as many requests wait as the queue takes, the others get 503 with Retry-After."""
    served, credentials = besieged
    assert served.db is not None
    with ThreadPoolExecutor(WAITING + 15) as pool:
        with stopped(owner_of(served.db)):
            waiting = [pool.submit(served.client.track, **credentials.event()) for _ in range(WAITING + 15)]
            wait_until(lambda: sum(one.done() for one in waiting) >= 15, "they wait", served)
            refused = [one.result() for one in waiting if one.done()]
            assert {answer.status_code for answer in refused} == {503}
            assert all(answer.headers["Retry-After"] for answer in refused)
        assert Counter(one.result().status_code for one in waiting) == {503: 15, 200: WAITING}
        wait_until(lambda: served.client.get("/readyz").status_code == 200, "it is not ready again", served)


def test_a_full_queue_is_not_ready_and_yet_healthy(db: Path) -> None:
    """Its owner stopped, a tracker whose queue is full refuses in the caller's own thread."""
    with EventTracking(db, queue_events=3, commit_wait_s=600.0) as tracking:
        fill_store(tracking)
        with stopped(owner_of(db)), ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(tracking.track, 94, "test", email="a@example.com") for _ in range(3)]
            wait_until(lambda: len(tracking.store._queue) == 3, "they do not wait")
            with pytest.raises(StoreUnavailable, match="queue is full"):
                tracking.track(94, "test", email="a@example.com")
            assert not any(one.done() for one in waiting), "those that came before still wait"
            os.kill(owner_of(db), 18)
            assert all(one.result(60).event_id for one in waiting)


def test_large_bodies_side_by_side_stay_within_bounds(besieged: tuple[Served, Credentials]) -> None:
    """Bodies at the limit from many clients: each is answered, and memory does not grow with their number."""
    served, credentials = besieged
    body = json.dumps(credentials.event(properties={"text": "x" * 900_000})).encode()
    statuses: Counter[int] = Counter()

    def send() -> None:
        with httpx.Client(timeout=120) as client:
            for _ in range(5):
                try:
                    statuses[client.post(served.url + EVENT, content=body).status_code] += 1
                except httpx.TransportError:
                    statuses[503] += 1  # refused before its end

    threads = [threading.Thread(target=send) for _ in range(24)]
    for thread in threads:
        thread.start()
    highest = 0.0
    while any(thread.is_alive() for thread in threads):
        highest = max(highest, resident_mb(served.process.pid))
        time.sleep(0.05)
    assert statuses.keys() <= {200, 503}
    assert statuses[200] > 0
    assert highest < 1200
    assert served.client.track(**credentials.event()).status_code == 200


def test_thousands_of_idle_connections_keep_nobody_out(besieged: tuple[Served, Credentials]) -> None:
    """Clients that connect and say nothing: events are taken as before."""
    served, credentials = besieged
    with contextlib.ExitStack() as idle:
        for _ in range(IDLE):
            connected = socket.create_connection(("127.0.0.1", served.port), 30)
            idle.callback(connected.close)
        assert served.client.track(**credentials.event()).status_code == 200


def test_slow_senders_keep_nobody_out(besieged: tuple[Served, Credentials]) -> None:
    """Hundreds of requests that arrive a byte at a time: others are answered meanwhile."""
    served, credentials = besieged
    with contextlib.ExitStack() as slow:
        senders = []
        for number in range(200):
            connected = socket.create_connection(("127.0.0.1", served.port), 30)
            slow.callback(connected.close)
            head = f"POST {EVENT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{"
            connected.sendall(head[: 20 if number % 2 else None].encode())
            senders.append(connected)
        for _ in range(5):
            for sender in senders:
                with contextlib.suppress(OSError):
                    sender.sendall(b" ")
            assert served.client.track(**credentials.event()).status_code == 200


def test_floods_of_headers_are_refused_in_bounded_memory(besieged: tuple[Served, Credentials]) -> None:
    """Megabytes of header lines, many at once: the connection is ended, memory stays, others are answered."""
    served, credentials = besieged
    before = resident_mb(served.process.pid)

    def flood() -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", served.port), 10) as connected:
            connected.sendall(f"POST {EVENT} HTTP/1.1\r\nHost: x\r\n".encode())
            for number in range(4000):
                connected.sendall(f"X-Flood-{number}: {'x' * 4000}\r\n".encode())

    floods = [threading.Thread(target=flood) for _ in range(16)]
    for thread in floods:
        thread.start()
    for _ in range(10):
        assert served.client.track(**credentials.event()).status_code == 200
    for thread in floods:
        thread.join()
    assert resident_mb(served.process.pid) < before + 150


def test_requests_are_limited_in_all_workers_together(flavour: str, db: Path) -> None:
    """Past a key's limit 429 with Retry-After, whichever worker answers; another key is not concerned.

    Past an address's limit nothing is answered, without looking at what it sends, and on both endpoints together.
    """
    credentials = make_store(db)
    env = {"FALCON_EVENTS_RATE_LIMIT_PER_KEY": "20", "FALCON_EVENTS_RATE_LIMIT_PER_ADDRESS": "45"}
    with serving(db, flavour, "--workers", "2", env=env) as served:
        wait_for_a_minutes_rest()
        answers = [httpx.post(served.url + EVENT, json=credentials.event(), timeout=30) for _ in range(30)]
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses == {200: 20, 429: 10}
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert answers[-1].json() == {"Errors": [{"Code": 429, "Message": "Too many requests. Try again later."}]}
        assert served.client.track(**credentials.event(APIKey=credentials.ingest)).status_code == 200
        others = [served.client.track(APIKey="unknown").status_code for _ in range(10)]
        others += [served.client.properties(APIKey=credentials.read, ListID=94).status_code for _ in range(6)]
        assert others == [401] * 10 + [200] * 4 + [429] * 2
        assert served.client.get("/healthz").status_code == 200


def test_a_limit_counts_for_calls_with_a_key_and_not_for_trusted_ones(db: Path) -> None:
    """RateLimited says when to come again."""
    with EventTracking(db, rate_limit_per_key=2) as tracking:
        wait_for_a_minutes_rest()
        credentials = fill_store(tracking)
        for _ in range(2):
            tracking.properties(94, api_key=credentials.full)
        with pytest.raises(RateLimited) as limited:
            tracking.properties(94, api_key=credentials.full)
        assert limited.value.retry_after_s >= 1
        assert tracking.properties(94) == {}


def test_a_limit_without_its_library_is_told(monkeypatch: pytest.MonkeyPatch, db: Path) -> None:
    """At the start, not at the first request."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"falcon-events\[limits\]"):
        EventTracking(db, rate_limit_per_key=2)


def test_metrics_count_all_workers(flavour: str, db: Path) -> None:
    """Stored, repeated and refused events of two workers, the same figures from each."""
    credentials = make_store(db)
    with serving(db, flavour, "--workers", "2") as served:
        event_id = "6d0c6f3e-63cf-4d0b-8a0e-1f0e6f5d7a22"
        for _ in range(10):
            httpx.post(served.url + EVENT, json=credentials.event(EventID=event_id), timeout=30)
            httpx.post(served.url + EVENT, json=credentials.event(APIKey="unknown"), timeout=30)
            httpx.post(served.url + EVENT, json=credentials.event(event=""), timeout=30)
        expected = {
            "falcon_events_stored_total 1.0",
            "falcon_events_duplicates_total 9.0",
            'falcon_events_refused_total{code="99998"} 10.0',
            'falcon_events_refused_total{code="5"} 10.0',
            "falcon_events_batch_events_count 10.0",
            "falcon_events_waiting_events 0.0",
            "falcon_events_clients 2.0",
            "falcon_events_owner_changes_total 0.0",
            "falcon_events_healthy 1.0",
        }

        def lines() -> set[str]:
            answer = httpx.get(f"{served.url}/metrics", timeout=30)
            assert answer.headers["Content-Type"].startswith("text/plain")
            return set(answer.text.splitlines())

        wait_until(lambda: expected <= lines(), "they do not agree", served)
        os.kill(owner_of(db), 9)
        wait_until(lambda: "falcon_events_owner_changes_total 1.0" in lines(), "the change is not counted", served)
        wait_until(lambda: 'falcon_events_refused_total{code="5"} 10.0' in lines(), "refusals are forgotten", served)
