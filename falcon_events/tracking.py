"""EventTracking: the Python API, which connects the package's parts and opens and closes the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack, overload

from falcon_events.access.boards import Boards
from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Access
from falcon_events.access.validation import explain_missing_list
from falcon_events.admin.store import StoreAdmin
from falcon_events.admin.webhooks import Webhooks
from falcon_events.assets.snippet import render_snippet
from falcon_events.contract.body import write_body
from falcon_events.contract.lists import read_list_id
from falcon_events.contract.replies import Tracked
from falcon_events.errors import EventsError, InvalidRequest, RequestRefused
from falcon_events.hooks.after import AfterCommit, AfterHook
from falcon_events.hooks.before import BeforeHook, list_hooks
from falcon_events.ingest.answers import Answers
from falcon_events.ingest.bodies import Bodies, HeldBody
from falcon_events.ingest.failures import FailureGuard, OnError
from falcon_events.ingest.pipeline import Pipeline
from falcon_events.ingest.stream import store_many
from falcon_events.link.link import Link
from falcon_events.link.temporary import find_temporary
from falcon_events.model.sender import HOST, Sender
from falcon_events.plan import resolve_plan, unpack_event
from falcon_events.runtime.lifecycle import register
from falcon_events.runtime.steps import Steps, Waiter
from falcon_events.settings import Settings

if TYPE_CHECKING:
    from falcon_events.plan.plan import Plan

DEFAULT_DB = "events.duckdb"


class TrackOptions(TypedDict, total=False):
    """The keyword arguments of track() and atrack(), for type checkers. The docstring of track() explains them."""

    email: str | None
    id: str | int | None
    properties: Mapping[str, Any] | None
    uuid: str | None
    timestamp: str | None
    event_id: str | None
    identify_properties: Mapping[str, Any] | None
    api_key: str | None
    session_id: str | None


class EventTracking:
    """An event store with the documented API, to mount into a web application or to call directly.

    The constructor does not touch the file: the first use opens the store. Any number of processes may use one file, because a
    separate owner process holds it for all of them. A tracker may be created, and even used, before a server forks. It is a
    context manager, which closes the store at the end.

    Args:
        db: the path of the database file, found once, here: symbolic links and relative paths may change later. A missing file
            is created.
        access: the host application's own accounts, keys, sessions and lists; None: those of the store.
        create: whether a missing file is created.
        store: a link that replaces the usual one, for tests and measurements.
        clock: returns the current time in seconds since 1970.
        before_store: one function or several, plain or async. Each is called with every IncomingEvent before it is stored, and
            may change the event in place, or raise EventRefused or EventDropped (docs/hooks.md).
        after_commit: one function or several, plain or async. Each is called with batches of CommittedEvents, in a thread that
            no request waits for (docs/hooks.md).
        plan: the tracking plan for events, or the path of its folder; None: that of the setting `plan_folder`
            (docs/tracking-plan.md).
        settings: any field of Settings, by name. Other settings come from FALCON_EVENTS_* environment variables, or have their
            defaults.

    Raises:
        SettingError: a setting is unknown or has an invalid value.
        PlanError: the plan's folder has no valid plan; the message says what is wrong.
        TypeError: a hook is not callable.
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
        self.clock = clock
        self.access = access
        """The host application's own accounts, keys, sessions and lists; None: those of the store."""
        if self.settings.temporary_store and store is None:
            db, create = find_temporary(db), True
        self.store = store or Link(db, self.settings, create=create)
        self.directory = Directory(self.store, clock)
        self.boards = Boards(self.store, self.directory, own_lists=access is None, clock=clock)
        """Saved views and shares of the dashboard (docs/python.md)."""
        self.plan = resolve_plan(plan, self.settings)
        before = list_hooks("before_store", before_store)
        self.pipeline = Pipeline(self.store, self.directory, access, self.settings, clock, before, self.plan, lambda: self.waiter)
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
        self.bodies = Bodies(self.settings)
        self.answers = Answers(self.settings)
        register(self)

    def _name_shortcuts(self) -> None:
        """Set the short names of methods: `tracking.stats()` is `tracking.admin.stats()`."""
        ask, aask = self.pipeline.calls, self.pipeline.async_calls
        self.query, self.aquery = ask.query, aask.query
        self.funnel, self.afunnel = ask.funnel, aask.funnel
        self.retention, self.aretention = ask.retention, aask.retention
        self.people, self.apeople = ask.people, aask.people
        self.timeline, self.atimeline = ask.timeline, aask.timeline
        self.values, self.avalues = ask.values, aask.values
        self.saved, self.asaved = ask.saved, aask.saved
        self.save, self.asave = ask.save, aask.save
        self.forget, self.aforget = ask.forget, aask.forget
        self.recount = self.admin.recount
        self.stats = self.admin.stats
        self.export = self.admin.export
        self.personal_data = self.admin.personal_data
        self.erase = self.admin.erase
        self.latest = self.admin.latest
        self.sql = self.admin.sql
        self.sql_arrow = self.admin.sql_arrow
        self.backup = self.admin.backup
        self.compact = self.admin.compact
        self.prune = self.admin.prune
        self.check = self.admin.check
        self.rebuild_columns = self.admin.rebuild_columns
        self.metrics = self.admin.metrics
        self.owner = self.admin.owner
        self.deliver = self.webhooks.deliver
        self.deliveries = self.webhooks.deliveries
        self.retry_deliveries = self.webhooks.retry
        self.stop_delivering = self.webhooks.remove

    def open(self) -> Self:
        """Open the store now instead of on first use. A second call does nothing.

        Raises:
            StoreError: the file cannot be opened; the message says why.
            StoreClosed: close() was called.
        """
        self.pipeline.authorization.open_store()
        return self

    def close(self) -> None:
        """Commit the accepted events, checkpoint and release the file. A second call does nothing.

        If the owner of the file hangs, this waits at most `commit_wait_s` plus 15 seconds.

        `after_commit` receives the events that it has not received yet: for at most `commit_wait_s` seconds before the file is
        released, so that it can still track events, and for as long after.
        """
        if self._after_commit is not None:
            self._after_commit.drain()
        self.store.close()
        if self._after_commit is not None:
            self._after_commit.close()
        self.waiter.close()

    def reopen(self) -> None:
        """Let a closed tracker be used again: its next use opens the store. Does nothing if the tracker is not closed.

        ASGI applications call this when a server starts them again after a shutdown.
        """
        if self.store.reopen():
            self.pipeline.reset_after_fork()
            if self._after_commit is not None:
                self._after_commit.reopen()

    def health(self) -> str | None:
        """Return why the store accepts no events at present, or None if it accepts them."""
        return self.store.health().reason

    @overload
    def track(
        self, list_id: int | str, event: str | object, *, on_error: Literal["raise"] = "raise", **options: Unpack[TrackOptions]
    ) -> Tracked: ...

    @overload
    def track(
        self, list_id: int | str, event: str | object, *, on_error: OnError, **options: Unpack[TrackOptions]
    ) -> Tracked | None: ...

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
        on_error: OnError = "raise",
    ) -> Tracked | None:
        """Store an event as POST /api/v1/event does. Return once it is committed and synced to disk.

        Args:
            list_id: the list (`ListID`).
            event: the event type (`Event`), at most 200 characters; or an object of a class declared with `@event`, which
                contains the properties, too.
            email: the visitor's address (`Email`). Required, except for a visitor known by `uuid`.
            id: the visitor's ID in the sender's system (`ID`), at most 255 characters.
            properties: properties that JSON can hold, at most 1,000 names (`Properties`).
            uuid: the visitor's UUID, from an earlier result (`UUID`).
            timestamp: when it happened (`Timestamp`): RFC 3339 with an offset; None: now.
            event_id: the sender's own UUID for this event (`EventID`), so that a repeat is stored once.
            identify_properties: traits of the visitor (`IdentifyProperties`).
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.
            on_error: `raise` raises an exception if the event is not stored. `log` logs it, under `falcon_events.tracking`, and
                returns None, so that the request of a visitor goes on.

        Raises:
            InvalidRequest: a parameter is not as documented, or the event violates the plan.
            EventRefused: a `before_store` hook refuses the event.
            NotAuthenticated: the key or session is unknown, revoked or expired.
            NotAllowed: the key's scope does not allow tracking.
            StoreUnavailable: the store cannot take the event now; nothing of it was kept.
        """
        with FailureGuard(on_error, list_id, event):
            return self.waiter.run(self._track(locals()))
        return None

    @overload
    async def atrack(
        self, list_id: int | str, event: str | object, *, on_error: Literal["raise"] = "raise", **options: Unpack[TrackOptions]
    ) -> Tracked: ...

    @overload
    async def atrack(
        self, list_id: int | str, event: str | object, *, on_error: OnError, **options: Unpack[TrackOptions]
    ) -> Tracked | None: ...

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
        on_error: OnError = "raise",
    ) -> Tracked | None:
        """Track an event as track() does, for coroutines. The event loop goes on while the commit is under way."""
        with FailureGuard(on_error, list_id, event):
            return await self.waiter.arun(self._track(locals()))
        return None

    def properties(
        self, list_id: int | str, *, api_key: str | None = None, session_id: str | None = None
    ) -> dict[str, list[str]]:
        """Return the names of all properties seen on a list, by event type; types and names in code-point order.

        Args:
            list_id: the list (`ListID`).
            api_key: a key to check. With neither key nor session, the caller is trusted.
            session_id: a session to check.

        Raises:
            InvalidRequest: `list_id` is not valid, or there is no such list.
            NotAuthenticated, NotAllowed, StoreUnavailable: as with track().
        """
        return self.waiter.run(self._properties(list_id, api_key, session_id))

    async def aproperties(
        self, list_id: int | str, *, api_key: str | None = None, session_id: str | None = None
    ) -> dict[str, list[str]]:
        """Return property names as properties() does, for coroutines."""
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
        """Return the lines of HTML that embed the tracker script in a page (docs/tracker.md).

        Args:
            list_id: the list that the page's events belong to.
            key: a key of scope `ingest`; None: the page key for this list and these origins, which the first call creates. With
                accounts of your own, it is what `access.page_key(list_id)` returns.
            url: where this tracker is mounted, with its prefix. If the page is on the same host: the prefix, or nothing.
            origins: the web origins that may use the page key; None: any.
            nonce: the page's Content-Security-Policy nonce, if it has one.
            options: the script's options: `storage`, `dnt`, `hash`, ...

        Raises:
            NotFound: a page key is needed, and the store has no such list.
            EventsError: an argument is not valid in a page, or the tracker would refuse the key.
        """
        path = self.settings.tracker_path
        if not path:
            raise EventsError("The setting tracker_path is empty, so the script is not served. Set it to a path.")
        make = partial(render_snippet, list_id, url=url, path=path, nonce=nonce, options=options)
        if key is not None:
            if origins is not None:
                raise EventsError("origins: only the page key takes origins; a given key has its own. Leave out key or origins.")
            self.pipeline.authorization.check_page_key(list_id, key)
            return make(key)
        make("")  # checks the arguments before a key is created
        return make(self.waiter.run(self.pipeline.authorization.find_page_key(list_id, origins)))

    def track_many(self, bodies: Iterable[bytes]) -> Iterator[Tracked | RequestRefused]:
        """Store many events, each given as a request body. Commits run while further bodies are read.

        Args:
            bodies: request bodies in JSON. Credentials in them are ignored. The bodies in a list are checked many at a time,
                which takes a quarter of the time. From an iterator, each is stored before the next one is taken.

        Yields:
            The result of each body, in order: Tracked once it is committed, or the RequestRefused that says why it was not.
        """
        return store_many(self.pipeline, self.waiter, self.settings, bodies)

    def reset_after_fork(self) -> None:
        """Reset what a forked child must not share with its parent. Events that wait belong to the parent."""
        self.pipeline.reset_after_fork()
        self.bodies.reset_after_fork()
        self.answers.reset_after_fork()
        self.waiter = Waiter()
        if self._after_commit is not None:
            self._after_commit.reset_after_fork()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _track(self, arguments: dict[str, Any]) -> Steps[Tracked]:
        body = HeldBody(write_body(unpack_event(arguments)))
        sender = Sender() if _shows_credential(arguments) else HOST
        try:
            return (yield from self.pipeline.track(body, sender))
        except InvalidRequest as refused:
            self._explain_unknown_list(refused, arguments["list_id"], sender)
            raise

    def _properties(self, list_id: int | str, api_key: str | None, session_id: str | None) -> Steps[dict[str, list[str]]]:
        params = {"ListID": list_id, "APIKey": api_key, "SessionID": session_id}
        sender = HOST if api_key is None and session_id is None else Sender()
        try:
            _, names = yield from self.pipeline.properties(params, sender)
        except InvalidRequest as refused:
            self._explain_unknown_list(refused, list_id, sender)
            raise
        return names

    def _explain_unknown_list(self, refused: InvalidRequest, list_id: int | str, sender: Sender) -> None:
        """Tell the host application's own code how to create the list that it names. Other senders may not know what exists."""
        number = read_list_id(list_id)
        if sender.trusted and self.access is None and number is not None and self.directory.owner_of(number) is None:
            refused.args = (f"{refused}. {explain_missing_list(number)}",)


def _shows_credential(arguments: Mapping[str, Any]) -> bool:
    return arguments["api_key"] is not None or arguments["session_id"] is not None
