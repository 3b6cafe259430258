"""Readers: a read that is interrupted, wherever it is, leaves nothing behind for the next one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from falcon_events.errors import EventsError
from falcon_events.store.engine.question_queue import Waited
from falcon_events.store.engine.readers import Readers

WAITED = Waited(list_id=1, wait_s=60)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with one table."""
    with contextlib.closing(duckdb.connect(tmp_path / "some.duckdb")) as made:
        made.execute("create table numbers as select range as number from range(1000)")
        yield made


@contextlib.contextmanager
def interrupted(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupts the cursor all the time."""
    ends = threading.Event()

    def interrupt() -> None:
        while not ends.is_set():
            cursor.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def roll_back_in_vain(cursor: duckdb.DuckDBPyConnection) -> None:
    """A read whose rollback is interrupted so early that its transaction stays open, which happens at one of a few tries."""
    while True:
        cursor.begin()
        try:
            with interrupted(cursor):
                cursor.rollback()
        except duckdb.InterruptException:
            with contextlib.suppress(duckdb.TransactionException):
                cursor.execute("select 1").fetchall()
                continue
            raise


def count(cursor: duckdb.DuckDBPyConnection) -> int:
    """A read in a transaction of its own."""
    cursor.begin()
    ((found,),) = cursor.execute("select count(*) from numbers").fetchall()
    cursor.rollback()
    return int(found)


@pytest.mark.database
@pytest.mark.parametrize("kind", ["question", "read"])
def test_a_read_whose_rollback_was_interrupted_leaves_no_transaction(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    """The next one of the same thread is answered, from the present state, and what it changes can be stored."""
    readers = Readers(query_slots=1)

    def read(what: Any) -> Any:
        if kind == "question":
            return readers.query(lambda: connection, what, before=lambda: None, waits=WAITED).result(60)
        return readers.read(lambda: connection, what, for_webhooks=True).result(60)  # these, too, have one thread

    try:
        with pytest.raises(EventsError, match="was ended"):
            read(roll_back_in_vain)
        connection.execute("delete from numbers where number < 10")
        connection.execute("checkpoint")
        assert read(count) == 990
    finally:
        readers.close()
