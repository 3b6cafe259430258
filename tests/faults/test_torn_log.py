"""The database's log after a power loss: a torn end is cut off, and the journal has what it held. Other damage is reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from falcon_events import EventTracking, StoreError
from falcon_events.files.paths import journals_of, log_of, logs_of
from falcon_events.model.events import Receipt
from falcon_events.settings import Settings
from falcon_events.store.store import Store
from tests.harness import is_held, rows, wait_until
from tests.shortcuts import command, make_store
from tests.unit.test_store import new_event

pytestmark = pytest.mark.database

COMMIT = bytes.fromhex("0500000000000000e7fe7d722fed3d5e640064ffff")
"""The entry of DuckDB's log that ends a transaction, with its length and its checksum."""
ROUNDS, EVENTS = 6, 40
COUNT = "select count(*), count(distinct seq) from events where event = 'load'"
THROUGH_AN_OWNER = ("a third", "noise after the commit")
"""The tears that a tracker's owner process comes upon; the others are mended in the test's own, which is the same code."""
CRASH = f"""
import os, sys
from falcon_events import EventTracking

tracking = EventTracking(sys.argv[1]).open()
for _ in range({ROUNDS}):
    for number in range({EVENTS}):
        tracking.track(94, "load", email="a@example.com", properties={{"n": number, "text": os.urandom(200).hex()}})
    tracking.stats()  # applies the journal, in a commit of its own
owner = tracking.owner().pid
with tracking.store._lock:  # no new owner comes for this process
    os.kill(owner, 9)
    os.kill(os.getpid(), 9)
"""


def commits(log: bytes) -> list[int]:
    """The offsets behind the commits."""
    found, at = [], 0
    while (at := log.find(COMMIT, at)) >= 0:
        at += len(COMMIT)
        found.append(at)
    return found


def has_enough(log: Path) -> bool:
    """Whether a log has several commits, and more in the last one than any tear leaves of it."""
    found = commits(log.read_bytes()) if log.exists() else []
    return len(found) >= 4 and found[-1] - found[-2] > 9000


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store whose log has several commits, and whose journal has every event of them."""
    db = tmp_path_factory.mktemp("killed") / "events.duckdb"
    while not has_enough(log_of(db)):
        for path in (db, *logs_of(db)):
            path.unlink(missing_ok=True)
        make_store(db)
        done = subprocess.run([sys.executable, "-c", CRASH, str(db)], capture_output=True, check=False)
        assert done.returncode == -9, done.stderr
        wait_until(lambda: not is_held(db), "the owner lives on")
    return db.parent


@pytest.fixture
def crashed(killed: Path, db: Path) -> Path:
    """A copy of the store of `killed`."""
    for path in killed.iterdir():
        if path.is_file():
            shutil.copy(path, db.with_name(path.name))
    return db


def reopen(db: Path) -> None:
    """Open a store in this process, store one more event, and close it."""
    store = Store(db, Settings())
    store.open()
    now = int(time.time() * 1e6)
    (outcome,) = store.submit([new_event(event="load", list_id=94, received_at=now, occurred_at=now)]).result(60)
    assert isinstance(outcome, Receipt), outcome
    store.close()


Tear = Callable[[bytes], bytes]
TEARS: dict[str, Tear] = {
    "nothing of it": lambda tail: b"",
    "one byte": lambda tail: tail[:1],
    "a part of the entry's length": lambda tail: tail[:7],
    "a part of the entry's checksum": lambda tail: tail[:13],
    "only the first entry's head": lambda tail: tail[:16],
    "a third": lambda tail: tail[: len(tail) // 3],
    "a page and a half": lambda tail: tail[:6144],
    "all but one byte": lambda tail: tail[:-1],
    "all but the commit": lambda tail: tail[: -len(COMMIT)],
    "a half of the commit": lambda tail: tail[: -len(COMMIT) // 2],
    "only zeros": lambda tail: bytes(len(tail)),
    "zeros after a page": lambda tail: tail[:4096] + bytes(len(tail) - 4096),
    "zeros before the rest": lambda tail: bytes(4096) + tail[4096:],
    "a page of zeros within": lambda tail: tail[:4096] + bytes(4096) + tail[8192:],
    "zeros at the end": lambda tail: tail[:-512] + bytes(512),
    "a bit": lambda tail: tail[:5000] + bytes([tail[5000] ^ 1]) + tail[5001:],
    "a bit of the first length": lambda tail: bytes([tail[0] ^ 1]) + tail[1:],
    "a huge length": lambda tail: b"\xff" * 8 + tail[8:],
    "a bit of the commit": lambda tail: tail[:-1] + bytes([tail[-1] ^ 1]),
    "noise": lambda tail: os.urandom(len(tail)),
    "noise after the commit": lambda tail: tail + os.urandom(5000),
    "zeros after the commit": lambda tail: tail + bytes(5000),
}


@pytest.mark.parametrize("name", TEARS)
def test_a_torn_end_of_the_log_loses_nothing(crashed: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The store opens by itself with every event, once; the log as it was is kept, and the log of the process says so."""
    log = log_of(crashed)
    whole = log.read_bytes()
    start = commits(whole)[-2]
    torn = whole[:start] + TEARS[name](whole[start:])
    log.write_bytes(torn)
    if name in THROUGH_AN_OWNER:
        with EventTracking(crashed) as tracking:
            tracking.track(94, "load", email="b@example.com")
    else:
        reopen(crashed)
    assert rows(crashed, COUNT) == [(ROUNDS * EVENTS + 1,) * 2]
    copies = list(crashed.parent.glob("*.torn-*"))
    if len(torn) > start:
        assert [copy.read_bytes() for copy in copies] == [torn]
        assert any(str(copies[0]) in record.getMessage() for record in caplog.records)
    else:
        assert copies == []


def test_a_torn_log_without_a_journal_is_said_to_lack_events(crashed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody has deleted the journal: what is left is served, and nothing claims to be complete."""
    log = log_of(crashed)
    whole = log.read_bytes()
    log.write_bytes(whole[: commits(whole)[-2] + 100])
    for journal in journals_of(crashed):
        journal.unlink(missing_ok=True)
    with EventTracking(crashed):
        pass
    ((count, _),) = rows(crashed, COUNT)
    assert 0 < count < ROUNDS * EVENTS
    (told,) = [record for record in caplog.records if "torn" in record.getMessage()]
    assert (told.levelname, "there is no journal" in told.getMessage()) == ("CRITICAL", True)
    assert "as after a kill or a power loss" in told.getMessage()


@pytest.mark.parametrize(
    ("keep", "filler"),
    [(0, "zeros"), (1, "zeros"), (20, "zeros"), (39, "zeros"), (0, "nothing"), (5, "nothing"), (31, "nothing")],
)
def test_a_log_whose_beginning_never_reached_the_disk_loses_nothing(crashed: Path, keep: int, filler: str) -> None:
    """It has no commit that was synced, so it is set aside as a whole, and the journal has all events."""
    log = log_of(crashed)
    first = log.read_bytes()[: commits(log.read_bytes())[0]]
    log.write_bytes(first[:keep] + (bytes(len(first) - keep) if filler == "zeros" else b""))
    reopen(crashed)
    assert rows(crashed, COUNT) == [(ROUNDS * EVENTS + 1,) * 2]


@pytest.mark.parametrize("place", [0.2, 0.5])
def test_damage_before_other_commits_stops_the_start(crashed: Path, place: float) -> None:
    """No power loss explains it, and changes of keys or lists may follow. Nothing is changed; the advice loses no event."""
    log = log_of(crashed)
    damaged = bytearray(log.read_bytes())
    at = int(len(damaged) * place)
    damaged[at : at + 600] = os.urandom(600)
    log.write_bytes(damaged)
    before = {path.name: path.read_bytes() for path in (crashed, *logs_of(crashed)) if path.exists()}
    with pytest.raises(StoreError, match="leave the journal in place") as refused:
        EventTracking(crashed).open()
    assert f"rename only {log.name}" in str(refused.value)
    done = command("stats", "--db", str(crashed))
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert log.name.encode() in done.stderr
    assert {path.name: path.read_bytes() for path in (crashed, *logs_of(crashed)) if path.exists()} == before
    log.rename(log.with_name("aside"))
    reopen(crashed)
    assert rows(crashed, COUNT) == [(ROUNDS * EVENTS + 1,) * 2]


def test_a_torn_log_stays_as_it_was_if_the_journal_does_not_have_its_events(crashed: Path) -> None:
    """An entry of the journal is damaged, too: the store stays closed, no file has changed, and the error names the log."""
    log = log_of(crashed)
    log.write_bytes(log.read_bytes()[:200] + os.urandom(2000))
    path = max(journals_of(crashed), key=lambda path: len(path.read_bytes().rstrip(b"\0")))
    content = path.read_bytes()
    first = content.index(b"\xfeFEJ")
    path.write_bytes(content[: first + 40] + b"XXXX" + content[first + 44 :])
    before = {path.name: path.read_bytes() for path in (crashed, *logs_of(crashed)) if path.exists()}
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged, and the journal does not have") as refused:
            EventTracking(crashed).open()
        assert log.name in str(refused.value)
        assert {path.name: path.read_bytes() for path in (crashed, *logs_of(crashed)) if path.exists()} == before
    assert list(crashed.parent.glob("*.torn-*")) == []


def test_a_log_that_the_journal_cannot_replace_is_asked_for(crashed: Path) -> None:
    """The journal was begun after entries that only the log has: without the log, the store stays closed and unchanged."""
    done = subprocess.run([sys.executable, "-c", CRASH, str(crashed)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    wait_until(lambda: not is_held(crashed), "the owner lives on")
    log = log_of(crashed)
    log.rename(log.with_name("aside"))
    before = {path.name: path.read_bytes() for path in (crashed, *journals_of(crashed))}
    with pytest.raises(StoreError, match="its log is older") as refused:
        EventTracking(crashed).open()
    assert "leave the journal in place" in str(refused.value)
    assert {path.name: path.read_bytes() for path in (crashed, *journals_of(crashed))} == before
    log.with_name("aside").rename(log)
    reopen(crashed)
    assert rows(crashed, COUNT) == [(2 * ROUNDS * EVENTS + 1,) * 2]
