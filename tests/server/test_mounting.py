"""Mounting: the documented API inside other people's applications, on real servers; the host goes on as before."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.apps.common import BROKEN, DETAIL, HELLO, NOT_FOUND, PREFIX
from tests.harness import EVENT, GRANIAN_ENDS, PROPERTIES, Client, Credentials, Served, free_port, plain, running, wait_until
from tests.server.senders import Sender, assert_clean
from tests.shortcuts import make_store

ROOT = Path(__file__).parents[2]
APPS = {
    "falcon-wsgi": ("granian-wsgi", "falcon_wsgi:app"),
    "falcon-asgi": ("uvicorn", "falcon_asgi:app"),
    "flask-dispatched": ("gunicorn", "flask_app:dispatched"),
    "flask-wrapped": ("waitress", "flask_app:wrapped"),
    "django-wsgi": ("gunicorn", "django_app:wsgi"),
    "django-asgi": ("uvicorn", "django_app:asgi"),
    "fastapi-mounted": ("uvicorn", "fastapi_app:mounted"),
    "fastapi-wrapped": ("uvicorn", "fastapi_app:wrapped"),
    "starlette-mounted": ("uvicorn", "starlette_app:mounted"),
    "starlette-wrapped": ("granian-asgi", "starlette_app:wrapped"),
}
BELOW_A_PATH = ("flask-dispatched", "fastapi-mounted", "starlette-mounted")
"""Where everything below the prefix is the tracker's, not its two paths alone."""
WITH_LIFESPAN = ("falcon-asgi", "fastapi-mounted", "fastapi-wrapped", "starlette-mounted", "starlette-wrapped")
LOG_EVERYTHING = {"HOST_LOG_LEVEL": "DEBUG", "FALCON_EVENTS_LOG_REQUESTS": "1", "PYTHONASYNCIODEBUG": "1"}
CLOSED_BY_LIFESPAN = ("falcon-asgi", "fastapi-wrapped", "starlette-wrapped")


def server_command(server: str, app: str, port: int) -> list[str]:
    """The command that serves tests.apps.APP on a port, in one process."""
    app, at, module = f"tests.apps.{app}", str(port), [sys.executable, "-m"]
    granian = [*module, "granian", app, "--port", at, *GRANIAN_ENDS]
    return {
        "uvicorn": [*module, "uvicorn", app, "--port", at, "--log-level", "debug"],
        "granian-wsgi": [*granian, "--interface", "wsgi", "--blocking-threads", "8"],
        "granian-asgi": [*granian, "--interface", "asgi"],
        "gunicorn": [*module, "gunicorn", app, "--bind", f"127.0.0.1:{at}", "--threads", "8", "--no-control-socket"],
        "waitress": [*module, "waitress", f"--listen=127.0.0.1:{at}", "--threads=8", app],
    }[server]


@dataclass
class Host:
    """A running host application, and the credentials of the store that it has mounted."""

    name: str
    served: Served
    api: Client
    credentials: Credentials
    db: Path

    def get(self, path: str) -> httpx.Response:
        """One of the host's own paths."""
        return httpx.get(self.served.url + path, timeout=30)

    @property
    def recorded(self) -> list[str]:
        """What the host's lifespan has recorded."""
        path = self.db.with_name("record")
        return path.read_text().split() if path.exists() else []


@dataclass
class Ended:
    """A host application that has ended, the EventIDs of events that it has acknowledged, and what else it was sent."""

    host: Host
    sent: list[str]
    sender: Sender
    statuses: set[int]


@contextlib.contextmanager
def hosting(folder: Path, name: str, **env: str) -> Iterator[Host]:
    """A host application with a filled store, in a server of its own."""
    folder.mkdir(exist_ok=True)
    db = folder / "events.duckdb"
    credentials = make_store(db)
    port = free_port()
    search_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {"HOST_DB": str(db), "HOST_RECORD": str(folder / "record"), "PYTHONPATH": search_path, **env}
    with (
        running(server_command(*APPS[name], port), folder / "log", port=port, ready="/hello", env=env) as served,
        Client(base_url=served.url + PREFIX, timeout=30) as api,
    ):
        yield Host(name, served, api, credentials, db)


@pytest.fixture(scope="module", params=APPS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Each host application in turn, which logs everything, shared by the tests that only need its answers."""
    with hosting(tmp_path_factory.mktemp(request.param), request.param, **LOG_EVERYTHING) as host:
        yield host


@pytest.fixture(scope="module")
def ended(host: Host) -> Ended:
    """The host application after events, and requests of every kind, and SIGTERM: for the last tests that use it."""
    sent = [host.api.track(**host.credentials.event(event="kept")).headers["X-Event-ID"] for _ in range(20)]
    sender = Sender(str(host.api.base_url), host.credentials)
    statuses = sender.send()
    host.served.stop()
    return Ended(host, sent, sender, statuses)


def test_the_endpoints_answer_below_the_prefix(host: Host) -> None:
    """Events go in and property names come out, in the documented form, for POST and GET."""
    credentials = host.credentials
    answer = host.api.track(**credentials.event(event="mounted", properties={"b": 1, "a": 2}))
    assert (answer.status_code, answer.json()["external_id"]) == (200, "user-id-2006")
    names = host.api.properties(APIKey=credentials.read, ListID=94)
    assert names.json()["Properties"]["mounted"] == ["a", "b"]
    query = host.api.get(PROPERTIES, params={"ListID": "94"}, headers={"Authorization": f"Bearer {credentials.read}"})
    assert query.json() == names.json()


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "codes"),
    [
        ("POST", EVENT, b"{", 400, [100000]),
        ("POST", EVENT, b"{}", 401, [99998]),
        ("POST", PROPERTIES, b'{"APIKey": "nobody\'s"}', 401, [99998]),
        ("POST", EVENT, b"x" * (2 << 20), 413, [413]),
        ("GET", EVENT, None, 405, [405]),
        ("PUT", EVENT, b"{}", 405, [405]),
        ("OPTIONS", EVENT, None, 405, [405]),
        ("PROPFIND", EVENT, None, 405, [405]),
        ("DELETE", PROPERTIES, None, 405, [405]),
    ],
)
def test_failures_have_the_documented_shape(
    host: Host, method: str, path: str, content: bytes | None, status: int, codes: list[int]
) -> None:
    """No host's error handler or serializer words the tracker's failures; the client checks type and schema."""
    # A WSGI server closes a connection whose request it has not read to its end, and few say so.
    answer = host.api.request(method, path, content=content, headers={"Connection": "close"} if status == 413 else None)
    assert answer.status_code == status
    assert [error["Code"] for error in answer.json()["Errors"]] == codes
    assert answer.headers.get("Allow") == ({EVENT: "POST", PROPERTIES: "GET, POST"}[path] if status == 405 else None)


def test_parameters_are_checked_as_documented(host: Host) -> None:
    """422 with every failure in the order of their codes; 403 for a key of another scope."""
    refused = host.api.track(**host.credentials.event(ListID=96, event="", email="nobody"))
    assert refused.status_code == 422
    assert [error["Code"] for error in refused.json()["Errors"]] == [4, 5, 7]
    assert host.api.properties(APIKey=host.credentials.ingest, ListID=94).status_code == 403


def test_a_method_that_nobody_knows_is_answered_in_the_documented_shape(host: Host) -> None:
    """405 with Allow, unless the server itself or a host that is a Falcon application refuses the request line."""
    answer = httpx.request("BREW", f"{host.served.url}{PREFIX}{EVENT}", timeout=30)
    if host.name == "falcon-wsgi" or APPS[host.name][0] == "uvicorn":
        assert answer.status_code == 400
    else:
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        assert answer.json()["Errors"][0]["Code"] == 405


def test_the_hosts_routes_and_errors_are_untouched(host: Host) -> None:
    """Its route, its own 404 and its own error handler answer as they would without a tracker."""
    assert (host.get("/hello").status_code, host.get("/hello").text) == (200, HELLO)
    for path in ("/missing", "/api/v1/event", f"{PREFIX}x{EVENT}"):
        assert (host.get(path).status_code, host.get(path).text) == (404, NOT_FOUND)
    assert (host.get("/broken").status_code, host.get("/broken").text) == (500, BROKEN)


def test_other_paths_below_the_prefix_belong_to_whom_they_should(host: Host) -> None:
    """A mounted application answers all below its path in its own shape; routes and middleware leave them to the host."""
    if host.name in BELOW_A_PATH:
        assert host.api.get("/elsewhere").json()["Errors"][0]["Code"] == 404
        assert host.api.get("/healthz").json() == {"status": "ok"}
    else:
        assert host.get(f"{PREFIX}/elsewhere").text == NOT_FOUND
        assert host.get(f"{PREFIX}{EVENT}/").text == NOT_FOUND


def test_a_stream_of_the_host_passes_through_unbuffered(host: Host) -> None:
    """The first chunk arrives while the host still waits for another request before it sends the second."""
    with httpx.stream("GET", f"{host.served.url}/stream", timeout=60) as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first"
        assert host.get("/release").status_code == 200
        assert b"".join(chunks) == b"released"


def test_after_sigterm_the_file_holds_what_was_acknowledged(ended: Ended) -> None:
    """However the server ends an application: every acknowledged event is in the file once, and the host's lifespan ran."""
    host = ended.host
    if host.name in CLOSED_BY_LIFESPAN:
        assert not host.db.with_name("events.duckdb.wal").exists()
    assert host.recorded == (["startup", "shutdown"] if host.name in WITH_LIFESPAN else [])
    with plain(host.db) as connection:
        kept = connection.execute("select event_id::varchar from events where event = 'kept'").fetchall()
    assert sorted(event_id for (event_id,) in kept) == sorted(ended.sent)


def test_a_host_that_logs_everything_sees_no_secret_of_ours(ended: Ended) -> None:
    """At the level DEBUG, whatever was sent, and however it failed."""
    assert ended.statuses >= {200, 400, 401, 403, 405, 413, 422}
    log = ended.host.served.log()
    assert EVENT in log
    assert_clean(log, ended.sender.secrets)


def test_a_websocket_of_the_host_passes_through(tmp_path: Path) -> None:
    """The middleware hands the handshake and the messages to the host."""
    with hosting(tmp_path, "starlette-wrapped") as host, socket.create_connection(("127.0.0.1", host.served.port), 30) as wire:
        key = base64.b64encode(b"0123456789abcdef").decode()
        lines = ("GET /echo HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        wire.sendall("\r\n".join((*lines, f"Sec-WebSocket-Key: {key}", "", "")).encode())
        received = wire.makefile("rb")
        assert b" 101 " in received.readline()
        while received.readline().strip():
            pass
        wire.sendall(b"\x81\x85\0\0\0\0hello")  # a text frame of 5 bytes, masked with zeros (RFC 6455, 5.2)
        assert received.read(7) == b"\x81\x05hello"


@pytest.fixture(
    scope="module",
    params=[
        ("fastapi-wrapped", "sync"),
        ("starlette-mounted", "async"),
        ("falcon-asgi", "sync"),
        ("flask-wrapped", "async"),
        ("falcon-wsgi", "sync"),
    ],
    ids="-".join,
)
def deciding(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Host applications, which log everything, with plain or async methods of an Access of their own."""
    name, methods = request.param
    with hosting(tmp_path_factory.mktemp(name), name, HOST_ACCESS=methods, **LOG_EVERYTHING) as host:
        yield host


def test_a_host_answers_who_may_what_itself(deciding: Host) -> None:
    """Plain and async methods of the host's own Access decide, on WSGI and ASGI; what they raise is told to the log alone."""
    host = deciding
    body = host.credentials.event(APIKey=..., SessionID="host session", ListID=7)
    assert host.api.track(**body).status_code == 200
    assert host.api.properties(APIKey="read", ListID=7).json()["Properties"]["test"] == ["number-of-subscribers-imported"]
    assert host.api.track(**{**body, "SessionID": host.credentials.session}).status_code == 401
    assert host.api.track(**host.credentials.event(ListID=7)).status_code == 401
    assert host.api.properties(APIKey="host session", ListID=7).status_code == 401
    assert host.api.track(**{**body, "ListID": 94}).json()["Errors"][0]["Code"] == 4
    assert host.api.properties(SessionID="host session", ListID=94).json()["Errors"][0]["Code"] == 3
    assert host.api.track(**host.credentials.event(APIKey="read", ListID=7)).status_code == 403
    assert DETAIL not in host.served.log()
    for failing in ({"SessionID": "raises"}, {"SessionID": "stops"}, {"ListID": 500}):
        for answer in (host.api.track(**{**body, **failing}), host.api.properties(**{**body, **failing})):
            assert answer.status_code == 500
            assert [error["Code"] for error in answer.json()["Errors"]] == [100005]
            assert DETAIL not in answer.text
    assert DETAIL in host.served.log()
    assert host.api.track(**body).status_code == 200
    assert host.get("/hello").text == HELLO


def test_the_log_of_a_host_with_an_access_of_its_own_has_no_secret(deciding: Host) -> None:
    """Its methods fail, too: their detail is in the log, no secret is. The keys of the store are unknown."""
    sender = Sender(str(deciding.api.base_url), deciding.credentials)
    assert sender.send() >= {400, 401, 405, 413}
    for change in ({"SessionID": "raises"}, {"SessionID": "host session", "ListID": 500}):
        failing = deciding.credentials.event(APIKey=..., email=sender.address, **change)
        assert deciding.api.track(**failing).status_code == 500
    wait_until(lambda: DETAIL in deciding.served.log(), "the host's detail is not in the log", deciding.served)
    deciding.served.stop()
    log = deciding.served.log()
    assert EVENT in log
    assert_clean(log, [*sender.secrets, "host session"])
