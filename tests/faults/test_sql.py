"""Queries that are too large, too long, deserted or deadly: each ends alone, and the store goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from falcon_events import EventsError, EventTracking, StoreUnavailable
from falcon_events.files.lockfile import find
from falcon_events.files.paths import log_of
from falcon_events.link.calls import MAX_OWNERS, PendingCalls
from falcon_events.model.operations import PROPERTIES, RECOUNT, SQL
from falcon_events.settings import Settings
from falcon_events.store.store import Store
from tests.harness import is_held, owner_of, wait_until
from tests.shortcuts import make_store

ENDLESS = "select count(*) from range(3000000000000) as a(i) where hash(i) % 7 = 1"
VISITOR = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def db(db: Path) -> Path:
    """A store with a list."""
    make_store(db)
    return db


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A tracker whose queries are limited to little."""
    db = tmp_path_factory.mktemp("limited") / "events.duckdb"
    make_store(db)
    with EventTracking(db, sql_rows=10, sql_bytes=1000, sql_memory_mb=64) as tracking:
        yield tracking


def readers_of(owner: int) -> list[int]:
    """The processes that run queries for an owner."""
    children = Path(f"/proc/{owner}/task").glob("*/children")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread or a process that has just ended
        found = [int(pid) for path in children for pid in path.read_text().split()]
        return [pid for pid in found if b"sql_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return []


def ended(pid: int) -> bool:
    """Whether a process has ended."""
    return not Path(f"/proc/{pid}").exists()


def start_reader(tracking: EventTracking, pool: ThreadPoolExecutor) -> tuple[Future[object], int]:
    """Ask an endless query, and return its future and its process once it reads the file."""
    asked: Future[object] = pool.submit(tracking.sql, ENDLESS)
    owner = tracking.owner().pid

    def reading() -> bool:
        pids = readers_of(owner)
        try:
            return bool(pids) and any(link.readlink() == tracking.store.path for link in Path(f"/proc/{pids[0]}/fd").iterdir())
        except FileNotFoundError:  # a file was closed meanwhile
            return False

    wait_until(reading, "the query runs")
    return asked, readers_of(owner)[0]


@pytest.mark.database
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select i from range(11) as r(i)", "sql_rows"),
        ("select repeat('x', 1000)", "sql_bytes"),
        ("select repeat('x', 3000000000)", "sql_memory_mb"),
        ("select range(1000000000)", "sql_memory_mb"),
        ("select list(i) from range(1000000000) as r(i)", "sql_memory_mb"),
    ],
)
def test_a_query_beyond_a_limit_is_ended_and_the_store_goes_on(limited: EventTracking, query: str, reason: str) -> None:
    """The error names the setting; the owner is the same process, and takes events and queries."""
    assert_ended_alone(limited, query, reason)


@pytest.mark.database
def test_a_query_beyond_its_time_is_ended_and_the_store_goes_on(db: Path) -> None:
    """As one beyond another limit is."""
    with EventTracking(db, sql_time_s=0.5) as tracking:
        assert_ended_alone(tracking, ENDLESS, "sql_time_s")


def assert_ended_alone(tracking: EventTracking, query: str, reason: str) -> None:
    """The query is ended for this reason, and nothing else is."""
    owner = tracking.owner().pid
    with pytest.raises(EventsError, match=reason):
        tracking.sql(query)
    before = tracking.stats().events
    assert tracking.track(94, "test", uuid=VISITOR).event_id
    assert tracking.sql("select count(*) from events").rows == [[before + 1]]
    assert tracking.owner().pid == owner
    assert not [path for path in tracking.store.path.parent.iterdir() if ".sql-" in path.name]


def test_a_result_within_the_limits_is_returned_whole(limited: EventTracking) -> None:
    """Each limit is the largest value that is allowed."""
    assert limited.sql("select i from range(10) as r(i)").rows == [[number] for number in range(10)]


@pytest.mark.database
def test_queries_read_while_events_are_stored_and_checkpoints_wait(db: Path) -> None:
    """A query sees what was stored before it. Once the log has grown too far, the next one waits for a checkpoint's turn."""
    with EventTracking(db, checkpoint_wal_mb=1) as tracking, ThreadPoolExecutor() as pool:
        asked, reader = start_reader(tracking, pool)
        for number in range(3):
            tracking.track(94, "small", uuid=VISITOR)
            assert tracking.sql("select count(*) from events").rows == [[number + 1]]
        for _ in range(4):
            tracking.track(94, "large", uuid=VISITOR, properties={"text": os.urandom(300_000).hex()})
        assert tracking.stats().events == 7
        assert log_of(db).stat().st_size > 1 << 20
        with pytest.raises(EventsError, match="log has to be saved first"):
            tracking.sql("select 1")
        os.kill(reader, signal.SIGKILL)
        with pytest.raises(EventsError):
            asked.result(60)
        assert tracking.sql("select count(*) from events").rows == [[7]]
        tracking.track(94, "small", uuid=VISITOR)
        assert tracking.stats().events == 8
        wait_until(lambda: not log_of(db).exists() or log_of(db).stat().st_size < 1 << 20, "the log is checkpointed")
        assert not tracking.recount(94).differs


@pytest.mark.database
def test_another_program_cannot_write_the_file_while_a_query_reads(db: Path) -> None:
    """DuckDB's lock is shared with the query's process only for reading."""
    writing = [sys.executable, "-c", f"import duckdb; duckdb.connect({str(db)!r}).execute('create table mine(i int)')"]
    with EventTracking(db) as tracking, ThreadPoolExecutor() as pool:
        _, reader = start_reader(tracking, pool)
        assert b"Could not set lock" in subprocess.run(writing, capture_output=True, check=False).stderr
        os.kill(reader, signal.SIGKILL)
        wait_until(lambda: ended(reader), "the query ends")
        assert b"Could not set lock" in subprocess.run(writing, capture_output=True, check=False).stderr


def test_a_query_ends_with_its_asker(db: Path) -> None:
    """Ctrl-C ends the command at once and the query with it; so does a killed command; then the store is free."""
    for sign, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        command = [sys.executable, "-m", "falcon_events", "sql", ENDLESS, "--db", str(db)]
        asker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: (held := find(db)) is not None and bool(readers_of(held.pid)), "the query runs")
        (reader,) = readers_of(owner_of(db))
        asker.send_signal(sign)
        assert asker.wait(60) == code
        wait_until(lambda pid=reader: ended(pid), "the query ends")  # type: ignore[misc]
        wait_until(lambda: not is_held(db), "the owner ends")


def test_a_thread_that_waits_no_longer_ends_its_query_alone(db: Path) -> None:
    """The process goes on with its other calls over the same connection."""
    with EventTracking(db) as tracking, ThreadPoolExecutor() as pool:
        future = tracking.store.ask(SQL, ENDLESS)
        owner = tracking.owner().pid
        wait_until(lambda: bool(readers_of(owner)), "the query runs")
        (reader,) = readers_of(owner)
        tracking.store.drop(future)
        wait_until(lambda: ended(reader), "the query ends")
        assert pool.submit(tracking.sql, "select 1").result(60).rows == [[1]]


def test_a_query_is_not_repeated_to_the_next_owner(db: Path) -> None:
    """It may be what the owner died of: the asker gets an error, its process ends, and the next owner has nothing to do."""
    with EventTracking(db) as tracking, ThreadPoolExecutor() as pool:
        asked, reader = start_reader(tracking, pool)
        os.kill(tracking.owner().pid, signal.SIGKILL)
        with pytest.raises(StoreUnavailable, match="not sent to the next one"):
            asked.result(60)
        wait_until(lambda: ended(reader), "the query ends")
        assert tracking.track(94, "test", email="a@example.com").event_id
        assert readers_of(tracking.owner().pid) == []


def test_a_slow_read_is_sent_to_few_owners_only() -> None:
    """Owners that die of one operation again and again must not do so for ever; urgent calls have their time limit."""
    calls = PendingCalls()
    slow, urgent = calls.add(RECOUNT, [1], 10.0), calls.add(PROPERTIES, [1], 10.0)
    for _ in range(MAX_OWNERS - 1):
        assert calls.take_unrepeatable(10.0) == []
        assert calls.frames() == [slow.frame, urgent.frame]
    ((lost, reason),) = calls.take_unrepeatable(10.0)
    assert lost is slow
    assert f"{MAX_OWNERS} times" in reason
    assert calls.frames() == [urgent.frame]


@pytest.mark.database
@pytest.mark.parametrize("end", ["abandon", "close"])
def test_a_slow_read_in_the_owner_ends_with_its_asker_and_with_the_store(db: Path, end: str) -> None:
    """As a query does: an export or a check that nobody waits for does not hold anything up."""
    store = Store(db, Settings())
    store.open()
    began = threading.Event()

    def read(connection: duckdb.DuckDBPyConnection) -> object:
        began.set()
        return connection.execute(ENDLESS).fetchall()

    future = store._read(read, slow=True)
    assert began.wait(60)
    if end == "abandon":
        store.abandon(future)
        with pytest.raises(EventsError, match="was ended"):
            future.result(60)
        assert store.recount(1).result(60).properties == {}
    store.close()
    with pytest.raises(EventsError, match="was ended"):
        future.result(60)
