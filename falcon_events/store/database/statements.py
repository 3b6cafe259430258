"""Statements that are read by the database's parser once."""

from __future__ import annotations

import duckdb


class Statements:
    """Runs statements on one connection.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._parsed: dict[str, duckdb.Statement] = {}

    def run(self, sql: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        """Runs a statement, with its parameters by name."""
        statement = self._parsed.get(sql)
        if statement is None:
            (statement,) = self._connection.extract_statements(sql)
            self._parsed[sql] = statement
        return self._connection.execute(statement, parameters)
