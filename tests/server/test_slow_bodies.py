"""Bodies that clients hold back: their requests end, others are served, and memory stays bounded."""

from __future__ import annotations

import gc
import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import falcon
import falcon.testing
import pytest

from falcon_events import EventTracking
from falcon_events.http import mount
from falcon_events.ingest.bodies import HeldBody
from falcon_events.model.sender import Sender
from tests.conftest import Api
from tests.harness import EVENT, EVENTS, Credentials, serving, wait_for_a_minutes_rest
from tests.server.test_hostile_input import Wire, ask, chunked, head
from tests.shortcuts import make_store

MIB = 1 << 20
HELD_BACK = {
    "nothing": head("Content-Length: 100"),
    "a part": head("Content-Length: 100") + b'{"event',
    "a large part": head(f"Content-Length: {MIB}") + b" " * (MIB - 1),
    "chunks without an end": head("Transfer-Encoding: chunked") + chunked(b"{", b"}")[:-5],
}


def test_a_body_that_does_not_arrive_in_time_gets_408(flavour: str, db: Path) -> None:
    """In the shape of all failures; the connection ends, and the next request is served."""
    credentials = make_store(db)
    with serving(db, flavour, env={"FALCON_EVENTS_BODY_WAIT_S": "0.5"}) as served:
        for case, sent in HELD_BACK.items():
            answer = ask(served.port, sent)
            assert (answer.status, answer.codes) == (408, [408]), case
            assert served.client.track(**credentials.event()).status_code == 200, case


def test_bodies_beyond_the_bound_get_503(flavour: str, db: Path) -> None:
    """One of two large bodies that do not fit together; others are served meanwhile."""
    credentials = make_store(db)
    large = head(f"Content-Length: {MIB}") + b" " * (900 << 10)
    with serving(db, flavour, env={"FALCON_EVENTS_BODY_BYTES": str(MIB)}) as served, ExitStack() as stack:
        first, second = (stack.enter_context(Wire(served.port)).send(large) for _ in range(2))
        assert served.client.track(**credentials.event()).status_code == 200
        rest = b" " * (MIB - (900 << 10))
        for wire in (first, second):
            with suppress(OSError):  # one of them is ended
                wire.send(rest[:-1])
        answers = []
        for wire in (first, second):
            with suppress(OSError):
                wire.send(rest[-1:])
            answers.append(wire.answer())
        statuses = [answer and answer.status for answer in answers]
        assert statuses in ([503, 400], [400, 503]), statuses
        refused = next(answer for answer in answers if answer and answer.status == 503)
        assert refused.codes == [503]
        assert int(refused.headers["retry-after"]) >= 1


def test_more_held_back_bodies_than_threads_do_not_stop_a_wsgi_server(db: Path) -> None:
    """The oldest of them are ended long before their deadline, so that others get a thread."""
    credentials = make_store(db)
    with serving(db, "wsgi", env={"FALCON_EVENTS_BODY_WAIT_S": "3600"}) as served, ExitStack() as stack:
        wires = [stack.enter_context(Wire(served.port)).send(HELD_BACK["a part"]) for _ in range(700)]
        answer = wires[0].answer()
        assert answer is not None
        assert (answer.status, answer.codes) == (503, [503])
        assert served.client.track(**credentials.event()).status_code == 200


def test_connections_of_others_go_on_while_bodies_are_cut_off(db: Path) -> None:
    """Clients that send one event after the other, each on one connection, beside 408 after 408 under granian."""
    credentials = make_store(db)
    body = json.dumps(credentials.event()).encode()
    is_over = threading.Event()

    def send(port: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        used = connection.sock
        sent = 0
        while not is_over.wait(0.06):
            connection.request("POST", EVENT, body, {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                assert response.status == 200
                response.read()
            assert connection.sock is used, "the connection was ended"
            sent += 1
        connection.close()
        return sent

    with serving(db, "wsgi", env={"FALCON_EVENTS_BODY_WAIT_S": "0.1"}) as served, ThreadPoolExecutor(8) as pool:
        senders = [pool.submit(send, served.port) for _ in range(8)]
        try:
            for _ in range(12):
                assert ask(served.port, HELD_BACK["a part"]).status == 408
        finally:
            is_over.set()
        assert all(sender.result(60) > 0 for sender in senders)


@pytest.mark.parametrize("path", [EVENT, EVENTS])
def test_an_event_that_waits_for_its_commit_holds_nothing_of_its_request(
    tracking: EventTracking, credentials: Credentials, path: str
) -> None:
    """Neither the body nor what was decoded from it: decoded, it may take 25 times its size in memory."""
    event = {"ListID": 94, "event": "e", "email": "a@example.com", "properties": {"only-here": [[]]}}
    key = credentials.full
    body = {"APIKey": key, **event} if path == EVENT else {"APIKey": key, "Events": [event, {"ListID": {"only-here": []}}]}
    held = HeldBody(json.dumps(body).encode())
    del body, event
    handle = tracking.pipeline.event_reply if path == EVENT else tracking.pipeline.events_reply
    steps = handle(held, Sender())
    pending = next(steps)
    assert held.data == b""
    assert not [found for found in gc.get_objects() if type(found) is dict and "only-here" in found]
    with pytest.raises(StopIteration) as stop:
        steps.send(pending.result())  # type: ignore[union-attr]
    assert stop.value.value.status == 200


ADDRESSES = {
    "one network": (["2001:db8::1", "2001:DB8:0:0:1::2", "2001:db8:0:0:ffff:ffff:ffff:ffff"], [200, 200, 429]),
    "two networks": (["2001:db8:1::1", "2001:db8:1:1::1", "2001:db8:1::2"], [200, 200, 200]),
    "IPv4 in IPv6": (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], [200, 200, 429]),
    "IPv4 neighbours": (["192.0.2.2", "192.0.2.3", "::ffff:192.0.2.4"], [200, 200, 200]),
}


def test_a_rate_limit_counts_addresses_of_ipv6_by_their_network(db: Path) -> None:
    """A host has a /64 and can use another of its addresses for each request; IPv4 addresses count one by one."""
    credentials = make_store(db)
    app = falcon.App()
    with EventTracking(db, rate_limit_per_address=2, trusted_proxies="127.0.0.1") as tracking:
        mount(app, tracking)
        client = falcon.testing.TestClient(app)
        wait_for_a_minutes_rest()
        for case, (given, expected) in ADDRESSES.items():
            headers = [{"X-Forwarded-For": address} for address in given]
            statuses = [client.simulate_post(EVENT, json=credentials.event(), headers=shown).status_code for shown in headers]
            assert statuses == expected, case


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.1", "9.9"])
def test_an_unknown_http_version_is_no_failure_of_the_server(api: Api, version: str) -> None:
    """A client may claim any version; the answer is never 500."""
    with Wire(api.served.port) as wire:
        answer = wire.send(f"GET /healthz HTTP/{version}\r\nHost: x\r\n\r\n".encode()).end().answer()
    assert answer is None or answer.status in (200, 400, 505)


def test_a_clients_own_credentials_are_checked_after_a_wait_for_the_store(db: Path) -> None:
    """A body of more than 64 KiB is decoded again once its sender is known, with the same result."""
    credentials: Credentials = make_store(db)
    app = falcon.App()
    large = credentials.event(properties={"text": "x" * 100_000})
    with EventTracking(db, rate_limit_per_key=10) as tracking:
        mount(app, tracking)
        client = falcon.testing.TestClient(app)
        assert client.simulate_post(EVENT, json=large).status_code == 200
        assert client.simulate_post(EVENTS, json={"APIKey": credentials.full, "Events": [large]}).status_code == 200
        assert client.simulate_post(EVENT, json={**large, "APIKey": "no"}).json["Errors"][0]["Code"] == 99998
