"""Requests of every kind, and what of them may stand in no log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.harness import EVENT, PROPERTIES, Credentials

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
        """A good body, and one for each way in which a request can fail."""
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

    def send(self, bodies: Iterable[bytes] | None = None, list_ids: Iterable[str] = ("94", "0", "x")) -> set[int]:
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
                for list_id in list_ids:
                    statuses.add(client.get(PROPERTIES, params={"ListID": list_id}, headers=headers).status_code)
                statuses.add(client.put(EVENT, headers=headers, content=self.address).status_code)
        return statuses


def assert_clean(log: str, secrets: list[str]) -> None:
    """No secret stands in the log."""
    assert [secret for secret in secrets if secret in log] == []
