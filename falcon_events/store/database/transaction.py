"""A transaction of the database, which is committed at its end and rolled back after an error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from falcon_events.store.database import duckdb

_ADVICE = "memory_limit"
"""The setting that DuckDB advises to change in each error that is about memory."""


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Run statements in one transaction.

    Raises:
        duckdb.OutOfMemoryException: the memory does not suffice, also at the commit, for which DuckDB has another error.
        duckdb.Error: a statement or the commit failed.
    """
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException as error:
        with contextlib.suppress(duckdb.Error):  # a failed commit has ended the transaction already
            connection.rollback()
        if isinstance(error, duckdb.TransactionException) and _ADVICE in str(error):
            raise duckdb.OutOfMemoryException(str(error)) from error
        raise
