"""One request through every door gets one answer: as a Falcon resource, standalone, and in front of another application."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import falcon
import falcon.asgi
import pytest

from falcon_events import EventTracking
from falcon_events.http import ASGIMiddleware, WSGIMiddleware, asgi_app, mount, wsgi_app
from tests.harness import EVENT, EVENTS, PROPERTIES, Credentials
from tests.shortcuts import make_store

Answer = tuple[int, dict[str, str], bytes]
Headers = list[tuple[str, str]]
ORIGIN = "https://www.example.com"


def by_asgi(app: Any, path: str, headers: Headers, chunks: list[bytes]) -> Answer:
    """The answer of an ASGI application, which gets the body in these pieces."""
    sent: list[dict[str, Any]] = []
    events = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    events[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"ListID=1&x=%ff",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.1", 1234),
        "server": ("127.0.0.1", 80),
    }
    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    named = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return start["status"], named, b"".join(message.get("body", b"") for message in rest)


def by_wsgi(app: Any, path: str, headers: Headers, chunks: list[bytes]) -> Answer:
    """The answer of a WSGI application; of several headers of one name it is told what gunicorn makes of them."""
    started: list[tuple[str, Headers]] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "ListID=1&x=%ff",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"".join(chunks)),
        "wsgi.errors": sys.stderr,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_LENGTH" else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    body = b"".join(app(environ, lambda status, headers: started.append((status, headers))))
    status, named = started[-1]
    return int(status.split()[0]), {name.lower(): value for name, value in named}, body


Send = Callable[[Any, str, Headers, list[bytes]], Answer]


def doors(flavour: str, tracking: EventTracking) -> tuple[Send, list[Any]]:
    """How to send to a flavour, and its applications: the Falcon resources first."""
    if flavour == "asgi":
        resources: Any = falcon.asgi.App()
        mount(resources, tracking)
        return by_asgi, [resources, asgi_app(tracking), ASGIMiddleware(falcon.asgi.App(), tracking)]
    resources = falcon.App()
    mount(resources, tracking)
    return by_wsgi, [resources, wsgi_app(tracking), WSGIMiddleware(falcon.App(), tracking)]


CASES: dict[str, Callable[[dict[str, Any], Headers], tuple[str, Headers, list[bytes]]]] = {
    "stored": lambda body, more: (EVENT, more, [json.dumps(body).encode()]),
    "in pieces": lambda body, more: (EVENT, more, [json.dumps(body).encode()[:9], b"", json.dumps(body).encode()[9:]]),
    "compressed": lambda body, more: (EVENT, [*more, ("Content-Encoding", "gzip")], [gzip.compress(json.dumps(body).encode())]),
    "wrongly compressed": lambda body, more: (EVENT, [*more, ("Content-Encoding", "gzip")], [json.dumps(body).encode()]),
    "of an unknown encoding": lambda body, more: (EVENT, [*more, ("Content-Encoding", "br")], [b"{}"]),
    "with a bearer key": lambda body, more: (
        EVENT,
        [*more, ("Authorization", "bearer  " + body["APIKey"])],
        [json.dumps({**body, "APIKey": ""}).encode()],
    ),
    "with two bearer keys": lambda body, more: (
        EVENT,
        [*more, ("Authorization", "Bearer " + body["APIKey"]), ("Authorization", "Bearer x")],
        [json.dumps({**body, "APIKey": ""}).encode()],
    ),
    "of another scheme": lambda body, more: (
        EVENT,
        [*more, ("Authorization", "Basic " + body["APIKey"])],
        [json.dumps({**body, "APIKey": ""}).encode()],
    ),
    "from a page": lambda body, more: (EVENT, [*more, ("Origin", ORIGIN)], [json.dumps(body).encode()]),
    "from a page, refused": lambda body, more: (EVENT, [*more, ("Origin", ORIGIN)], [b"{"]),
    "from an odd page": lambda body, more: (EVENT, [*more, ("Origin", "https://\xe9.example")], [json.dumps(body).encode()]),
    "from a bot": lambda body, more: (EVENT, [*more, ("User-Agent", "Googlebot/2.1")], [json.dumps(body).encode()]),
    "ahead of a visit": lambda body, more: (EVENT, [*more, ("X-Moz", "prefetch")], [json.dumps(body).encode()]),
    "no JSON": lambda body, more: (EVENT, more, [b"{"]),
    "empty": lambda body, more: (EVENT, more, [b""]),
    "too large": lambda body, more: (EVENT, more, [b"x" * 5000]),
    "wrong in all": lambda body, more: (EVENT, more, [json.dumps({**body, "ListID": 0, "event": "", "email": "x"}).encode()]),
    "without a key": lambda body, more: (EVENT, more, [b"{}"]),
    "shorter than announced": lambda body, more: (EVENT, [("Content-Length", "999"), *more], [json.dumps(body).encode()]),
    "longer than announced": lambda body, more: (EVENT, [("Content-Length", "9"), *more], [json.dumps(body).encode()]),
    "announced as too large": lambda body, more: (EVENT, [("Content-Length", "5000"), *more], [json.dumps(body).encode()]),
    "of no length": lambda body, more: (EVENT, [("Content-Length", ""), *more], [b""]),
    "of a length that is none": lambda body, more: (EVENT, [("Content-Length", "0x9"), *more], [json.dumps(body).encode()]),
    "of a length below zero": lambda body, more: (EVENT, [("Content-Length", "-1"), *more], [json.dumps(body).encode()]),
    "of a length without end": lambda body, more: (EVENT, [("Content-Length", "9" * 5000), *more], [json.dumps(body).encode()]),
    "chunked": lambda body, more: (
        EVENT,
        [("Content-Length", ""), ("Transfer-Encoding", "chunked"), *more],
        [json.dumps(body).encode()],
    ),
    "many": lambda body, more: (EVENTS, more, [json.dumps({"APIKey": body["APIKey"], "Events": [body, {}]}).encode()]),
    "asking": lambda body, more: (PROPERTIES, more, [json.dumps(body).encode()]),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventTracking, Credentials]]:
    """A tracker that all cases use, each with an id and an address of its own."""
    db = tmp_path_factory.mktemp("doors") / "events.duckdb"
    credentials = make_store(db)
    with EventTracking(db, max_body_bytes=4096, client_address="full") as tracking:
        yield tracking, credentials


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("flavour", ["asgi", "wsgi"])
def test_every_door_gives_the_same_answer(shared: tuple[EventTracking, Credentials], flavour: str, case: str) -> None:
    """Status, headers and body are the resource's, but for the id that an event gets; and the same events are stored."""
    tracking, credentials = shared
    owner = uuid.uuid4().hex
    body = credentials.event(id=owner, email=f"{owner}@example.com")
    path, headers, chunks = CASES[case](body, [("Host", "example.com")])
    if "Content-Length" not in dict(headers):
        headers = [*headers, ("Content-Length", str(sum(map(len, chunks))))]
    tracking.track(94, "first", email=f"{owner}@example.com", id=owner)
    send, apps = doors(flavour, tracking)
    answers = [send(app, path, headers, chunks) for app in apps]
    ids = [answer[1].pop("x-event-id", None) for answer in answers]
    status, _, answered = answers[0]
    assert status != 500
    assert answers == [answers[0]] * len(apps)
    assert [event_id is None for event_id in ids] == [ids[0] is None] * len(apps)
    stored = [one for _, one in tracking.latest(94, most=50) if (one.event, one.external_id) == ("test", owner)]
    seen = [(one.properties, one.client_address, one.visitor) for one in stored]
    assert len(seen) == len(apps) * answered.count(b'"success"')
    assert seen == seen[:1] * len(seen)
