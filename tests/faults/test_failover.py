"""The owner of the file dies: another takes over, nothing acknowledged is lost, nothing is stored twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from falcon_events import EventTracking, StoreUnavailable
from falcon_events.link.calls import MAX_OWNERS, PendingCalls
from falcon_events.model import operations
from falcon_events.runtime import lifecycle
from tests.faults.common import Clients, Shared, kill_owner, stopped
from tests.harness import (
    FLAVOURS,
    QUERY,
    fill_store,
    is_held,
    owner_of,
    rows,
    serving,
    wait_until,
)
from tests.shortcuts import make_store

ROOT = Path(__file__).parents[2]
KILLS = 3
DIES = """
import os, signal, sys
from pathlib import Path
from falcon_events.store.engine.journal import Journal

append = Journal.append


def append_and_die(self, number, entry):
    append(self, number, entry)
    order = Path(os.environ["DIE_ORDER"])
    if order.exists():
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


Journal.append = append_and_die
"""


@pytest.fixture(scope="module", params=FLAVOURS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server with two workers, the credentials of its store, and the store. Tests leave it in service, whatever they kill."""
    db = tmp_path_factory.mktemp("shared") / "events.duckdb"
    credentials = make_store(db)
    with serving(db, request.param, "--workers", "2") as served:
        yield (shared := Shared(served, credentials, db))
        shared.end()


def test_killing_the_owner_again_and_again_loses_and_doubles_nothing(shared: Shared) -> None:
    """Kill -9 of the owner under load: the requests in flight wait for the next one and succeed."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    with Clients(served.url, credentials) as clients:
        owners = set()
        for _ in range(KILLS):
            clients.wait_for(50)
            owners.add(kill_owner(db))
        clients.wait_for(30)
        clients.stop()
        assert len(owners) == KILLS
        assert not clients.given_up
        assert clients.refused.keys() <= {503}
    shared.check(clients)


def test_questions_wait_for_the_next_owner(shared: Shared) -> None:
    """As other requests do: while owners are killed, every question is answered, and with all events."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    asked = {
        "APIKey": credentials.read, "ListID": credentials.list_id, "DateRange": "all", "Metrics": ["events"],
        "Filters": [["is", "event", ["asked about"]]],
    }  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        assert served.client.track(**credentials.event(event="asked about")).status_code == 200
        for _ in range(2):
            answers = [pool.submit(httpx.post, served.url + QUERY, json=asked, timeout=60) for _ in range(8)]
            kill_owner(db)
            for answer in answers:
                assert (answer.result().status_code, answer.result().json().get("Results")) == (
                    200,
                    [{"Dimensions": [], "Metrics": [1]}],
                )


def test_an_owner_that_dies_after_the_commit_and_before_the_answer(flavour: str, db: Path, tmp_path: Path) -> None:
    """The next owner finds the events by their ids: each is stored once, and its request gets the first answer."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(DIES)
    order = tmp_path / "order"
    credentials = make_store(db)
    env = {"PYTHONPATH": os.pathsep.join([str(hooks), str(ROOT)]), "DIE_ORDER": str(order)}
    with serving(db, flavour, env=env) as served:
        for number, event_id in enumerate((None, "6d0c6f3e-63cf-4d0b-8a0e-1f0e6f5d7a11")):
            owner = owner_of(db)
            order.touch()
            body = credentials.event(event="once", email=f"once{number}@example.com", EventID=event_id)
            answer = served.client.track(**{name: value for name, value in body.items() if value is not None})
            assert answer.status_code == 200, answer.text
            assert answer.json()["identify_event_sent"] is True
            assert "X-Event-Duplicate" not in answer.headers
            assert not order.exists()
            assert owner_of(db) != owner
            names = served.client.properties(APIKey=credentials.full, ListID=94)
            assert names.json()["Properties"]["once"] == ["number-of-subscribers-imported"]
        assert served.stop() == 0
    assert rows(db, "select event, count(*) from events group by all order by all") == [("identify", 2), ("once", 2)]


def test_a_silent_owner_gives_503_after_the_time_that_is_set(flavour: str, db: Path) -> None:
    """A stopped owner: the request gets 503 after commit_wait_s, and the next ones succeed when it goes on."""
    credentials = make_store(db)
    with serving(db, flavour, env={"FALCON_EVENTS_COMMIT_WAIT_S": "1"}) as served:
        with stopped(owner_of(db)):
            answer = served.client.track(**credentials.event())
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
            assert served.client.properties(APIKey=credentials.read, ListID=94).status_code == 503
        wait_until(lambda: served.client.track(**credentials.event()).status_code == 200, "it does not go on", served)


@pytest.mark.parametrize("shared", ["asgi"], indirect=True)
def test_a_stopped_owner_delays_and_loses_nothing(shared: Shared) -> None:
    """As with a disk that hangs for a moment: latency, and no loss."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    with Clients(served.url, credentials) as clients:
        for _ in range(2):
            clients.wait_for(30)
            with stopped(owner_of(db)):
                before = len(clients.acknowledged)
                with pytest.raises(AssertionError):
                    wait_until(lambda before=before: len(clients.acknowledged) > before + 20, "none", seconds=0.3)  # type: ignore[misc]
        clients.wait_for(30)
        clients.stop()
        assert clients.refused == {}
        assert clients.unanswered == 0
    shared.check(clients)


@pytest.mark.parametrize("shared", ["wsgi"], indirect=True)
def test_killing_workers_loses_nothing(shared: Shared) -> None:
    """A worker that is killed is replaced; what it had sent is stored or not, and the owner stays."""
    served, credentials, db = shared.served, shared.credentials, shared.db
    owner = owner_of(db)
    with Clients(served.url, credentials) as clients, EventTracking(db) as tracking:
        for _ in range(2):
            clients.wait_for(40)
            victim = next(pid for pid in tracking.owner().clients if pid not in (os.getpid(), served.process.pid))
            os.kill(victim, signal.SIGKILL)
        clients.wait_for(40)
        clients.stop()
        assert owner_of(db) == owner
    shared.check(clients)


def test_an_owner_ends_with_its_last_client(db: Path) -> None:
    """Whether that one closes its tracker or is killed; and the file is free then."""
    tracking = EventTracking(db).open()
    assert is_held(db)
    tracking.close()
    assert not is_held(db)
    code = f"import os; from falcon_events import EventTracking; t = EventTracking({str(db)!r}).open(); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == -9
    wait_until(lambda: not is_held(db), "it stays")


def test_an_owner_that_hangs_does_not_hold_a_close_up(
    db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """close() says in the log that it waits no longer; what was acknowledged is there, and the owner ends once it goes on."""
    monkeypatch.setattr(lifecycle, "LEAVE_S", 0.5)
    with EventTracking(db) as kept:
        credentials = fill_store(kept)
        tracking = EventTracking(db).open()
        tracked = tracking.track(94, "kept", email="a@example.com", api_key=credentials.full)
        with stopped(owner_of(db)):
            tracking.close()
            assert f"The owner of {db} did not release the file" in caplog.text
        assert [one.event_id for _, one in kept.latest(94) if one.event == "kept"] == [tracked.event_id]
        wait_until(lambda: kept.owner().clients == [os.getpid()], "the owner does not let the closed one go")
    assert not is_held(db)


def test_exit_without_close_loses_nothing(db: Path) -> None:
    """However a process ends after its answer, the event is there."""
    make_store(db)
    endings = {"pass": 0, "os._exit(3)": 3, "os.kill(os.getpid(), 9)": -9, "raise SystemExit(4)": 4}
    with EventTracking(db):  # one owner for all of them
        for ending, expected in endings.items():
            code = (
                "import os; from falcon_events import EventTracking\n"
                f"EventTracking({str(db)!r}).track(94, 'load', email='a@example.com')\n{ending}"
            )
            assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == expected
    assert rows(db, "select count(*) from events where event = 'load'") == [(len(endings),)]


def test_a_question_that_an_owner_did_not_answer_is_asked_again(db: Path) -> None:
    """The owner dies while it has the question, and the next one answers."""
    with EventTracking(db) as tracking, ThreadPoolExecutor(1) as pool:
        fill_store(tracking)
        tracking.track(94, "a", email="a@example.com")
        owner = owner_of(db)
        with stopped(owner):
            asked = pool.submit(tracking.query, 94, date_range="all", metrics=["events"])
            wait_until(lambda: len(tracking.store._calls) == 1, "the question is not asked")
            os.kill(owner, signal.SIGKILL)
        assert [row.metrics for row in asked.result(60).rows] == [[1]]


def test_a_question_whose_time_is_over_is_not_asked_again(db: Path) -> None:
    """It gets a 503, and so does one that three owners did not survive."""
    calls = PendingCalls()
    late, other = calls.add(operations.QUERY, [b""], 10.0), calls.add(operations.QUERY, [b""], 10.0)
    late.since -= 11
    assert [(call, "time for the question is over" in reason) for call, reason in calls.take_unrepeatable(10.0)] == [(late, True)]
    for _ in range(MAX_OWNERS - 1):
        assert calls.frames() == [other.frame]
        lost = calls.take_unrepeatable(10.0)
    assert [(call, f"{MAX_OWNERS} times" in reason) for call, reason in lost] == [(other, True)]


def test_what_must_not_be_done_twice_is_not_repeated(db: Path) -> None:
    """A change of the directory whose owner dies is reported as unknown, not done again."""
    with EventTracking(db, commit_wait_s=5.0) as tracking:
        fill_store(tracking)
        owner = owner_of(db)
        os.kill(owner, signal.SIGSTOP)
        asked = tracking.store.ask(operations.ACCOUNTS)
        change = tracking.store.ask(operations.RENAME_LIST, 94, "other")
        os.kill(owner, signal.SIGKILL)
        with pytest.raises(StoreUnavailable, match="not known"):
            change.result(60)
        assert len(asked.result(60)) == 2
