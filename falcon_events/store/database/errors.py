"""Which of the database's errors end it, which pass by themselves, and which are no event's doing."""

from __future__ import annotations

import duckdb

# After these every further statement fails until the database is opened anew (DuckDB calls it "invalidated").
DEADLY = (duckdb.FatalException, duckdb.InternalException)
# The disk's, the memory's or the engine's doing: a later try may succeed.
PASSING = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.FatalException)
# Of these, the ones that fewer events at once would not mend.
NOBODYS_FAULT = (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException)
