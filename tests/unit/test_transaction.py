"""Transactions: they end whatever fails, and a commit without memory is told apart from one without disk space."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from falcon_events.settings import Settings
from falcon_events.store.database.connect import open_memory
from falcon_events.store.database.transaction import transaction

pytestmark = pytest.mark.database

NO_MEMORY = (
    "TransactionContext Error: Failed to commit: failed to pin block of size 880.0 KiB (121.4 MiB/122.0 MiB used)\n\n"
    "Possible solutions:\n* Increasing the memory limit (SET memory_limit='...GB')"
)
NO_SPACE = 'TransactionContext Error: Failed to commit: Could not write file "x.wal": No space left on device'


@pytest.mark.parametrize(
    ("text", "expected"), [(NO_MEMORY, duckdb.OutOfMemoryException), (NO_SPACE, duckdb.TransactionException)]
)
def test_a_failed_commit_says_what_there_was_too_little_of(text: str, expected: type[Exception]) -> None:
    """DuckDB has one error for both. Work that needs less memory is tried then, and a full disk waits for space."""
    with open_memory(Settings(threads=1)) as connection:

        class Failing:
            """A connection whose commit fails."""

            def commit(self) -> None:
                """End the transaction, as DuckDB does."""
                connection.rollback()
                raise duckdb.TransactionException(text)

            def __getattr__(self, name: str) -> Any:
                return getattr(connection, name)

        with pytest.raises(expected, match="Failed to commit"), transaction(Failing()):  # type: ignore[arg-type]
            connection.execute("create table made (number int)")
        with transaction(connection):
            connection.execute("create table made (number int)")
        assert connection.execute("select count(*) from made").fetchone() == (0,)


def test_an_error_rolls_back() -> None:
    """Also one that is not the database's; the next transaction begins anew."""
    with open_memory(Settings(threads=1)) as connection:

        def fail(error: type[BaseException]) -> None:
            with transaction(connection):
                connection.execute("create table made (number int)")
                raise error

        for error in (KeyboardInterrupt, ValueError):
            with pytest.raises(error):
                fail(error)
        assert connection.execute("select count(*) from duckdb_tables() where table_name = 'made'").fetchone() == (0,)
