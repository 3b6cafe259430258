"""What the tests share: a client that validates every answer it receives, and servers in processes of their own."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import httpx
from jsonschema import Draft202012Validator

from falcon_events import EventTracking
from falcon_events.contract.schemas import QUESTION_NAMES, load_schema
from falcon_events.files import lockfile

EVENT = "/api/v1/event"
EVENTS = "/api/v1/events"
PROPERTIES = "/api/v1/website_events.properties"
QUERY = "/api/v1/website_events.query"
FUNNEL = "/api/v1/website_events.funnel"
RETENTION = "/api/v1/website_events.retention"
QUESTIONS = {f"/api/v1/website_events.{name}": name for name in QUESTION_NAMES}
FLAVOURS = ("asgi", "wsgi")
GRANIAN_ENDS = ("--workers-kill-timeout", "10")
"""Without it granian can wait for ever for a worker that it has told to end, as docs/deployment.md says."""

_ANSWERS = {
    EVENT: Draft202012Validator(load_schema("event.response")),
    EVENTS: Draft202012Validator(load_schema("events.response")),
    PROPERTIES: Draft202012Validator(load_schema("properties.response")),
    **{path: Draft202012Validator(load_schema(f"{name}.response")) for path, name in QUESTIONS.items()},
}
_ERRORS = Draft202012Validator(load_schema("errors"))


def assert_valid_answer(response: httpx.Response) -> None:
    """No answer that a test receives may break its schema: 200 of an endpoint, or the one shape of failures."""
    if response.status_code in (204, 304):
        assert not response.content
        return
    if response.headers["Content-Type"].startswith("text/"):  # for browsers
        assert response.status_code == 200
        return
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    if response.status_code != 200:
        _ERRORS.validate(body)
        codes = [error["Code"] for error in body["Errors"]]
        assert codes == sorted(codes)
        return
    for path, schema in _ANSWERS.items():
        if response.request.url.path.endswith(path):
            schema.validate(body)


class Client(httpx.Client):
    """An HTTP client for the documented API."""

    def send(self, *args: Any, **kwargs: Any) -> httpx.Response:
        """Sends a request; the answer is held to its schema."""
        response = super().send(*args, **kwargs)
        response.read()
        if response.request.method != "HEAD":
            assert_valid_answer(response)
        return response

    def track(self, **body: Any) -> httpx.Response:
        """POST /api/v1/event."""
        return self.post(EVENT, json=body)

    def properties(self, **body: Any) -> httpx.Response:
        """POST /api/v1/website_events.properties."""
        return self.post(PROPERTIES, json=body)


@dataclass
class Credentials:
    """What fill_store made: lists 94 and 95 of one account, 96 of another, and the first one's credentials."""

    full: str
    ingest: str
    read: str
    session: str
    list_id: int = 94
    empty_list: int = 95
    foreign_list: int = 96

    def event(self, **changes: Any) -> dict[str, Any]:
        """The documented example's body, changed; a value of ... takes a parameter out."""
        body = {
            "APIKey": self.full,
            "ListID": self.list_id,
            "id": "user-id-2006",
            "event": "test",
            "email": "2006@test.com",
            "properties": {"number-of-subscribers-imported": 100},
            **changes,
        }
        return {name: value for name, value in body.items() if value is not ...}


def fill_store(tracking: EventTracking) -> Credentials:
    """Two accounts with lists, keys and a session."""
    directory = tracking.directory
    directory.create_account("alice")
    directory.create_account("bob")
    directory.create_list("alice", "main", 94)
    directory.create_list("alice", "empty", 95)
    directory.create_list("bob", "foreign", 96)
    keys = (directory.create_key("alice", scope).key for scope in ("full", "ingest", "read"))
    return Credentials(*keys, directory.create_session("alice", 3600))


def make_store(path: Path) -> Credentials:
    """A new store with fill_store's contents, closed."""
    with EventTracking(path) as tracking:
        return fill_store(tracking)


def owner_of(db: Path) -> int:
    """The process that holds a store, as its lock file says."""
    return int(db.with_name(db.name + ".lock").read_text().split()[0])


def is_held(db: Path) -> bool:
    """Whether a process holds the store."""
    return lockfile.is_held(db)


@contextlib.contextmanager
def plain(db: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Plain DuckDB on a store, once its owner has let go of it."""
    wait_until(lambda: not is_held(db), f"{db} is still held")
    with duckdb.connect(str(db)) as connection:
        yield connection


def rows(db: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in a store, once its owner has let go of it. `tracking.sql()` would start a process for it."""
    with plain(db) as connection:
        return connection.execute(query).fetchall()


class HeldOwner:
    """The owner of a store, stopped until it is let go on."""

    def __init__(self, db: Path) -> None:
        self._pid = owner_of(db)
        os.kill(self._pid, signal.SIGSTOP)

    def set(self) -> None:
        """Lets it go on."""
        os.kill(self._pid, signal.SIGCONT)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on, nor gets as a client's port before the server that asked has bound it."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)  # below the range from which Linux gives ports to clients
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def unmeasured_environment(**changes: str) -> dict[str, str]:
    """The environment for a process whose coverage is not the checkout's, or that may not write its figures."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")} | changes


@dataclass
class Served:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    output: Path
    db: Path | None = None
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(base_url=self.url, timeout=120)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self, path: str = "/healthz") -> bool:
        """Whether something that answers listens on its port."""
        with socket.socket() as probe:  # an HTTP client costs ten times as much
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        try:
            return httpx.get(self.url + path, timeout=5).status_code < 500
        except httpx.TransportError:
            return False

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; the exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(240)

    def log(self) -> str:
        """What it has written to standard output and standard error."""
        return self.output.read_text()


@contextlib.contextmanager
def running(
    command: list[str], output: Path, *, port: int, ready: str = "/healthz", env: dict[str, str] | None = None
) -> Iterator[Served]:
    """A server process, from its first answer on `ready` until the end of the block."""
    with output.open("w") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})}, start_new_session=True
        )
    served = Served(process, port, output)
    try:
        wait_until(lambda: served.answers(ready), f"{command} does not answer", served)
        yield served
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        served.client.close()


@contextlib.contextmanager
def serving(
    db: Path, flavour: str = "asgi", *options: str, env: dict[str, str] | None = None, port: int | None = None
) -> Iterator[Served]:
    """`falcon-events serve` on a store."""
    port = port or free_port()
    command = [
        sys.executable,
        "-m",
        "falcon_events",
        "serve",
        "--db",
        str(db),
        "--port",
        str(port),
        "--interface",
        flavour,
        *options,
    ]
    with running(command, db.with_name(f"{db.name}.{flavour}.log"), port=port, env=env) as served:
        served.db = db
        yield served


def command(*arguments: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Runs falcon-events to its end."""
    return subprocess.run(
        [sys.executable, "-m", "falcon_events", *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, **(env or {})},
        check=False,
    )


def pytest_environment(*plugins: str) -> dict[str, str]:
    """The environment for a run of pytest inside a test, with these plugins only; without any, with all that are installed.

    Some of those that are installed here take seconds to import.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ",".join(plugins)} if plugins else kept


def children_of(pid: int) -> list[int]:
    """The processes that a process has started. Threads of it may end meanwhile."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def wait_until(condition: Any, message: str, served: Served | None = None, seconds: float = 240, pause_s: float = 0.02) -> None:
    """Waits for a condition; the limit only ends a run that would otherwise hang. The pause is that between two looks."""
    deadline = time.monotonic() + seconds
    while not condition():
        if served is not None and served.process.poll() is not None:
            raise AssertionError(f"{message}: it has ended\n{served.log()}")
        if time.monotonic() > deadline:
            raise AssertionError(message + ("" if served is None else "\n" + served.log()))
        time.sleep(pause_s)


def wait_for_a_minutes_rest() -> None:
    """Until no new minute is about to begin, in which a limit per minute would let one request more through."""
    wait_until(lambda: time.time() % 60 < 45, "the minute does not end")
