"""The store: events in a DuckDB file. The only package that imports duckdb; it knows nothing of HTTP."""
