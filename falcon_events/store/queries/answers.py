"""Answer a question within its limits of time and memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb

from falcon_events.errors import Failure, QueryTooLong, StoreUnavailable
from falcon_events.model.reports import QueryAnswer
from falcon_events.query.answering import answer_question, find_unanswerable, list_patterns
from falcon_events.query.question import AnyQuestion
from falcon_events.query.statements import Statement
from falcon_events.store.queries.answer_source import make_source, read_extent

TOO_LONG = (
    "The question took longer than {:g} seconds (setting query_timeout_s)."
    " Ask about a shorter range, or with fewer dimensions or filters."
)
NO_MEMORY = (
    "The question needs more memory than the database may use (setting memory_limit_mb)."
    " Ask about a shorter range, or with fewer dimensions."
)
CODES = {"Filters": 8, "People": 12}
OF_STEPS = 11
"""The code of Steps, Start and Return."""
INTERRUPT_INTERVAL_S = 0.05


def answer(
    connection: duckdb.DuckDBPyConnection, question: AnyQuestion, *, timeout_s: float, session_gap_s: float
) -> QueryAnswer:
    """Answer a question from one state of the tables.

    Args:
        connection: a cursor of the store.
        question: the question.
        timeout_s: how long it may take, in seconds.
        session_gap_s: the time without an event that ends a session, in seconds.

    Raises:
        QueryTooLong: it took longer.
        StoreUnavailable: the memory did not suffice.
    """
    if failures := find_unanswerable(question) or _check_patterns(connection, question):
        return QueryAnswer(failures=[(failure.code, failure.message) for failure in failures])
    with _limit_time(connection, timeout_s) as check, _read_only(connection):

        def run(statement: Statement) -> list[tuple[Any, ...]]:
            check()
            return connection.execute(statement.sql, statement.parameters).fetchall()

        try:
            extent = read_extent(connection, question.list_id)
            return answer_question(question, make_source(question.list_id), extent, round(session_gap_s * 1e6), run)
        except (duckdb.OutOfMemoryException, MemoryError):
            raise StoreUnavailable(NO_MEMORY) from None


def _check_patterns(connection: duckdb.DuckDBPyConnection, question: AnyQuestion) -> list[Failure]:
    """Return a failure for each regular expression that the database does not accept."""
    failures = []
    for condition, pattern in list_patterns(question):
        try:
            connection.execute("select regexp_matches('', $pattern)", {"pattern": pattern}).fetchall()
        except duckdb.InvalidInputException as error:
            code = CODES.get(condition.place.partition("[")[0], OF_STEPS)
            reason = str(error).splitlines()[0].removeprefix("Invalid Input Error: ")[:200]
            failures.append(Failure(code, f"{condition.place}: {pattern[:60]!r} is no regular expression (RE2): {reason}"))
    return failures


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
