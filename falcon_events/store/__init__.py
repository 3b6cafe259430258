"""The store: events in a DuckDB file. Only this package imports duckdb; nothing in it concerns HTTP."""
