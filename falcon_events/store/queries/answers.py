"""Answer a question within its limits of time and memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from falcon_events.errors import Failure, QueryTooLong
from falcon_events.model.reports import QueryAnswer
from falcon_events.query.answering import answer_question
from falcon_events.query.conditions_reading import Failures
from falcon_events.query.question import Asked, SavedQuestion, Saving, find_base
from falcon_events.query.segments import SEGMENT, expand_segments, names_segments
from falcon_events.query.statements import Statement
from falcon_events.store.database import duckdb
from falcon_events.store.engine.open_read import OpenRead
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
    with _keep_limits(connection, timeout_s) as check:
        asked, failures = _expand(connection, asked)
        if failures := failures or check_patterns(connection, asked, check):
            return QueryAnswer(failures=failures)
        with _read_only(connection):
            return _answer(connection, asked, round(session_gap_s * 1e6), check)


def check_saving(connection: duckdb.DuckDBPyConnection, saving: Saving, *, timeout_s: float) -> QueryAnswer:
    """Return what only the store can refuse of a query or segment to save: unknown segments, and wrong regular expressions.

    It takes too long for the writer. The arguments, and what is raised, are those of answer().
    """
    with _keep_limits(connection, timeout_s) as check:
        asked, failures = _expand(connection, saving)
        return QueryAnswer(failures=failures or check_patterns(connection, asked, check))


def save_checked(connection: duckdb.DuckDBPyConnection, saving: Saving) -> QueryAnswer:
    """Save a query or segment that check_saving() accepts. The segments that it names may have changed meanwhile."""
    _, failures = _expand(connection, saving)
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


def _expand(connection: duckdb.DuckDBPyConnection, asked: Asked) -> tuple[Asked, list[Failure]]:
    """Put the conditions of saved segments into a question; return it with the failures of doing so."""
    if not names_segments(asked):
        return asked, []
    failures, within = Failures(), None
    known = saved.read_saved(connection, find_base(asked).list_id)
    if isinstance(asked, Saving) and asked.kind == SEGMENT:  # so that a segment that would name itself is found
        known = {**known, asked.name: (asked.kind, asked.definition)}
        within = asked.name
    return expand_segments(asked, known, failures, within), failures.found


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
def _keep_limits(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[Callable[[], None]]:
    """Raise QueryTooLong if the memory runs out, or statements have taken longer than `timeout_s` seconds, which interrupts them.

    Yields a function that raises it between statements after that time.
    """
    statements, expired = OpenRead(slow=True), threading.Event()
    deadline = time.monotonic() + timeout_s

    def check() -> None:
        if time.monotonic() >= deadline:
            raise QueryTooLong(TOO_LONG.format(timeout_s))

    def watch() -> None:
        if not statements.done.wait(timeout_s):
            expired.set()
            statements.interrupt_until_done()

    watcher = threading.Thread(target=watch, name="falcon-events-query-timeout", daemon=True)
    watcher.start()
    try:
        with statements.running(connection.interrupt):
            yield check
    except duckdb.InterruptException:
        if expired.is_set():
            raise QueryTooLong(TOO_LONG.format(timeout_s)) from None
        raise
    except (duckdb.OutOfMemoryException, MemoryError):
        raise QueryTooLong(NO_MEMORY) from None
    finally:
        statements.done.set()
        watcher.join()  # so that it interrupts nothing that runs on this cursor later
