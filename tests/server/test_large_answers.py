"""Large answers that clients do not read: their bytes are bounded, and their connections are ended."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from falcon_events import EventTracking
from falcon_events.ingest.answers import LARGE_BYTES
from tests.harness import EVENTS as EVENTS_PATH, PROPERTIES, Credentials, Served, assert_valid_answer, serving, wait_until
from tests.shortcuts import make_store, write_store

NAMES, EVENTS = 1_000, 30
REFUSED = 999
ENVIRONMENT = {"FALCON_EVENTS_ANSWER_BYTES": str(12 << 20), "FALCON_EVENTS_ANSWER_WAIT_S": "1.5"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Credentials]:
    """A store's file, with a list that has very many names of properties."""
    db = tmp_path_factory.mktemp("filled") / "events.duckdb"
    credentials = make_store(db)
    with EventTracking(db) as tracking:
        for number in range(EVENTS):
            properties = {f"{'n' * 180}{number}-{place}": 1 for place in range(NAMES)}
            tracking.track(credentials.list_id, "e", email="a@example.com", properties=properties)
    return db.read_bytes(), credentials


@pytest.fixture(scope="module")
def served(flavour: str, filled: tuple[bytes, Credentials], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of that store with little room for answers."""
    db = tmp_path_factory.mktemp("large") / "events.duckdb"
    write_store(db, filled[0])
    with serving(db, flavour, env=ENVIRONMENT) as served:
        yield served


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_answers_that_nobody_reads_are_bounded_and_ended(served: Served, filled: tuple[bytes, Credentials], method: str) -> None:
    """As many as there is room for are sent, the others get 503 with Retry-After; later there is room again."""
    _, credentials = filled
    body = json.dumps({"ListID": credentials.list_id, "APIKey": credentials.read}).encode()
    head = f"Host: x\r\nAuthorization: Bearer {credentials.read}\r\n"
    if method == "POST":
        request = f"POST {PROPERTIES} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    else:
        request = f"GET {PROPERTIES}?ListID={credentials.list_id} HTTP/1.1\r\n{head}\r\n".encode()
    with ExitStack() as stack:
        clients = []
        for _ in range(5):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the system takes most of the answer
            client.settimeout(60)
            client.connect(("127.0.0.1", served.port))
            client.sendall(request)
            clients.append(client)
        starts = [client.recv(12) for client in clients]
        assert sorted(starts) == [b"HTTP/1.1 200"] * 2 + [b"HTTP/1.1 503"] * 3
        refused = clients[starts.index(b"HTTP/1.1 503")].recv(1000)
        assert b"retry-after: 1" in refused.lower()

        def ask() -> bool:
            answer = httpx.post(served.url + PROPERTIES, content=body, timeout=60)  # not held to its schema, which takes a second
            return answer.status_code == 200 and len(answer.json()["Properties"]["e"]) == NAMES * EVENTS

        wait_until(ask, "there is no room again", served)
        unread = clients[starts.index(b"HTTP/1.1 200")]
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := unread.recv(1 << 20):
                received += len(part)
        assert received < NAMES * EVENTS * 180


def test_an_answer_that_says_what_was_stored_is_always_sent(flavour: str, db: Path) -> None:
    """A batch whose refused events make its answer large gets it, even where there is room for nothing."""
    credentials = make_store(db)
    refused = {"event": "conversion", "EventID": "x", "UUID": "x", "id": [], "properties": {}}
    events = [{"event": "e", "email": "a@example.com"}, *[refused] * REFUSED]
    body = {"APIKey": credentials.full, "ListID": credentials.list_id, "Events": events}
    with serving(db, flavour, env={"FALCON_EVENTS_ANSWER_BYTES": "1"}) as served, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: httpx.post(served.url + EVENTS_PATH, json=body, timeout=60), range(2)))
        assert {answer.status_code for answer in answers} == {200}
        assert all(len(answer.content) > LARGE_BYTES for answer in answers)
        assert all(len(answer.json()["Results"]) == 1 + REFUSED for answer in answers)
        assert_valid_answer(answers[0])
