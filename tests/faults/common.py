"""What the fault tests share: clients that retry until they get a 200, and a count of what the file holds at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from falcon_events import EventTracking
from tests.harness import EVENT, Credentials, Served, is_held, owner_of, plain, wait_until

PAUSE_S = 0.05
"""How long a client waits before it sends an event again, in seconds."""


class Clients:
    """Clients that send events with EventIDs, each again and again until it is acknowledged. httpx would take half of the time.

    Args:
        url: of the server.
        credentials: of its store.
        count: how many clients.
        prefix: what stands before the API's paths.
    """

    def __init__(self, url: str, credentials: Credentials, count: int = 6, prefix: str = "") -> None:
        self.acknowledged: set[str] = set()
        self.given_up: set[str] = set()
        self.refused: Counter[int] = Counter()
        self.unanswered = 0
        self.longest_s = 0.0
        self._address = url.removeprefix("http://")
        self._path = prefix + EVENT
        self._credentials = credentials
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Lets each client finish its event."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Returns when so many more events have been acknowledged."""
        least = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= least, f"{len(self.acknowledged)} acknowledged; {self.refused}", seconds=120)

    def _send(self) -> None:
        with contextlib.closing(http.client.HTTPConnection(self._address, timeout=30)) as connection:
            while not self._stopping.is_set():
                self._send_one(connection, str(uuid.uuid4()))

    def _send_one(self, connection: http.client.HTTPConnection, event_id: str) -> None:
        visitor = random.randrange(200)
        body = self._credentials.event(EventID=event_id, event="load", id=f"v{visitor}", email=f"v{visitor}@example.com")
        began = time.monotonic()
        while time.monotonic() - began < 120:
            try:
                connection.request("POST", self._path, json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.unanswered += 1
                time.sleep(PAUSE_S)
                continue
            if answer.status == 200:
                self.acknowledged.add(event_id)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                return
            self.refused[answer.status] += 1
            time.sleep(PAUSE_S)
        self.given_up.add(event_id)


def kill_owner(db: Path) -> int:
    """Kills the owner of a store with -9, as soon as there is one; its process id."""
    wait_until(lambda: is_held(db) and _published(db), "nobody owns the store")
    pid = owner_of(db)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return pid


def assert_whole(db: Path, acknowledged: set[str]) -> None:
    """Everything acknowledged is in the file, nothing twice, and each binding has one identify event."""
    with plain(db) as connection:
        stored = Counter(i for (i,) in connection.execute("select event_id::varchar from events where event = 'load'").fetchall())
        identified = connection.execute(
            "select count(*), count(distinct (list_id, visitor, lower(email))) from events where event = 'identify'"
        ).fetchone()
        numbered = connection.execute("select count(*), count(distinct seq) from events").fetchone()
    assert acknowledged - stored.keys() == set()
    assert [i for i, count in stored.items() if count > 1] == []
    assert identified is not None
    assert identified[0] == identified[1]
    assert numbered is not None
    assert numbered[0] == numbered[1]


@dataclass
class Shared:
    """A server, the credentials of its store, and the store. Tests share them, and leave the server in service."""

    served: Served
    credentials: Credentials
    db: Path
    acknowledged: set[str] = field(default_factory=set)

    def check(self, clients: Clients) -> None:
        """A backup made now is whole, with everything acknowledged to these clients; so is the file at the end."""
        self.acknowledged |= clients.acknowledged
        copy = self.db.with_name("whole.duckdb")
        with EventTracking(self.db) as tracking:
            tracking.backup(copy)
        assert_whole(copy, self.acknowledged)
        copy.unlink()

    def end(self) -> None:
        """The server ends in order, and its file has everything."""
        assert self.served.stop() == 0, self.served.log()
        assert_whole(self.db, self.acknowledged)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: _states_of(pid) == {"T"}, "its threads stop")  # each does so when it is its turn
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _states_of(pid: int) -> set[str]:
    """The states of a process's threads."""
    return {stat.read_text().rpartition(") ")[2][0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")}


def _published(db: Path) -> bool:
    return len(db.with_name(db.name + ".lock").read_text().splitlines()) == 3
