"""The DuckDB database: connections, migrations, statements, catalogue."""
