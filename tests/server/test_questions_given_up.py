"""Questions whose asker has left: they free their slot under ASGI, as do those of a cancelled coroutine."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from falcon_events import EventTracking
from tests.apps.common import PREFIX
from tests.harness import QUERY, Credentials, free_port, plain, running, serving
from tests.server.test_mounting import ROOT, server_command
from tests.shortcuts import make_store

SLOTS = {"FALCON_EVENTS_QUERY_SLOTS": "1", "FALCON_EVENTS_QUERY_TIMEOUT_S": "1"}
"""A question that is not ended holds the only slot for as long as the next one may wait."""
FILTERS = [["matches", "path", ["^/([0-9]|[0-9][0-9]?)*[^a-z]$" + "|x" * number]] for number in range(50)]
"""Conditions that every event fulfils, after long work that takes little memory."""
HEAVY: dict[str, Any] = {"date_range": "all", "metrics": ["events"], "filters": FILTERS}
FILL = """
insert into events select 1000000 + range, uuid(), 'alice', $list_id, 'e', uuid(), 'x', null, now(), now(),
    json_object('$pathname', '/' || range || repeat('0', 100)), null, null, null
from range(700_000)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Credentials]:
    """A store with so many events that HEAVY takes longer than a question may."""
    db = tmp_path_factory.mktemp("filled") / "events.duckdb"
    made = make_store(db)
    with plain(db) as connection:
        connection.execute(FILL, {"list_id": made.list_id})
    return db, made


@pytest.fixture
def credentials(filled: tuple[Path, Credentials], db: Path) -> Credentials:
    """A copy of that store."""
    shutil.copy(filled[0], db)
    return filled[1]


@contextlib.contextmanager
def serve(db: Path, server: str, tmp_path: Path) -> Iterator[str]:
    """The address of the endpoint, under a server of this kind."""
    if server == "standalone":
        with serving(db, "asgi", env=SLOTS) as served:
            yield served.url + QUERY
        return
    port = free_port()
    command = server_command("granian-asgi" if server.startswith("starlette") else "uvicorn", server, port)
    env = {**SLOTS, "HOST_DB": str(db), "HOST_RECORD": str(tmp_path / "record"), "PYTHONPATH": str(ROOT)}
    with running(command, tmp_path / "out", port=port, ready="/hello", env=env) as served:
        yield served.url + PREFIX + QUERY


@pytest.mark.parametrize("server", ["standalone", "falcon_asgi:app", "fastapi_app:wrapped"])
def test_a_client_that_disconnects_frees_its_slot(db: Path, credentials: Credentials, server: str, tmp_path: Path) -> None:
    """The one that is answered ends, and those that wait are skipped, so that the next question gets its turn in time."""
    asked = {"APIKey": credentials.read, "ListID": credentials.list_id}
    heavy = {"DateRange": "all", "Metrics": HEAVY["metrics"], "Filters": FILTERS}
    with serve(db, server, tmp_path) as url:
        began = time.monotonic()
        assert httpx.post(url, json={**asked, **heavy}, timeout=60).status_code == 503
        assert time.monotonic() - began >= 1
        given_up = 0
        for _ in range(20):  # on a busy machine, an answer may be there before this process looks at its clock
            try:
                assert httpx.post(url, json={**asked, **heavy}, timeout=0.3).status_code == 503
            except httpx.ReadTimeout:
                given_up += 1
            if given_up == 4:
                break
        assert given_up == 4
        answered = httpx.post(url, json={**asked, "DateRange": "today", "Filters": [["is", "event", ["none"]]]}, timeout=60)
        assert (answered.status_code, answered.json().get("Errors")) == (200, None)


def test_a_cancelled_coroutine_frees_its_slot(db: Path, credentials: Credentials) -> None:
    """Its question ends in the owner, and the next one is answered."""

    async def ask(tracking: EventTracking) -> list[Any]:
        for _ in range(4):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(tracking.aquery(credentials.list_id, **HEAVY), 0.3)
        return (await tracking.aquery(credentials.list_id, filters=[["is", "event", ["none"]]])).rows[0].metrics

    with EventTracking(db, query_slots=1, query_timeout_s=1) as tracking:
        assert asyncio.run(ask(tracking)) == [0, 0]
