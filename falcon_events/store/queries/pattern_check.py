"""Check the regular expressions of a question before its statements use them.

The database cannot interrupt the compilation of a regular expression. RE2 bounds it, to about half a second. A question's
expressions together are held to the same bound, because a statement compiles all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from falcon_events.errors import Failure
from falcon_events.query.codes import LIMITS
from falcon_events.query.patterns import Pattern, find_excess, join_patterns, list_patterns
from falcon_events.query.question import Asked
from falcon_events.store.database import duckdb

MAX_WRONG = 5
"""After this number of wrong expressions, no more are checked."""
_TOO_LARGE = "pattern too large"
_MATCH = "select regexp_matches('', $pattern, '{}')"


def check_patterns(connection: duckdb.DuckDBPyConnection, asked: Asked, check: Callable[[], None]) -> list[Failure]:
    """Return the failures of a question's regular expressions.

    Args:
        connection: a cursor of the store.
        asked: the question, with the conditions of its saved segments.
        check: called between statements; raises QueryTooLong once there is no time left.
    """
    patterns = list_patterns(asked)
    if excess := find_excess(patterns):
        return excess
    if len(patterns) > 1 and _TOO_LARGE in (_find_fault(connection, join_patterns(patterns)) or ""):
        place = patterns[-1].place
        return [
            Failure(LIMITS, f"{place}: the question's regular expressions are too large together. Give fewer or simpler ones.")
        ]
    return _find_wrong(connection, patterns, check)


def _find_wrong(connection: duckdb.DuckDBPyConnection, patterns: Sequence[Pattern], check: Callable[[], None]) -> list[Failure]:
    wrong: list[Failure] = []
    faults: dict[tuple[str, bool], str | None] = {}
    for code, place, text, case_sensitive in patterns:
        known = text, case_sensitive
        if known not in faults:
            check()
            faults[known] = _find_fault(connection, text, case_sensitive=case_sensitive)
        if (fault := faults[known]) is not None:
            wrong.append(Failure(code, f"{place}: {text[:60]!r} is no regular expression (RE2): {fault}"))
            if len(wrong) == MAX_WRONG:
                break
    return wrong


def _find_fault(connection: duckdb.DuckDBPyConnection, pattern: str, *, case_sensitive: bool = True) -> str | None:
    """Compile a regular expression, and say what is wrong with it."""
    try:
        connection.execute(_MATCH.format("c" if case_sensitive else "i"), {"pattern": pattern}).fetchall()
    except duckdb.InvalidInputException as error:
        return str(error).splitlines()[0].removeprefix("Invalid Input Error: ")[:200]
    return None
