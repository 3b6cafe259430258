"""The logs: whatever is sent, and however it fails, no key, session id or address of a request is written to them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.apps.common import DETAIL
from tests.harness import EVENT, PROPERTIES, Credentials, Served, serving, wait_until
from tests.server.test_hostile_input import Wire, head
from tests.server.test_mounting import hosting
from tests.shortcuts import make_store

MIB = 1 << 20


@dataclass
class Sender:
    """Sends requests of every kind and remembers what must not be found in a log."""

    url: str
    credentials: Credentials
    address: str = "eve.secret@example.com"
    unknown: str = "fe_full_nobodys-secret-key"

    @property
    def secrets(self) -> list[str]:
        """Keys, sessions and addresses, known and unknown ones, and the local part of an address."""
        known = self.credentials
        return [known.full, known.ingest, known.read, known.session, self.unknown, self.address, self.address.partition("@")[0]]

    def bodies(self) -> Iterator[bytes]:
        """What is good, and what fails in each of the ways in which a request can fail."""
        good = self.credentials.event(email=self.address, id=self.address, properties={"email": self.address})
        changes: list[dict[str, Any]] = [
            {},
            {"APIKey": ..., "SessionID": self.credentials.session},
            {"APIKey": self.unknown},
            {"APIKey": ..., "SessionID": self.unknown},
            {"APIKey": [self.credentials.full]},
            {"APIKey": self.credentials.read},
            {"email": f"{self.address} {self.address}"},
            {"ListID": self.credentials.full},
            {"ListID": 0, "event": "", "UUID": self.address, "Timestamp": self.address, "EventID": self.address},
            {"event": "identify", "IdentifyProperties": {"emailAddress": self.address}},
            {"event": "conversion"},
            {"properties": self.address},
            {"properties": {self.address * 20: 1}},
            {"EventID": str(uuid.uuid4()), "event": "\0", "id": f"\0{self.address}"},
        ]
        for change in changes:
            yield json.dumps({name: value for name, value in {**good, **change}.items() if value is not ...}).encode()
        body = json.dumps(good).encode()
        yield body[:-1]
        yield body[:-1] + b"\xff"
        yield body + body
        yield body.replace(b"{", rb'{"x": "\ud800", ', 1)
        yield b"[" * 100 + body
        yield body + b" " * MIB

    def send(self, bodies: Iterable[bytes] | None = None) -> set[int]:
        """Sends it all, or these bodies, to both endpoints, in bodies and headers; the statuses that came."""
        statuses = set()
        with httpx.Client(base_url=self.url, timeout=60) as client:
            for body in self.bodies() if bodies is None else bodies:
                # A WSGI server closes a connection whose request it has not read to its end, and few say so.
                headers = {"Connection": "close"} if len(body) > MIB else {}
                for path in (EVENT, PROPERTIES):
                    statuses.add(client.post(path, content=body, headers=headers).status_code)
            for key in (self.credentials.read, self.credentials.ingest, self.unknown):
                headers = {"Authorization": f"Bearer {key}", "Cookie": f"session={self.credentials.session}"}
                for list_id in ("94", "0", "x"):
                    statuses.add(client.get(PROPERTIES, params={"ListID": list_id}, headers=headers).status_code)
                statuses.add(client.put(EVENT, headers=headers, content=self.address).status_code)
        return statuses


def assert_clean(log: str, secrets: list[str]) -> None:
    """No secret stands in the log."""
    assert [secret for secret in secrets if secret in log] == []


def logged(served: Served, words: str) -> Callable[[], bool]:
    """Whether the server has written this."""
    return lambda: words in served.log()


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


@pytest.mark.parametrize(
    ("name", "access"),
    [
        *((name, "") for name in ("fastapi-wrapped", "starlette-mounted", "falcon-asgi", "flask-wrapped", "falcon-wsgi")),
        *(("fastapi-wrapped", "sync"), ("starlette-mounted", "async"), ("falcon-asgi", "sync")),
        *(("flask-wrapped", "async"), ("falcon-wsgi", "sync")),
    ],
)
def test_a_host_that_logs_everything_sees_no_secret_of_ours(tmp_path: Path, name: str, access: str) -> None:
    """At the level DEBUG, with failures of the host's own Access among the requests: its detail is in the log, no secret is."""
    env = {"HOST_LOG_LEVEL": "DEBUG", "HOST_ACCESS": access, "FALCON_EVENTS_LOG_REQUESTS": "1", "PYTHONASYNCIODEBUG": "1"}
    with hosting(tmp_path, name, **env) as host:
        sender = Sender(str(host.api.base_url), host.credentials)
        # Without its own Access the host knows the store's keys; with it, the keys of the store are unknown.
        assert sender.send() >= ({400, 401, 405, 413} if access else {200, 400, 401, 403, 405, 413, 422})
        if access:
            for change in ({"SessionID": "raises"}, {"SessionID": "host session", "ListID": 500}):
                failing = host.credentials.event(APIKey=..., email=sender.address, **change)
                assert host.api.track(**failing).status_code == 500
            wait_until(logged(host.served, DETAIL), "the host's detail is not in the log", host.served)
        host.served.stop()
        log = host.served.log()
    assert EVENT in log
    assert_clean(log, [*sender.secrets, *(["host session"] if access else [])])


def test_a_store_that_fails_logs_no_secret(tmp_path: Path) -> None:
    """While a mounted tracker's file cannot be opened, the log tells why, and nothing of the requests that are refused."""
    good = make_store(tmp_path / "good.duckdb")
    with hosting(tmp_path / "host", "fastapi-mounted", HOST_LOG_LEVEL="DEBUG") as host:
        host.db.write_bytes(b"this is no database\n" * 1000)
        sender = Sender(str(host.api.base_url), good)
        # Each request that asks the store tries to open it, in a process; so there are a few of them.
        assert 503 in sender.send(list(sender.bodies())[:5])
        host.served.stop()
        log = host.served.log()
    assert str(host.db) in log
    assert_clean(log, sender.secrets)
