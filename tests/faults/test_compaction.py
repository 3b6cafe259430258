"""Compaction beside reads, events and failures: it waits or refuses, and a failed one leaves the store as it was."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from falcon_events import EventsError, EventTracking, StoreLocked, StoreUnavailable
from falcon_events.files.lockfile import FileLock
from falcon_events.files.paths import compacted_copy, log_of, spill_folder, unfinished_copy, unfinished_store
from falcon_events.model.events import NewEvent, Receipt
from falcon_events.model.reports import HEALTHY, QUEUE_FULL
from falcon_events.settings import Settings
from falcon_events.store import compaction
from falcon_events.store.engine import backlog
from falcon_events.store.queries import maintenance
from falcon_events.store.store import Store
from tests.harness import wait_until

pytestmark = pytest.mark.database


def event(number: int) -> NewEvent:
    """An event with a property name of its own."""
    return NewEvent(
        event_id=None,
        account_id="account",
        list_id=1,
        event="test",
        visitor=f"00000000-0000-4000-8000-{number:012d}",
        external_id="owner",
        email=None,
        occurred_at=1_700_000_000_000_000,
        received_at=1_700_000_000_000_000,
        properties=b'{"n%d":%d}' % (number, number),
        traits=None,
        size=100,
    )


def add(store: Store, number: int) -> None:
    """Store an event."""
    (outcome,) = store.submit([event(number)]).result(60)
    assert isinstance(outcome, Receipt), outcome


@pytest.fixture
def store(db: Path) -> Iterator[Store]:
    """An open store with an event."""
    store = Store(db, Settings())
    add(store, 1)
    assert store.stats().result(60).events == 1
    yield store
    store.close()


@contextmanager
def reading(store: Store, *, slow: bool) -> Iterator[Future[Any]]:
    """A read of the store that ends with the block."""
    began, end = threading.Event(), threading.Event()

    def read(connection: duckdb.DuckDBPyConnection) -> Any:
        connection.begin()
        connection.execute("select count(*) from events").fetchall()
        began.set()
        end.wait()
        counted = connection.execute("select count(*) from events").fetchall()
        connection.rollback()
        return counted

    writer = store._open_writer()
    future = store._readers.read(lambda: writer.connection, read, slow=slow)
    assert began.wait(60)
    try:
        yield future
    finally:
        end.set()


def names(db: Path) -> set[str]:
    """The files beside the store that hold events, other than its logs."""
    return {path.name for path in db.parent.iterdir() if path.name.startswith(f"{db.name}.")} - {
        f"{db.name}.{log}" for log in ("wal", "journal-a", "journal-b", "lock", "sock")
    }


def test_a_compaction_waits_for_a_long_read_and_holds_up_nobody_else(store: Store) -> None:
    """Events and property queries go on while it waits, the read ends undisturbed, and a later long read waits for it."""
    with reading(store, slow=True) as read:
        compacted = store.compact()
        wait_until(lambda: store._readers._lock._without_slow, "the compaction waits")
        add(store, 2)
        later = store.recount(1)
        assert store.properties(1).result(60) == {"test": ["n1", "n2"]}
        assert store.stats().result(60).events == 2
        assert not compacted.done()
        assert not later.done()
    assert read.result(60) == [(1,)]
    assert compacted.result(60).after > 0
    assert later.result(60).properties == {"test": ["n1", "n2"]}


@pytest.mark.parametrize(("slow", "limit"), [(True, "SLOW_READS_S"), (False, "SHORT_READS_S")])
def test_a_compaction_that_would_wait_too_long_is_refused(
    store: Store, db: Path, monkeypatch: pytest.MonkeyPatch, slow: bool, limit: str
) -> None:
    """It says why in one sentence; the read, events and queries go on, and no copy remains."""
    monkeypatch.setattr(compaction, limit, 0.05)
    with reading(store, slow=slow) as read:
        with pytest.raises(EventsError, match="a long read is running"):
            store.compact().result(60)
        add(store, 2)
        assert store.properties(1).result(60) == {"test": ["n1", "n2"]}
        assert not read.done()
        assert names(db) == set()
    assert read.result(60) == [(1,)]
    monkeypatch.undo()
    store.compact().result(60)
    assert store.stats().result(60).events == 2


def test_events_beyond_the_backlog_are_refused_while_a_compaction_takes_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their senders are told to try again later. What was accepted before is stored, and so is what follows."""
    monkeypatch.setattr(backlog, "MAX_BYTES", 5_000)
    monkeypatch.setattr(backlog, "ROOM_WAIT_S", 0.05)
    began, go_on, copy_to = threading.Event(), threading.Event(), compaction.copy_to

    def wait_and_copy(connection: duckdb.DuckDBPyConnection, copy: Path) -> int:
        began.set()
        go_on.wait()
        return copy_to(connection, copy)

    monkeypatch.setattr(compaction, "copy_to", wait_and_copy)
    compacted = store.compact()
    assert began.wait(60)
    outcomes = [store.submit([event(number)]).result(60)[0] for number in range(2, 100)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, StoreUnavailable)]
    assert [type(outcome) for outcome in outcomes] == [Receipt] * (len(outcomes) - len(refused)) + [StoreUnavailable] * len(
        refused
    )
    assert "no room for more events" in str(refused[-1])
    assert store.health() == QUEUE_FULL
    go_on.set()
    assert compacted.result(60).after > 0
    wait_until(lambda: store.health() == HEALTHY, "the store takes events again")
    add(store, 100)
    assert store.stats().result(60).events == 2 + len(outcomes) - len(refused)


def test_queries_and_events_wait_while_the_file_is_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets an error between the closing of the old file and the opening of the new one."""
    closed, go_on, replace = threading.Event(), threading.Event(), compaction._replace

    def wait_and_replace(path: Path, copy: Path) -> None:
        closed.set()
        go_on.wait()
        replace(path, copy)

    monkeypatch.setattr(compaction, "_replace", wait_and_replace)
    compacted = store.compact()
    assert closed.wait(60)
    properties, stats, outcomes = store.properties(1), store.stats(), store.submit([event(2)])
    assert not any(future.done() for future in (properties, stats, outcomes))
    go_on.set()
    compacted.result(60)
    assert isinstance(outcomes.result(60)[0], Receipt)
    assert "n1" in properties.result(60)["test"]
    assert stats.result(60).events >= 1


def break_copying(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy cannot be written."""
    monkeypatch.setattr(maintenance, "unfinished_copy", lambda target: target.with_name("no-such-folder") / target.name)


def break_counting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy lacks rows."""
    copy_to = compaction.copy_to

    def copy_less(connection: duckdb.DuckDBPyConnection, target: Path) -> int:
        size = copy_to(connection, target)
        connection.execute(f"attach '{target}' as less")
        connection.execute("delete from less.events")
        connection.execute("detach less")
        return size

    monkeypatch.setattr(compaction, "copy_to", copy_less)


def break_replacing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file cannot be replaced."""

    def fail(path: Path, copy: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(compaction, "_replace", fail)


def break_closing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file's log is still there when it is closed."""
    log = log_of(store.path)
    replace = compaction._replace

    def leave_log(path: Path, copy: Path) -> None:
        log.touch()
        try:
            replace(path, copy)
        finally:
            log.unlink()

    monkeypatch.setattr(compaction, "_replace", leave_log)


def break_opening(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file cannot be opened again at the first attempt."""
    opened = store._writer._connect  # type: ignore[union-attr]
    attempts = iter([True])

    def fail_once() -> duckdb.DuckDBPyConnection:
        if next(attempts, False):
            raise duckdb.IOException("IO Error: too many open files")
        return opened()

    monkeypatch.setattr(store._writer, "_connect", fail_once)


@pytest.mark.parametrize("break_", [break_copying, break_counting, break_replacing, break_closing, break_opening])
def test_a_failed_compaction_leaves_the_store_as_it_was(
    store: Store, db: Path, monkeypatch: pytest.MonkeyPatch, break_: Callable[[Store, pytest.MonkeyPatch], None]
) -> None:
    """Whatever step fails, the error is reported, every event is there, new ones are taken and no copy remains."""
    break_(store, monkeypatch)
    with pytest.raises(EventsError):
        store.compact().result(60)
    wait_until(lambda: store.health().reason is None, "the store recovers")
    add(store, 2)
    assert store.properties(1).result(60) == {"test": ["n1", "n2"]}
    assert store.stats().result(60).events == 2
    assert [name for name in names(db) if (db.parent / name).is_file()] == []


def test_what_a_killed_compaction_left_is_removed_at_the_next_opening(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Copies of events and spilled rows would outlive an erasure; files of other names stay."""
    with EventTracking(db) as tracking:
        tracking.directory.create_account("acme")
    copy = compacted_copy(db)
    left = [file for base in (copy, unfinished_copy(copy), unfinished_store(db)) for file in (base, log_of(base))]
    folders = [spill_folder(db), db.with_name(f"{db.name}.sql-1.tmp")]
    for folder in folders:
        folder.mkdir()
        left.append(folder / "duckdb_temp_storage_DEFAULT-0.tmp")
    for path in left:
        path.write_text("alice@example.com")
    kept = db.with_name("events.duckdb.compact.mine")
    kept.touch()
    with caplog.at_level(logging.WARNING), EventTracking(db) as tracking:
        assert not any(path.exists() for path in (*left, *folders))
        assert [account.name for account in tracking.directory.accounts()] == ["acme"]
    assert str(copy) in caplog.text
    assert kept.exists()


def test_a_second_owner_removes_nothing_that_the_first_one_uses(db: Path) -> None:
    """Without the lock file it gets as far as the database's own lock, and leaves copies and spilled rows alone."""
    with EventTracking(db).open():
        used = [compacted_copy(db), spill_folder(db) / "duckdb_temp_storage_DEFAULT-0.tmp"]
        spill_folder(db).mkdir(exist_ok=True)
        for path in used:
            path.write_text("in use")
        lock = FileLock(db.with_name("another"), 0)  # as if the first owner's lock file had been deleted
        with pytest.raises(StoreLocked):
            Store(db, Settings(lock_wait_s=0.1), lock=lock).open()
        lock.release()
        assert [path.read_text() for path in used] == ["in use"] * 2
    with EventTracking(db).open():
        assert not any(path.exists() for path in used)
