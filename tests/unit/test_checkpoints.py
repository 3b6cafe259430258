"""Checkpoints where memory is scarce: one that ran out of memory would fail the whole database, so reads end first."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from falcon_events.files.paths import log_of
from falcon_events.model.events import Receipt
from falcon_events.model.reports import HEALTHY
from falcon_events.settings import Settings
from falcon_events.store.engine import checkpoints
from falcon_events.store.store import Store
from tests.harness import wait_until
from tests.unit.test_store import new_event

LITTLE = Settings(memory_limit_mb=128, queue_bytes=1 << 30)
TEXT = "x" * 1_000_000
SCARCE = 80
"""As many events of TEXT, which stay in memory until a checkpoint, take more than half of it."""


@pytest.fixture
def store(db: Path) -> Iterator[Store]:
    """An open store with little memory."""
    made = Store(db, LITTLE)
    made.open()
    yield made
    made.close()


@pytest.fixture
def held(store: Store) -> Iterator[threading.Event]:
    """A slow read is going on, until this is set."""
    began, ends = threading.Event(), threading.Event()

    def read(_: duckdb.DuckDBPyConnection) -> bool:
        began.set()
        return ends.wait(120)

    reading = store._read(read, slow=True)
    assert began.wait(60)
    yield ends
    ends.set()
    assert reading.result(60)


def watch_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times that checkpoints may wait for reads, as they begin to wait."""
    waits: list[float] = []
    without_reads = store._open_writer().checkpoints._without_reads

    def wait(wait_s: float, interrupt: bool) -> Any:
        waits.append(wait_s)
        return without_reads(wait_s, interrupt)

    monkeypatch.setattr(store._open_writer().checkpoints, "_without_reads", wait)
    return waits


def watch_limits(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The memory limits that are set for checkpoints."""
    limits: list[str] = []
    connection = store._open_writer().connection

    class Watched:
        """The connection."""

        def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
            """Note the limit that is set."""
            if statement.startswith("set memory_limit"):
                limits.append(statement.split("'")[1])
            return connection.execute(statement)

    monkeypatch.setattr(store._open_writer().checkpoints, "_connection", Watched())
    return limits


def read_limit(store: Store) -> Any:
    """The present memory limit."""
    return store.run(lambda connection: connection.execute("select current_setting('memory_limit')").fetchall()).result(60)


def send(store: Store, count: int) -> None:
    """Store events of TEXT."""
    sent = store.submit([new_event(properties={"number": number, "text": TEXT}) for number in range(count)])
    assert all(isinstance(outcome, Receipt) for outcome in sent.result(60))


def log_bytes(store: Store) -> int:
    """The size of the database's log."""
    log = log_of(store.path)
    return log.stat().st_size if log.exists() else 0


@pytest.mark.database
def test_a_checkpoint_waits_for_reads_while_memory_is_scarce(
    store: Store, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And reads that come meanwhile wait for it. Events are stored all the time."""
    monkeypatch.setattr(checkpoints, "READS_S", 60)
    waits = watch_waits(store, monkeypatch)
    send(store, SCARCE)
    wait_until(lambda: waits, "the checkpoint waits", seconds=60)
    stats = store.stats()
    send(store, 1)
    assert not stats.done()
    held.set()
    assert stats.result(60).events in (SCARCE, SCARCE + 1)
    wait_until(lambda: log_bytes(store) < SCARCE * len(TEXT), "the log is checkpointed", seconds=60)
    assert store.health() == HEALTHY


@pytest.mark.database
def test_a_checkpoint_does_not_wait_for_ever(store: Store, held: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Because it frees memory. While reads do not end, the database may use more of it for the checkpoint, and only for that."""
    monkeypatch.setattr(checkpoints, "READS_S", 0.01)
    limits = watch_limits(store, monkeypatch)
    usual = read_limit(store)
    waits = watch_waits(store, monkeypatch)
    send(store, SCARCE)
    wait_until(lambda: waits, "the checkpoint waits", seconds=60)
    wait_until(lambda: log_bytes(store) == 0, "the log is checkpointed", seconds=60)
    wait_until(lambda: limits == ["192MB", "128MB"], "the limit is restored", seconds=60)
    assert read_limit(store) == usual
    assert store.health() == HEALTHY


@pytest.mark.database
def test_events_that_fill_the_memory_many_times_are_stored(db: Path) -> None:
    """A checkpoint takes 2,048 events' properties at once, so that it may need more than the limit. It gets that in the end."""
    kept = Settings(memory_limit_mb=64, queue_bytes=1 << 30)
    store = Store(db, kept)
    for number in range(40):
        while True:  # the store may refuse events until it has opened its database again
            text = random.Random(number).randbytes(150_000).hex()
            sent = store.submit([new_event(properties={"number": number * 10 + each, "text": text}) for each in range(10)])
            if all(isinstance(outcome, Receipt) for outcome in sent.result(60)):
                break
            assert not any(isinstance(outcome, Receipt) for outcome in sent.result(60))
            time.sleep(0.1)
    store.close()
    store = Store(db, kept)
    found = store.run(lambda connection: connection.execute("select count(*), count(distinct seq) from events").fetchall())
    assert found.result(60) == [(400, 400)]
    store.close()


@pytest.mark.database
def test_a_checkpoint_waits_for_nothing_while_there_is_memory(
    store: Store, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that takes long, such as an export, holds no checkpoint up."""
    waits = watch_waits(store, monkeypatch)
    send(store, 25)  # so many that a checkpoint is due
    store._open_writer().wait_until_applied()
    wait_until(lambda: log_bytes(store) == 0, "the log is checkpointed", seconds=60)
    assert waits == []
