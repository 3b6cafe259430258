"""The logs: whatever is sent, and however it fails, no key, session id or address of a request is written to them.

The logs of host applications: tests/server/test_mounting.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.harness import EVENT, PROPERTIES, serving
from tests.server.senders import Sender, assert_clean
from tests.server.test_hostile_input import Wire, head
from tests.server.test_mounting import hosting
from tests.shortcuts import make_store


def test_the_standalone_server_logs_requests_without_their_contents(flavour: str, db: Path) -> None:
    """One line a request with method, path, status and time; nothing that was sent, be it refused or in a query string."""
    sender = Sender("", make_store(db))
    env = {"FALCON_EVENTS_QUEUE_EVENTS": "100", "FALCON_EVENTS_ANONYMOUS_EVENTS": "yes"}
    with serving(db, flavour, "--log-requests", env=env) as served:
        sender.url = served.url
        assert sender.send() == {200, 400, 401, 403, 405, 413, 422}
        query = {"ListID": sender.address, "APIKey": sender.credentials.full, "email": sender.address}
        for path in (EVENT, PROPERTIES, "/nowhere"):
            for method in ("GET", "POST", "DELETE"):
                httpx.request(method, served.url + path, params=query, timeout=30)
        body = json.dumps(sender.credentials.event(email=sender.address)).encode()
        for noise in (head(f"Content-Length: {len(body) + 1}") + body, head("Content-Length: x") + body, body, b"\r\n" + body):
            with Wire(served.port) as wire:
                wire.send(noise).end().answer()
        assert served.stop() == 0
        log = served.log()
    assert log.count(f"POST {EVENT} 200 ") >= 4
    assert log.count(f"POST {EVENT} 401 ") >= 3
    assert log.count(f"GET {PROPERTIES} 200 ") == 1
    assert_clean(log, sender.secrets)


def test_a_store_that_fails_logs_no_secret(tmp_path: Path) -> None:
    """While a mounted tracker's file cannot be opened, the log tells why, and nothing of the requests that are refused."""
    good = make_store(tmp_path / "good.duckdb")
    with hosting(tmp_path / "host", "fastapi-mounted", HOST_LOG_LEVEL="DEBUG") as host:
        host.db.write_bytes(b"this is no database\n" * 1000)
        sender = Sender(str(host.api.base_url), good)
        # Each request that asks the store tries to open it, in a process; so there are a few of them.
        assert 503 in sender.send(list(sender.bodies())[:2], list_ids=["94"])
        host.served.stop()
        log = host.served.log()
    assert str(host.db) in log
    assert_clean(log, sender.secrets)
