"""Migrates a file to the current schema, by the numbered steps of migration_steps.py."""

from __future__ import annotations

import logging
import uuid

from falcon_events.errors import StoreError
from falcon_events.store.database import duckdb
from falcon_events.store.database.migration_steps import MIGRATIONS, SCHEMA_VERSION

logger = logging.getLogger(__name__)

STORE_TABLES = "select null from events, event_properties limit 0"
"""Fails in a database of another program. DuckDB takes ten times as long to list the tables."""


def migrate(connection: duckdb.DuckDBPyConnection, path: str, *, is_new: bool) -> None:
    """Migrate the file to the current schema, all steps in one transaction.

    Args:
        connection: a connection to the file.
        path: the file's path.
        is_new: whether the file is being created, so that it is known to be empty.

    Raises:
        StoreError: the file is from a newer release, or is a database of another program.
    """
    version = 0 if is_new else _read_version(connection, path)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}, and this release supports up to {SCHEMA_VERSION}. Upgrade falcon-events."
        )
    if version == SCHEMA_VERSION:
        return
    if version:
        logger.info("Migrating %s from schema version %d to %d", path, version, SCHEMA_VERSION)
    connection.begin()
    try:
        for step in MIGRATIONS[version:]:
            connection.execute(step.replace("{namespace}", str(uuid.uuid4())))
        connection.execute("update meta set schema_version = ?", [SCHEMA_VERSION])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _read_version(connection: duckdb.DuckDBPyConnection, path: str) -> int:
    try:
        connection.execute(STORE_TABLES)
        row = connection.execute("select schema_version from meta").fetchone()
    except duckdb.CatalogException:
        if connection.execute("select 1 from duckdb_tables() limit 1").fetchall():
            raise StoreError(
                f"{path} is a DuckDB database of another program, not of falcon-events. Give another path."
            ) from None
        return 0
    if row is None:
        raise StoreError(f"{path} is damaged: its table meta is empty. Restore it from a backup.")
    return int(row[0])
