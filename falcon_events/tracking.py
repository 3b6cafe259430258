"""EventTracking: puts the parts together; the Python API; open and close."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Access
from falcon_events.admin.store import StoreAdmin
from falcon_events.admin.webhooks import Webhooks
from falcon_events.assets.snippet import render_snippet
from falcon_events.contract.body import write_body
from falcon_events.contract.replies import Tracked
from falcon_events.errors import EventsError, RequestRefused
from falcon_events.hooks.after import AfterCommit, AfterHook
from falcon_events.hooks.before import BeforeHook, list_hooks
from falcon_events.ingest.pipeline import Pipeline
from falcon_events.ingest.stream import store_many
from falcon_events.link.link import Link
from falcon_events.model.sender import HOST, Sender
from falcon_events.plan import plan_of, typed
from falcon_events.runtime.lifecycle import register
from falcon_events.runtime.steps import Steps, Waiter
from falcon_events.settings import Settings

if TYPE_CHECKING:
    from falcon_events.plan.plan import Plan

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
        before_store: one function or several, plain or async, each called with every IncomingEvent before it is stored: it
            changes the event in place, or raises EventRefused or EventDropped (docs/hooks.md).
        after_commit: one function or several, plain or async, each called with batches of CommittedEvents, on a thread that
            no request waits for (docs/hooks.md).
        plan: the tracking plan that events are held to, or the path of its folder; None for that of the setting
            `plan_folder` (docs/tracking-plan.md).
        settings: every field of Settings can be given by name; what is not given comes from FALCON_EVENTS_*
            variables of the environment, and else is the default.

    Raises:
        SettingError: a setting is unknown or has a value that it cannot have.
        PlanError: the plan's folder has no plan; the message says what is wrong.
        TypeError: a hook cannot be called.
    """

    def __init__(
        self,
        db: str | Path = DEFAULT_DB,
        *,
        access: Access | None = None,
        create: bool = True,
        store: Link | None = None,
        clock: Callable[[], float] = time.time,
        before_store: BeforeHook | Sequence[BeforeHook] | None = None,
        after_commit: AfterHook | Sequence[AfterHook] | None = None,
        plan: Plan | str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings.from_environment(**settings)
        self.store = store or Link(db, self.settings, create=create)
        self.directory = Directory(self.store, clock)
        self.plan = plan_of(plan, self.settings)
        before = list_hooks("before_store", before_store)
        self.pipeline = Pipeline(self.store, self.directory, access, self.settings, clock, before, self.plan)
        self.admin = StoreAdmin(self.store)
        """Statistics, exports, personal data, SQL, backups, checks and metrics (docs/python.md)."""
        self.webhooks = Webhooks(self.store, self.pipeline.authorization.list_may_exist)
        """Webhooks and their deliveries (docs/webhooks.md)."""
        self._name_shortcuts()
        self._after_commit: AfterCommit | None = None
        if after := list_hooks("after_commit", after_commit):
            self._after_commit = AfterCommit(after, self.settings, lambda: self.store.counts.named_counts)
            self.store.on_outcomes = self._after_commit.take
        self.waiter = Waiter()
        register(self)

    def _name_shortcuts(self) -> None:
        """Keep the short names of the parts' methods: `tracking.stats()` is `tracking.admin.stats()`."""
        admin, webhooks = self.admin, self.webhooks
        self.recount, self.stats, self.check, self.metrics, self.owner = (
            admin.recount,
            admin.stats,
            admin.check,
            admin.metrics,
            admin.owner,
        )
        self.export, self.latest, self.sql, self.backup, self.compact = (
            admin.export,
            admin.latest,
            admin.sql,
            admin.backup,
            admin.compact,
        )
        self.personal_data, self.erase = admin.personal_data, admin.erase
        self.deliver, self.deliveries = webhooks.deliver, webhooks.deliveries
        self.retry_deliveries, self.stop_delivering = webhooks.retry, webhooks.remove

    def open(self) -> Self:
        """Opens the store now instead of on first use; does nothing where that is done.

        Raises:
            StoreError: the file cannot be opened; the message says why.
            StoreClosed: close() was called.
        """
        self.pipeline.authorization.open_store()
        return self

    def close(self) -> None:
        """Commits what was accepted, checkpoints and lets go of the file; does nothing the second time.

        An owner of the file that hangs is waited for at most `commit_wait_s` and 15 seconds more.

        `after_commit` is given what it was not given yet, for at most `commit_wait_s` seconds before the file is let go, so
        that it may still track, and as many after.
        """
        if self._after_commit is not None:
            self._after_commit.drain()
        self.store.close()
        if self._after_commit is not None:
            self._after_commit.close()
        self.waiter.close()

    def health(self) -> str | None:
        """Why the store takes no events at present, or None while it does."""
        return self.store.health().reason

    def track(
        self,
        list_id: int | str,
        event: str | object,
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
            event: the event type (`Event`), at most 200 characters; or an object of a class that `@event` declares, which
                has the properties too.
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
            InvalidRequest: a parameter is not as documented, or the event does not keep to the plan.
            EventRefused: a `before_store` hook refuses it.
            NotAuthenticated: the key or session is unknown, revoked or expired.
            NotAllowed: the key's scope does not allow tracking.
            StoreUnavailable: the store cannot take the event now; nothing of it was kept.
        """
        return self.waiter.run(self._track(locals()))

    async def atrack(
        self,
        list_id: int | str,
        event: str | object,
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

    def snippet(
        self,
        list_id: int,
        key: str | None = None,
        *,
        url: str = "",
        origins: Iterable[str] | None = None,
        nonce: str = "",
        **options: str,
    ) -> str:
        """The lines of HTML that embed the tracker in a page (docs/tracker.md).

        Args:
            list_id: the list that the page's events belong to.
            key: a key of scope `ingest`; None for the page key of the list and the origins, which the first call makes.
            url: where this tracker is mounted, with its prefix; on the page's own host the prefix alone, or nothing.
            origins: the web origins that the page key may be used from; None for anywhere.
            nonce: the page's Content-Security-Policy nonce, if it has one.
            options: the page's options: `storage`, `dnt`, `hash`, ...

        Raises:
            NotFound: a key is to be made, and the store has no such list.
            EventsError: an argument has no use in a page.
        """
        path = self.settings.tracker_path
        if not path:
            raise EventsError("The setting tracker_path is empty: the script is served nowhere.")
        make = partial(render_snippet, list_id, url=url, path=path, nonce=nonce, options=options)
        if key is not None:
            if origins is not None:
                raise EventsError("origins are for the page key; a key that is given has its own.")
            return make(key)
        make("")  # before a key is made for nothing
        return make(self.directory.page_key(list_id, origins=origins))

    def track_many(self, bodies: Iterable[bytes]) -> Iterator[Tracked | RequestRefused]:
        """Stores many events, each given as the body of a request; commits run while further bodies are read.

        Args:
            bodies: request bodies in JSON; credentials in them are not looked at. Those in a list are checked many at a time,
                which takes a quarter of the time; of others, each is stored before the next one is asked for.

        Yields:
            For each body, in order, its answer once it is committed, or why it was refused.
        """
        return store_many(self.pipeline, self.waiter, self.settings, bodies)

    def reset_after_fork(self) -> None:
        """Starts anew in a forked child: what waits belongs to the parent."""
        self.pipeline.reset_after_fork()
        self.waiter = Waiter()
        if self._after_commit is not None:
            self._after_commit.reset_after_fork()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _track(self, arguments: dict[str, Any]) -> Steps[Tracked]:
        body = write_body(typed(arguments))
        sender = Sender() if _shows_credential(arguments) else HOST
        return (yield from self.pipeline.track(body, sender))

    def _properties(self, list_id: int | str, api_key: str | None, session_id: str | None) -> Steps[dict[str, list[str]]]:
        params = {"ListID": list_id, "APIKey": api_key, "SessionID": session_id}
        sender = HOST if api_key is None and session_id is None else Sender()
        _, names = yield from self.pipeline.properties(params, sender)
        return names


def _shows_credential(arguments: Mapping[str, Any]) -> bool:
    return arguments["api_key"] is not None or arguments["session_id"] is not None
