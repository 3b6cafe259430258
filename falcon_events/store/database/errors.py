"""Classes of DuckDB's errors: those that need the database opened again, and those that no event causes."""

from __future__ import annotations

from falcon_events.store.database import duckdb

# After these every further statement fails until the database is opened again. DuckDB calls it "invalidated".
INVALIDATING = (duckdb.FatalException, duckdb.InternalException)
# Errors of the disk, the memory or the engine. A later try may succeed.
TRANSIENT = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.FatalException)
