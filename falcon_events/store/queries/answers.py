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
from falcon_events.query.answering import answer_question, list_patterns
from falcon_events.query.conditions_reading import Failures
from falcon_events.query.question import Asked, Forgetting, SavedQuestion, Saving, find_base
from falcon_events.query.segments import SEGMENT, Saved, expand_segments, names_segments
from falcon_events.query.statements import Statement
from falcon_events.store.queries import saved
from falcon_events.store.queries.answer_source import ListSource, read_extent

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
    asked, failures = _complete(connection, asked)
    if failures:
        return QueryAnswer(failures=failures)
    with _limit_time(connection, timeout_s) as check, _read_only(connection):
        try:
            return _answer(connection, asked, round(session_gap_s * 1e6), check)
        except (duckdb.OutOfMemoryException, MemoryError):
            raise QueryTooLong(NO_MEMORY) from None


def change_saved(connection: duckdb.DuckDBPyConnection, asked: Saving | Forgetting) -> QueryAnswer:
    """Save or forget a query or segment. What is saved can be used: its segments exist, and its regular expressions are right."""
    if isinstance(asked, Forgetting):
        return saved.forget(connection, asked)
    known = saved.read_saved(connection, asked.base.list_id)
    if asked.kind == SEGMENT:
        known = {**known, asked.name: (asked.kind, asked.definition)}  # so that a segment that would name itself is found
    _, failures = _complete(connection, asked, known)
    return QueryAnswer(failures=failures) if failures else saved.save(connection, asked)


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


def _complete(
    connection: duckdb.DuckDBPyConnection, asked: Asked, known: Saved | None = None
) -> tuple[Asked, list[tuple[int, str]]]:
    """Put the conditions of saved segments into a question; return it with what only the store can refuse."""
    failures = Failures()
    if names_segments(asked):
        given = saved.read_saved(connection, find_base(asked).list_id) if known is None else known
        within = asked.name if isinstance(asked, Saving) and asked.kind == SEGMENT else None
        asked = expand_segments(asked, given, failures, within)
    for code, place, pattern in list_patterns(asked) if not failures.found else ():
        try:
            connection.execute("select regexp_matches('', $pattern)", {"pattern": pattern}).fetchall()
        except duckdb.InvalidInputException as error:
            reason = str(error).splitlines()[0].removeprefix("Invalid Input Error: ")[:200]
            failures.add(code, f"{place}: {pattern[:60]!r} is no regular expression (RE2): {reason}")
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
