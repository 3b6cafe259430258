"""Hand-written Falcon endpoints that store each event with one statement, in several databases or nowhere."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import falcon
import falcon.asgi
import msgspec

from falcon_events.server.serve import prepare_worker

DSN = "BENCHMARK_DSN"
POOL = 20
"""Connections to PostgreSQL; on a machine with few cores, more of them would only wait for each other."""

TABLE = """
create table if not exists events (
    event_id {uuid} primary key, list_id bigint not null, event {text} not null, visitor {uuid} not null,
    external_id {text} not null, email {text}, received_at double precision not null, properties {json} not null
)
"""
Row = tuple[str, int, str, str, str, str | None, float, str]


class Body(msgspec.Struct):
    """Parameters that such an endpoint reads from a request, in the spellings that the workload uses."""

    ListID: int
    event: str
    properties: msgspec.Raw
    id: str | None = None
    email: str | None = None
    UUID: str | None = None


class Answer(msgspec.Struct):
    """The documented answer."""

    status: str
    uuid: str
    external_id: str
    identify_event_sent: bool


class Rival(Protocol):
    """A place that stores rows."""

    async def start(self) -> None:
        """Create the table."""

    async def insert(self, row: Row) -> None:
        """Store a row, and return once it is on the disk."""

    async def count(self) -> int:
        """Return the number of rows."""


class Nowhere:
    """A place that keeps nothing."""

    async def start(self) -> None:
        """Do nothing."""

    async def insert(self, row: Row) -> None:
        """Do nothing."""

    async def count(self) -> int:
        """Return 0."""
        return 0


class InPostgreSQL:
    """PostgreSQL with psycopg's pool, JSONB and one insert per event; synchronous_commit is on in the server."""

    TABLE = TABLE.format(uuid="uuid", text="text", json="jsonb")
    INSERT = "insert into events values (%s, %s, %s, %s, %s, %s, %s, %s)"

    async def start(self) -> None:
        """Open the pool and create the table."""
        from psycopg_pool import AsyncConnectionPool

        self._pool = AsyncConnectionPool(os.environ[DSN], min_size=POOL, max_size=POOL, open=False, kwargs={"autocommit": True})
        await self._pool.open()
        await self._pool.wait()
        async with self._pool.connection() as connection:
            await connection.execute(self.TABLE)

    async def insert(self, row: Row) -> None:
        """Store a row with one statement in one transaction."""
        async with self._pool.connection() as connection:
            await connection.execute(self.INSERT, row, prepare=True)

    async def count(self) -> int:
        """Return the number of rows."""
        async with self._pool.connection() as connection:
            ((count,),) = await (await connection.execute("select count(*) from events")).fetchall()
        return int(count)


class _OneConnection(ABC):
    """A database in this process; only one thread at a time uses its connection."""

    INSERT = "insert into events values (?, ?, ?, ?, ?, ?, ?, ?)"

    def __init__(self, db: Path) -> None:
        self._db = str(db)
        self._lock = threading.Lock()
        self._connection: Any = None

    @abstractmethod
    def connect(self) -> Any:
        """Create the table, and return a connection that commits each statement."""

    async def start(self) -> None:
        """Connect to the database."""
        self._connection = await asyncio.to_thread(self.connect)

    async def insert(self, row: Row) -> None:
        """Store a row with one statement in one transaction."""
        await asyncio.to_thread(self._run, self.INSERT, row)

    async def count(self) -> int:
        """Return the number of rows."""
        ((count,),) = await asyncio.to_thread(self._run, "select count(*) from events", ())
        return int(count)

    def _run(self, sql: str, row: tuple[Any, ...]) -> Any:
        with self._lock:
            return self._connection.execute(sql, row).fetchall()


class InDuckDB(_OneConnection):
    """DuckDB, one insert per event."""

    def connect(self) -> Any:
        """Open a file beside the benchmark's stores."""
        import duckdb

        connection = duckdb.connect(self._db + ".rival")
        connection.execute(TABLE.format(uuid="uuid", text="varchar", json="json"))
        return connection


class InSQLite(_OneConnection):
    """SQLite in WAL mode with synchronous=FULL, one insert per event."""

    def connect(self) -> Any:
        """Open a file beside the benchmark's stores."""
        connection = sqlite3.connect(self._db + ".sqlite", isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute(TABLE.format(uuid="text", text="text", json="text"))
        return connection


RIVALS: dict[str, Callable[[Path], Rival]] = {
    "bare": lambda db: Nowhere(),
    "postgresql": lambda db: InPostgreSQL(),
    "duckdb": InDuckDB,
    "sqlite": InSQLite,
}
"""The place that stores the events, by the name of the contender."""


class Endpoint:
    """Resource for POST /api/v1/event."""

    def __init__(self, rival: Rival) -> None:
        self._rival = rival
        self._decode = msgspec.json.Decoder(Body).decode
        self._encode = msgspec.json.Encoder().encode

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        """Open the database in the process that serves."""
        await self._rival.start()

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Read the event, store it, and answer."""
        body = self._decode(await req.stream.read())
        visitor, external_id = body.UUID or str(uuid.uuid4()), body.id or str(uuid.uuid4())
        properties = bytes(body.properties).decode()
        row = (str(uuid.uuid4()), body.ListID, body.event, visitor, external_id, body.email, time.time(), properties)
        await self._rival.insert(row)
        resp.data = self._encode(Answer("success", visitor, external_id, False))
        resp.content_type = "application/json"


class Count:
    """Resource for GET /count, the number of stored events."""

    def __init__(self, rival: Rival) -> None:
        self._rival = rival

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Return the number."""
        resp.text = json.dumps(await self._rival.count())


class Health:
    """Resource for GET /healthz."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer with an empty object."""
        resp.text = "{}"


def load_rival(kind: str, db: str) -> Any:
    """Make the application, in the process that serves it."""
    prepare_worker()
    rival = RIVALS[kind](Path(db))
    endpoint = Endpoint(rival)
    app = falcon.asgi.App(middleware=[endpoint])
    app.add_route("/api/v1/event", endpoint)
    app.add_route("/count", Count(rival))
    app.add_route("/healthz", Health())
    return app
