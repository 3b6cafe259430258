"""A 200 means committed and synced: what was acknowledged is in the file, once, whatever kills the server."""

from __future__ import annotations

import os
import random
import signal
import threading
import uuid
from collections import Counter
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.harness import FLAVOURS, Client, Credentials, Served, plain, serving, wait_until
from tests.shortcuts import make_store

KILLS = 2
CLIENTS = 8


class Load:
    """Clients that send events, each with an EventID of its own, until the server is gone.

    Args:
        served: the server.
        credentials: of its store.
        resend: EventIDs that an earlier run sent without getting an answer.
    """

    def __init__(self, served: Served, credentials: Credentials, resend: set[str]) -> None:
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []
        self.refused: list[str] = []
        self._served = served
        self._credentials = credentials
        self._resend = sorted(resend)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Waits until every client has noticed that the server is gone."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        with Client(base_url=self._served.url, timeout=30) as client:
            while not self._stopping.is_set():
                try:
                    event_id = self._resend.pop()
                except IndexError:
                    event_id = str(uuid.uuid4())
                owner = random.randrange(50)
                body = self._credentials.event(EventID=event_id, event="load", id=f"v{owner}", email=f"v{owner}@example.com")
                try:
                    answer = client.post("/api/v1/event", json=body)
                except httpx.TransportError:
                    self.unanswered.append(event_id)
                    return
                (self.acknowledged if answer.status_code == 200 else self.refused).append(event_id)
                if answer.status_code == 200:
                    assert answer.headers["X-Event-ID"] == event_id


def enough(load: Load, least: int) -> bool:
    """Whether that many events are acknowledged."""
    return len(load.acknowledged) > least


def stored(db: Path) -> Counter[str]:
    """How often each event is in the file, read by plain DuckDB."""
    with plain(db) as connection:
        return Counter(str(event_id) for (event_id,) in connection.execute("select event_id from events").fetchall())


@pytest.mark.database
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nothing_acknowledged_is_lost_and_nothing_is_doubled_by_kills(flavour: str, db: Path) -> None:
    """Killed with -9 under load again and again, the file has every acknowledged event once; a retry stores the rest once."""
    credentials = make_store(db)
    acknowledged: set[str] = set()
    unanswered: set[str] = set()
    refused: set[str] = set()
    port = None
    for _ in range(KILLS):
        with serving(db, flavour, port=port) as served:
            port = served.port
            load = Load(served, credentials, unanswered)
            wait_until(partial(enough, load, random.randrange(20, 100)), "no load", served)
            os.killpg(served.process.pid, signal.SIGKILL)
            served.process.wait()
            load.stop()
        acknowledged.update(load.acknowledged)
        unanswered = (unanswered | set(load.unanswered)) - acknowledged
        refused.update(load.refused)
        held = stored(db)
        assert acknowledged <= held.keys()
        assert max(held.values()) == 1
        assert not refused
    with serving(db, flavour, port=port) as served:
        for event_id in unanswered:
            answer = served.client.track(**credentials.event(EventID=event_id, event="load"))
            assert answer.status_code == 200
        assert served.stop() == 0
    held = stored(db)
    assert acknowledged | unanswered <= held.keys()
    assert max(held.values()) == 1
    with plain(db) as connection:
        doubled = connection.execute("select visitor, email from bindings group by all having count(*) > 1").fetchall()
        identified = connection.execute("select count(*) from events where event = 'identify'").fetchone()
        bound = connection.execute("select count(*) from bindings").fetchone()
    assert doubled == []
    assert identified == bound


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=lambda sign: sign.name)
def test_an_orderly_end_answers_what_was_accepted_and_leaves_no_log(flavour: str, db: Path, sign: signal.Signals) -> None:
    """SIGTERM and Ctrl-C under load: exit code 0, everything acknowledged is in the file, and it is checkpointed."""
    credentials = make_store(db)
    with serving(db, flavour) as served:
        load = Load(served, credentials, set())
        wait_until(partial(enough, load, 100), "no load", served)
        code = served.stop(sign)
        load.stop()
        assert code == 0, served.log()
        assert "Traceback" not in served.log()
    assert not db.with_name(db.name + ".wal").exists()
    held = stored(db)
    assert set(load.acknowledged) <= held.keys()
    assert max(held.values()) == 1
    with plain(db) as connection:
        assert connection.execute("select count(*) from events where seq > (select folded_seq from meta)").fetchone() == (0,)
