"""falcon-events serve: first steps, health, orderly and disorderly ends, and who holds the file."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import httpx
import pytest

from falcon_events import EventTracking
from falcon_events.http import asgi_app, wsgi_app
from tests import shortcuts
from tests.harness import (
    FLAVOURS,
    Client,
    Credentials,
    Served,
    children_of,
    command,
    free_port,
    is_held,
    plain,
    serving,
    wait_until,
)
from tests.shortcuts import make_store

CLIENTS = 8


class Load:
    """Clients that send events until the server is gone."""

    def __init__(self, served: Served, credentials: Credentials) -> None:
        self.answered: set[str] = set()
        self.others: list[int] = []
        self._served = served
        self._credentials = credentials
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Returns when every client has noticed that the server is gone."""
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        with Client(base_url=self._served.url, timeout=60) as client:
            while True:
                event_id = str(uuid.uuid4())
                body = self._credentials.event(EventID=event_id, event="load", id=f"v{number}", email=f"v{number}@example.com")
                try:
                    answer = client.post("/api/v1/event", json=body)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self.answered.add(event_id)
                else:
                    self.others.append(answer.status_code)


def stored(db: Path) -> set[str]:
    """The events of the load that are in the file, read by plain DuckDB."""
    with plain(db) as connection:
        return {
            str(event_id) for (event_id,) in connection.execute("select event_id from events where event = 'load'").fetchall()
        }


def ended(pid: int) -> bool:
    """Whether a process is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_fresh_store_greets_with_a_key_and_a_line_that_works(db: Path) -> None:
    """Serve on a path without a store makes account, list 1 and a full key; the printed request is answered as documented.

    healthz answers 200 meanwhile.
    """
    with serving(db, "wsgi") as served:
        assert served.client.get("/healthz").status_code == 200
        (line,) = (line.strip() for line in served.log().splitlines() if line.strip().startswith("curl "))
        words = shlex.split(line)
        (url,) = (word for word in words if word.startswith("http"))
        assert url == f"{served.url}/api/v1/event"
        body = words[words.index("-d") + 1]
        answer = served.client.post(url, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200
        assert answer.json()["identify_event_sent"] is True
        key = json.loads(body)["APIKey"]
        assert served.client.properties(APIKey=key, ListID=1).json()["Properties"]["test"] == ["number-of-subscribers-imported"]
        assert len(re.findall(rf"^\s*{re.escape(key)}$", served.log(), re.MULTILINE)) == 1
        assert served.stop() == 0


@pytest.mark.needs("curl")
def test_the_greeting_of_a_store_without_accounts_can_be_pasted_into_a_shell(db: Path) -> None:
    """The printed line, given to sh as it stands, tracks an event.

    A first start that was cut off before its key was made leaves no store that nobody can use.
    """
    with EventTracking(db):
        pass
    with serving(db) as served:
        (line,) = (line for line in served.log().splitlines() if "curl " in line)
        done = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
        assert json.loads(done.stdout)["status"] == "success"


def test_healthz_is_503_with_the_reason_when_it_does_not(flavour: str, db: Path) -> None:
    """GET /healthz of a store that is closed answers 503, and says why in the documented shape."""
    tracking = EventTracking(db).open()
    if flavour == "wsgi":
        app = wsgi_app(tracking)
        tracking.close()
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://test") as client:
            answer = client.get("/healthz")
    else:
        answer = asyncio.run(_health_when_closed(tracking))
    assert answer.status_code == 503
    assert answer.json() == {"Errors": [{"Code": 503, "Message": "The event store is closed."}]}
    assert answer.headers["Retry-After"]


async def _health_when_closed(tracking: EventTracking) -> httpx.Response:
    app = asgi_app(tracking)
    await asyncio.to_thread(tracking.close)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get("/healthz")


@pytest.mark.parametrize(
    ("flavour", "sign"),
    [("asgi", signal.SIGTERM), ("asgi", signal.SIGINT), ("wsgi", signal.SIGINT)],  # test_systemd_service has wsgi's SIGTERM
    ids=["asgi-SIGTERM", "asgi-SIGINT", "wsgi-SIGINT"],
)
def test_whatever_an_ending_server_stored_was_answered(flavour: str, db: Path, sign: signal.Signals) -> None:
    """A signal under load, Ctrl-C to the whole process group as a terminal does: what is in the file and what was answered
    are the same; exit code 0, checkpointed, no traceback on the screen.
    """
    credentials = make_store(db)
    with serving(db, flavour) as served:
        load = Load(served, credentials)
        wait_until(lambda: len(load.answered) > 50, "no load", served)
        if sign is signal.SIGINT:
            os.killpg(served.process.pid, sign)
        else:
            served.process.send_signal(sign)
        assert served.process.wait(60) == 0, served.log()
        load.wait()
        assert "Traceback" not in served.log()
        assert "fe_full_" not in served.log()  # only a store without accounts is greeted with a key
    assert not db.with_name(db.name + ".wal").exists()
    assert stored(db) == load.answered
    assert set(load.others) <= {503}


def test_a_server_whose_parent_is_killed_ends_and_makes_room(flavour: str, db: Path) -> None:
    """Kill -9 of the process that was started: no orphan keeps the port, and a new serve starts on it and on the store."""
    credentials = make_store(db)
    with serving(db, flavour) as served:
        assert served.client.track(**credentials.event()).status_code == 200
        orphans = children_of(served.process.pid)
        served.process.kill()
        served.process.wait()
        with serving(db, flavour, port=served.port) as successor:
            wait_until(
                lambda: all(map(ended, orphans)), "an orphan lives on"
            )  # until then it may answer in the successor's place
            wait_until(successor.answers, "the successor does not answer", successor)
            assert successor.client.track(**credentials.event()).json()["identify_event_sent"] is False
            assert successor.stop() == 0
    wait_until(lambda: not is_held(db), "the store is still held")


def test_a_port_in_use_is_told_and_no_store_is_made(db: Path) -> None:
    """One line that names the address; neither file nor key, so that the next start greets with one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command("serve", "--db", str(db), "--port", port)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert f"127.0.0.1:{port}".encode() in done.stderr
    assert not db.exists()


def test_the_installed_command_is_the_same_as_the_module() -> None:
    """falcon-events and python -m falcon_events print one version."""
    script = Path(sys.executable).with_name("falcon-events")
    done = subprocess.run([script, "--version"], capture_output=True, check=True)
    assert done.stdout == command("--version").stdout


def test_the_process_that_serves_keeps_the_store_open_that_it_has_prepared(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a second owner process would be started. granian's first process leaves the store to the worker."""
    held = {}

    def serve(db: str, host: str, port: int, interface: str, *others: object) -> None:
        held[interface] = is_held(Path(db))

    monkeypatch.setattr("falcon_events.server.serve.serve", serve)
    for interface in FLAVOURS:
        done = shortcuts.command("serve", "--db", str(db), "--port", str(free_port()), "--interface", interface)
        assert done.returncode == 0, done.stderr
    assert held == {"asgi": True, "wsgi": False}
    assert not is_held(db)
