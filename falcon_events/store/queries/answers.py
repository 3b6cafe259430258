"""Answer a question within its limits of time and memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb

from falcon_events.errors import QueryTooLong
from falcon_events.model.reports import QueryAnswer
from falcon_events.query.answering import answer_question
from falcon_events.query.conditions_reading import Failures
from falcon_events.query.question import Asked, SavedQuestion, Saving, find_base
from falcon_events.query.segments import SEGMENT, Saved, expand_segments, names_segments
from falcon_events.query.statements import Statement
from falcon_events.store.queries import saved
from falcon_events.store.queries.answer_source import ListSource, read_extent
from falcon_events.store.queries.pattern_check import check_patterns

TOO_LONG = (
    "The question took longer than {:g} seconds (setting query_timeout_s)."
    " Ask about a shorter range, or with fewer dimensions or filters."
)
NO_MEMORY = (
    "The question needs more memory than the database may use (setting memory_limit_mb)."
    " Ask about a shorter range, or with fewer dimensions or conditions."
)
INTERRUPT_INTERVAL_S = 0.05


def answer(connection: duckdb.DuckDBPyConnection, asked: Asked, *, timeout_s: float, session_gap_s: float) -> QueryAnswer:
    """Answer a question from one state of the tables.

    Args:
        connection: a cursor of the store.
        asked: the question.
        timeout_s: how long it may take, in seconds.
        session_gap_s: the time without an event that ends a session, in seconds.

    Raises:
        QueryTooLong: it took longer, or the memory did not suffice.
    """
    with _limit_time(connection, timeout_s) as check:
        asked, failures = _expand(connection, asked)
        if failures := failures or check_patterns(connection, asked, check):
            return QueryAnswer(failures=failures)
        with _read_only(connection):
            try:
                return _answer(connection, asked, round(session_gap_s * 1e6), check)
            except (duckdb.OutOfMemoryException, MemoryError):
                raise QueryTooLong(NO_MEMORY) from None


def check_saving(connection: duckdb.DuckDBPyConnection, saving: Saving, *, timeout_s: float) -> QueryAnswer:
    """Return what only the store can refuse of a query or segment to save: unknown segments, and wrong regular expressions.

    It takes too long for the writer. The arguments, and what is raised, are those of answer().
    """
    with _limit_time(connection, timeout_s) as check:
        asked, failures = _expand_saving(connection, saving)
        return QueryAnswer(failures=failures or check_patterns(connection, asked, check))


def save_checked(connection: duckdb.DuckDBPyConnection, saving: Saving) -> QueryAnswer:
    """Save a query or segment that check_saving() accepts. The segments that it names may have changed meanwhile."""
    _, failures = _expand_saving(connection, saving)
    return QueryAnswer(failures=failures) if failures else saved.save(connection, saving)


def _answer(connection: duckdb.DuckDBPyConnection, asked: Asked, session_gap_us: int, check: Callable[[], None]) -> QueryAnswer:
    list_id = find_base(asked).list_id
    if isinstance(asked, SavedQuestion):
        return saved.answer_saved(connection, asked)
    extent = read_extent(connection, list_id)
    source = ListSource(connection, list_id)

    def run(statement: Statement) -> list[tuple[Any, ...]]:
        check()
        return source.run(statement)

    return answer_question(asked, source.make, extent, session_gap_us, run)


def _expand_saving(connection: duckdb.DuckDBPyConnection, saving: Saving) -> tuple[Asked, list[tuple[int, str]]]:
    known = saved.read_saved(connection, saving.base.list_id) if names_segments(saving) else {}
    if saving.kind == SEGMENT:
        known = {**known, saving.name: (saving.kind, saving.definition)}  # so that a segment that would name itself is found
    return _expand(connection, saving, known)


def _expand(
    connection: duckdb.DuckDBPyConnection, asked: Asked, known: Saved | None = None
) -> tuple[Asked, list[tuple[int, str]]]:
    """Put the conditions of saved segments into a question; return it with the failures of doing so."""
    failures = Failures()
    if names_segments(asked):
        given = saved.read_saved(connection, find_base(asked).list_id) if known is None else known
        within = asked.name if isinstance(asked, Saving) and asked.kind == SEGMENT else None
        asked = expand_segments(asked, given, failures, within)
    return asked, [(failure.code, failure.message) for failure in failures.found]


@contextlib.contextmanager
def _read_only(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Run all statements in one transaction, so that they see one state of the tables."""
    connection.execute("begin transaction read only")
    try:
        yield
    finally:
        with contextlib.suppress(duckdb.Error):
            connection.rollback()


@contextlib.contextmanager
def _limit_time(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[Callable[[], None]]:
    """Interrupt statements after a time. Yields a function that raises QueryTooLong between statements after that time."""
    done, expired = threading.Event(), threading.Event()
    deadline = time.monotonic() + timeout_s

    def check() -> None:
        if time.monotonic() >= deadline:
            raise QueryTooLong(TOO_LONG.format(timeout_s))

    def watch() -> None:
        if done.wait(timeout_s):
            return
        expired.set()
        while not done.is_set():  # it may be between two statements, where an interrupt is lost
            connection.interrupt()
            done.wait(INTERRUPT_INTERVAL_S)

    watcher = threading.Thread(target=watch, name="falcon-events-query-timeout", daemon=True)
    watcher.start()
    try:
        yield check
    except duckdb.InterruptException:
        if expired.is_set():
            raise QueryTooLong(TOO_LONG.format(timeout_s)) from None
        raise
    finally:
        done.set()
        watcher.join()  # so that it interrupts nothing that runs on this cursor later
