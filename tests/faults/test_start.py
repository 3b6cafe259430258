"""Starting after a crash: a large log is taken in and that is told; what is damaged stops with a way out, and stays as it is."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from falcon_events import EventTracking, StoreLocked
from falcon_events.files.paths import log_of, logs_of
from tests.harness import is_held, owner_of, plain, rows, serving, wait_until
from tests.shortcuts import command, make_store

ROOT = Path(__file__).parents[2]
EVENTS = 60
UNTOUCHED_BYTES = 1 << 20
"""A file that no checkpoint has written to is smaller, and one that holds the tables of an empty store is larger."""


CRASH = """
import os, sys
from pathlib import Path
from falcon_events import EventTracking
from falcon_events.files.lockfile import holder
from tests.harness import fill_store

db, events, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
tracking = EventTracking(db).open()
fill_store(tracking)
for number in range(events):
    tracking.track(94, "load", email="a@example.com", properties={"n": number, "text": os.urandom(size).hex()})
with tracking.store._lock:  # no new owner comes for this process
    os.kill(holder(db), 9)
    os.kill(os.getpid(), 9)
"""


def crash(db: Path, events: int, size: int) -> None:
    """Make a store whose owner and only user die together; its log has these events, of twice this many bytes each.

    An owner that was idle for a moment has taken the log into the file, or begun to: then it is all done once more.
    """
    while not (log := log_of(db)).exists() or log.stat().st_size < events * size or db.stat().st_size > UNTOUCHED_BYTES:
        for path in (db, *logs_of(db)):
            path.unlink(missing_ok=True)
        done = subprocess.run([sys.executable, "-c", CRASH, str(db), str(events), str(size)], cwd=ROOT, check=False)
        assert done.returncode == -9
        wait_until(lambda: not is_held(db), "the owner lives on")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a crashed store with a large log."""
    folder = tmp_path_factory.mktemp("large")
    crash(folder / "events.duckdb", EVENTS, 100_000)
    return folder


@pytest.fixture
def crashed(large: Path, db: Path) -> Path:
    """A copy of the store of `large`, with its log."""
    for path in large.iterdir():
        if path.is_file():
            shutil.copy(path, db.with_name(path.name))
    return db


@pytest.mark.database
def test_a_large_log_is_taken_in_and_told(crashed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The opening says how large the log is; everything is there."""
    with caplog.at_level(logging.INFO, "falcon_events"), EventTracking(crashed) as tracking:
        assert tracking.stats().events == EVENTS + 1
    assert rows(crashed, "select count(*) from events where event = 'load'") == [(EVENTS,)]
    assert any("replaying its log of" in record.getMessage() for record in caplog.records)


@pytest.mark.database
def test_a_damaged_file_stops_the_start_and_nothing_is_deleted(db: Path) -> None:
    """A file that was cut off, or overwritten at its start, is told with the way out."""
    make_store(db)
    whole = db.read_bytes()
    for damaged in (whole[: len(whole) // 2], os.urandom(20_000) + whole[20_000:], b""):
        db.write_bytes(damaged)
        done = command("stats", "--db", str(db))
        assert done.returncode == 2, done.stdout
        assert done.stderr.count(b"\n") == 1
        assert str(db).encode() in done.stderr
        assert db.read_bytes() == damaged


def test_a_mounted_tracker_whose_file_is_damaged_does_not_loop(db: Path) -> None:
    """Each request gets a 503 at once, and the log says why; with the backup in place it goes on."""
    credentials = make_store(db)
    whole = db.read_bytes()
    with serving(db) as served:
        os.kill(owner_of(db), 9)
        wait_until(lambda: served.client.get("/healthz").status_code == 200, "no new owner", served)
        db.write_bytes(whole[:4096])
        os.kill(owner_of(db), 9)
        wait_until(lambda: served.client.get("/healthz").status_code == 503, "it opens a damaged file", served)
        assert served.client.track(**credentials.event()).status_code == 503
        db.write_bytes(whole)
        wait_until(lambda: served.client.track(**credentials.event()).status_code == 200, "it does not resume", served)
        assert served.stop() == 0
        assert served.log().count("The event store has failed") < 10


def test_many_processes_that_start_at_once_share_one_owner(db: Path) -> None:
    """However many trackers open a store in one moment, one process holds it, and a missing file is made once."""
    trackings = [EventTracking(db) for _ in range(12)]
    threads = [threading.Thread(target=tracking.open) for tracking in trackings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tracking.owner().pid for tracking in trackings}) == 1
    for tracking in trackings:
        tracking.close()
    assert not is_held(db)


@pytest.mark.database
def test_a_file_that_another_program_holds_is_told(db: Path) -> None:
    """A DuckDB shell on the file: the error names its process, and nothing waits for ever."""
    make_store(db)
    with plain(db), pytest.raises(StoreLocked) as locked:
        EventTracking(db, lock_wait_s=0.2).open()
    assert locked.value.pid == os.getpid()


def test_a_dead_owners_socket_and_lock_are_no_obstacle(db: Path) -> None:
    """What a killed owner left is taken over by the next one."""
    crash(db, 1, 10)
    assert db.with_name(db.name + ".sock").exists()
    assert db.with_name(db.name + ".lock").exists()
    with EventTracking(db) as tracking:
        assert tracking.track(94, "load", email="a@example.com").event_id
