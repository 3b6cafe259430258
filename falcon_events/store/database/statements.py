"""Prepared statements: SQL that DuckDB parses once."""

from __future__ import annotations

from falcon_events.store.database import duckdb


class Statements:
    """Statements of one connection, parsed on first use.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._parsed: dict[str, duckdb.Statement] = {}

    def run(self, sql: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        """Run a statement with named parameters."""
        statement = self._parsed.get(sql)
        if statement is None:
            (statement,) = self._connection.extract_statements(sql)
            self._parsed[sql] = statement
        return self._connection.execute(statement, parameters)
