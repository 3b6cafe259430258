"""EventTracking: puts the parts together; the Python API; open and close."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Access
from falcon_events.contract.answers import Tracked
from falcon_events.contract.body import unreadable
from falcon_events.errors import RequestRefused
from falcon_events.link.link import Link
from falcon_events.link.process import mind
from falcon_events.many import store_many
from falcon_events.metrics import exposition
from falcon_events.pipeline import Pipeline
from falcon_events.settings import Settings
from falcon_events.store.records import EVERYTHING, Check, Metrics, OwnerState, Recount, Selection, Sizes, Stats, Table
from falcon_events.waiting import Steps, Waiter

T = TypeVar("T")
DEFAULT_DB = "events.duckdb"


class EventTracking:
    """An event store with the documented API, to mount into a web application or to call directly.

    Constructing it touches nothing: the store is opened with the first use. Any number of processes may use one file: one
    process of its own holds it for all of them. A tracker may be made, and even used, before a server forks. Used as a
    context manager it is closed at the end.

    Args:
        db: the path of the database file; it is made where there is none.
        access: the host application's own accounts, keys, sessions and lists; None for those of the store.
        create: whether a missing file is made.
        store: another way to the store than the usual one.
        clock: the current time in seconds since 1970.
        settings: every field of Settings can be given by name; what is not given comes from FALCON_EVENTS_*
            variables of the environment, and else is the default.

    Raises:
        SettingError: a setting is unknown or has a value that it cannot have.
    """

    def __init__(
        self,
        db: str | Path = DEFAULT_DB,
        *,
        access: Access | None = None,
        create: bool = True,
        store: Link | None = None,
        clock: Callable[[], float] = time.time,
        **settings: Any,
    ) -> None:
        self.settings = Settings.from_environment(**settings)
        self.store = store or Link(db, self.settings, create=create)
        self.directory = Directory(self.store, clock)
        self.pipeline = Pipeline(self.store, self.directory, access, self.settings, clock)
        self.waiter = Waiter()
        mind(self)

    def open(self) -> Self:
        """Opens the store now instead of on first use; does nothing where that is done.

        Raises:
            StoreError: the file cannot be opened; the message says why.
            StoreClosed: close() was called.
        """
        self.pipeline.gate.prepare()
        return self

    def close(self) -> None:
        """Commits what was accepted, checkpoints and lets go of the file; does nothing the second time."""
        self.store.close()
        self.waiter.close()

    def health(self) -> str | None:
        """Why the store takes no events at present, or None while it does."""
        return self.store.health()

    def track(
        self,
        list_id: int | str,
        event: str,
        *,
        email: str | None = None,
        id: str | int | None = None,
        properties: Mapping[str, Any] | None = None,
        uuid: str | None = None,
        timestamp: str | None = None,
        event_id: str | None = None,
        identify_properties: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> Tracked:
        """Stores an event, as POST /api/v1/event does; returns once it is committed and synced to disk.

        Args:
            list_id: the list (`ListID`).
            event: the event type (`Event`), at most 200 characters.
            email: the visitor's address (`Email`); required, except for a visitor known by `uuid`.
            id: the owner's id in the sender's system (`ID`), at most 255 characters.
            properties: what JSON can hold, at most 1,000 names (`Properties`).
            uuid: the visitor's uuid, as an earlier answer gave it (`UUID`).
            timestamp: when it happened (`Timestamp`): RFC 3339 with an offset; None for now.
            event_id: the sender's own UUID for this event (`EventID`), so that a repeat is stored once.
            identify_properties: traits of the visitor (`IdentifyProperties`).
            api_key: a key to check; with neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: a parameter is not as documented.
            NotAuthenticated: the key or session is unknown, revoked or expired.
            NotAllowed: the key's scope does not allow tracking.
            StoreUnavailable: the store cannot take the event now; nothing of it was kept.
        """
        return self.waiter.run(self._track(locals()))

    async def atrack(
        self,
        list_id: int | str,
        event: str,
        *,
        email: str | None = None,
        id: str | int | None = None,
        properties: Mapping[str, Any] | None = None,
        uuid: str | None = None,
        timestamp: str | None = None,
        event_id: str | None = None,
        identify_properties: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        session_id: str | None = None,
    ) -> Tracked:
        """The same as track(), for coroutines: the event loop goes on while the commit is under way."""
        return await self.waiter.arun(self._track(locals()))

    def properties(
        self, list_id: int | str, *, api_key: str | None = None, session_id: str | None = None
    ) -> dict[str, list[str]]:
        """The names of the properties ever seen on a list, by event type, both in ascending code-point order.

        Args:
            list_id: the list (`ListID`).
            api_key: a key to check; with neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: the list is not to be found.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self.waiter.run(self._properties(list_id, api_key, session_id))

    async def aproperties(
        self, list_id: int | str, *, api_key: str | None = None, session_id: str | None = None
    ) -> dict[str, list[str]]:
        """The same as properties(), for coroutines."""
        return await self.waiter.arun(self._properties(list_id, api_key, session_id))

    def track_many(self, bodies: Iterable[bytes]) -> Iterator[Tracked | RequestRefused]:
        """Stores many events, each given as the body of a request; commits run while further bodies are read.

        Args:
            bodies: request bodies in JSON; credentials in them are not looked at.

        Yields:
            For each body, in order, its answer once it is committed, or why it was refused.
        """
        return store_many(self.pipeline, self.waiter, self.settings, bodies)

    def recount(self, list_id: int) -> Recount:
        """Counts the properties of a list afresh from all its events, and says whether the catalogue differs."""
        return self._ask("recount", list_id, returns=Recount)

    def stats(self) -> Stats:
        """What the store holds."""
        return self._ask("stats", returns=Stats)

    def export(self, target: str | Path, form: str, selection: Selection = EVERYTHING) -> int:
        """Writes events to a file and gives their number.

        Args:
            target: the file to write; it is replaced.
            form: `parquet` (the columns of the table) or `ndjson` (one request body a line).
            selection: which events; all of them by default.

        Raises:
            EventsError: the file cannot be written.
        """
        path = str(Path(target).absolute())
        return self._ask("export", msgspec.to_builtins(selection), path, form, returns=int)

    def sql(self, query: str) -> Table:
        """The rows of one SQL statement that only looks (docs/database.md has the tables); the store goes on meanwhile.

        Raises:
            EventsError: the statement would change something, or the database refuses it.
        """
        return self._ask("sql", query, returns=Table)

    def backup(self, target: str | Path) -> int:
        """Writes a copy of the store as it is at this moment, and gives its size in bytes; the store goes on meanwhile.

        Restoring it is copying it to the store's place while nobody uses the store.

        Raises:
            EventsError: it cannot be written.
        """
        return self._ask("backup", str(Path(target).absolute()), returns=int)

    def compact(self) -> Sizes:
        """Gives the disk space of deleted events back; events and queries wait until it is done.

        Raises:
            EventsError: there is no room for the new file beside the old one.
        """
        return self._ask("compact", returns=Sizes)

    def check(self) -> list[Check]:
        """What is right and wrong with the store; reads every row of it."""
        return self._ask("check", returns=list[Check])

    def metrics(self) -> bytes:
        """Metrics of all processes that use the store, in Prometheus' text format (docs/metrics.md); needs the extra `metrics`.

        Raises:
            EventsError: prometheus_client is not installed.
        """
        return exposition(self._ask("metrics", returns=Metrics))

    def owner(self) -> OwnerState:
        """The process that holds the store's file, and those that use it."""
        return self._ask("owner", returns=OwnerState)

    def forked(self) -> None:
        """Starts anew in a forked child: what waits belongs to the parent."""
        self.pipeline.gate.forked()
        self.waiter = Waiter()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _track(self, arguments: dict[str, Any]) -> Steps[Tracked]:
        given = {name: arguments[argument] for argument, name in _PARAMETERS.items() if arguments[argument] is not None}
        try:
            body = json.dumps(given, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:  # what JSON cannot hold
            raise unreadable() from error
        return (yield from self.pipeline.track(body, trusted=not _shows_credential(arguments)))

    def _ask(self, name: str, *arguments: object, returns: type[T]) -> T:
        answer: T = self.store.ask(name, *arguments, returns=returns).result()
        return answer

    def _properties(self, list_id: int | str, api_key: str | None, session_id: str | None) -> Steps[dict[str, list[str]]]:
        params = {"ListID": list_id, "APIKey": api_key, "SessionID": session_id}
        _, names = yield from self.pipeline.properties(params, trusted=api_key is None and session_id is None)
        return names


_PARAMETERS = {
    "list_id": "ListID",
    "event": "event",
    "email": "email",
    "id": "id",
    "properties": "properties",
    "uuid": "UUID",
    "timestamp": "Timestamp",
    "event_id": "EventID",
    "identify_properties": "IdentifyProperties",
    "api_key": "APIKey",
    "session_id": "SessionID",
}


def _shows_credential(arguments: Mapping[str, Any]) -> bool:
    return arguments["api_key"] is not None or arguments["session_id"] is not None
