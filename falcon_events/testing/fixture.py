"""The object behind the pytest fixture `falcon_events`: trackers of a store in memory, a clock, and assertions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from falcon_events.access.protocol import Access, Scope
from falcon_events.hooks.after import AfterHook
from falcon_events.hooks.before import BeforeHook
from falcon_events.model.reports import Table
from falcon_events.settings import Settings
from falcon_events.store.queries.event_json import TRACKED_EVENTS
from falcon_events.testing.events import ExpectedEvent, TrackedEvent, parse_event, to_datetime
from falcon_events.testing.memory import MemoryLink, MemoryOwner
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from falcon_events.plan.plan import Plan

ACCOUNT = "test"


class Clock:
    """The clock of the trackers. It stands still until a test sets it."""

    def __init__(self) -> None:
        self._now = time.time()

    def __call__(self) -> float:
        """Return the time in seconds since 1970."""
        return self._now

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return to_datetime(int(self._now * 1_000_000))  # truncated to microseconds, like an event's time of arrival

    def set(self, to: datetime) -> None:
        """Set the clock. A time without a time zone counts as UTC."""
        self._now = (to if to.tzinfo else to.replace(tzinfo=UTC)).timestamp()

    def advance(self, by: float | timedelta) -> None:
        """Advance the clock by seconds or a timedelta."""
        self._now += by.total_seconds() if isinstance(by, timedelta) else by


class FalconEvents:
    """A store in memory with an account. As a context manager it closes itself at the end."""

    def __init__(self) -> None:
        self.clock = Clock()
        """The time at which events arrive."""
        self._owner = MemoryOwner(Settings(threads=1), self.clock)
        self._link: MemoryLink | None = None
        self._trackers: list[EventTracking] = []
        self.tracking.directory.create_account(ACCOUNT)

    @property
    def tracking(self) -> EventTracking:
        """The tracker to mount, wrap or call. If an application has closed it, a new one for the same store."""
        if self._link is None or self._link.is_closed:
            self._link = MemoryLink(self._owner, Settings.from_environment())
            self._tracking = self._build(self._link)
        return self._tracking

    def make_tracking(
        self,
        *,
        access: Access | None = None,
        before_store: BeforeHook | Sequence[BeforeHook] | None = None,
        after_commit: AfterHook | Sequence[AfterHook] | None = None,
        plan: Plan | str | Path | None = None,
        **settings: Any,
    ) -> EventTracking:
        """Make another tracker for the same store. The arguments are those of EventTracking.

        Args:
            access: the application's own accounts, keys, sessions and lists.
            before_store: functions that are called with every event before it is stored.
            after_commit: functions that are called with stored events. Closing the tracker passes them the remaining ones.
            plan: the tracking plan that events are checked against, or the path of its folder.
            settings: fields of Settings by name.
        """
        link = MemoryLink(self._owner, Settings.from_environment(**settings))
        return self._build(link, access=access, before_store=before_store, after_commit=after_commit, plan=plan, **settings)

    @cached_property
    def list_id(self) -> int:
        """The id of a list: the first one that the application has created, or else a new one."""
        lists = self.tracking.directory.lists()
        return lists[0].list_id if lists else self.create_list()

    @cached_property
    def api_key(self) -> str:
        """A key that may track events and query properties on `list_id`."""
        directory = self.tracking.directory
        account = next((found.account for found in directory.lists() if found.list_id == self.list_id), ACCOUNT)
        return directory.create_key(account).key

    def create_list(self, name: str = "test") -> int:
        """Create another list and return its id."""
        return self.tracking.directory.create_list(ACCOUNT, name).list_id

    def create_key(self, scope: Scope | str = Scope.FULL) -> str:
        """Create another key, of scope `full`, `ingest` or `read`, and return it."""
        return self.tracking.directory.create_key(ACCOUNT, scope).key

    @property
    def events(self) -> list[TrackedEvent]:
        """Every event in the store in order of arrival, including the identify events that other events led to."""
        return [
            parse_event(row) for row in msgspec.msgpack.decode(self._owner.store.sql(TRACKED_EVENTS).result(), type=Table).rows
        ]

    def assert_tracked(
        self,
        event: str,
        *,
        list_id: int | None = None,
        email: str | None = None,
        id: str | int | None = None,
        uuid: str | None = None,
        properties: Mapping[str, Any] | None = None,
        exact: bool = False,
        times: int | None = None,
    ) -> TrackedEvent:
        """Assert that an event was tracked, and return the last one that matches.

        Arguments that are not given match anything.

        Args:
            event: the event's type.
            list_id: its list.
            email: the visitor's email address.
            id: the owner's id.
            uuid: the visitor's uuid.
            properties: some of its properties, and of the objects in them.
            exact: whether the event may have no other properties.
            times: how many matching events there must be, at least 1; None: one or more.

        Raises:
            AssertionError: no event, or another number of events, matches. The message shows the closest event and its
                differences.
            ValueError: `times` is below 1.
        """
        __tracebackhide__ = True
        if times is not None and times < 1:
            raise ValueError(f"times={times}: expected at least 1; use assert_not_tracked() to assert that there is no event.")
        expected = ExpectedEvent(event, list_id, email, id, uuid, properties, exact)
        events = self.events
        found = [tracked for tracked in events if not expected.compare(tracked)]
        if not found:
            raise AssertionError(expected.report(events))
        if times is not None and len(found) != times:
            raise AssertionError(f"tracked {len(found)} times, expected {times}: {expected}")
        return found[-1]

    def assert_not_tracked(
        self,
        event: str,
        *,
        list_id: int | None = None,
        email: str | None = None,
        id: str | int | None = None,
        uuid: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Assert that no such event was tracked. The arguments are those of assert_tracked().

        Raises:
            AssertionError: an event matches; the message shows the first one.
        """
        __tracebackhide__ = True
        expected = ExpectedEvent(event, list_id, email, id, uuid, properties)
        found = [tracked for tracked in self.events if not expected.compare(tracked)]
        if found:
            raise AssertionError(f"tracked {len(found)} times, expected never: {expected}\n  the first is {found[0]}")

    def close(self) -> None:
        """Close the trackers and the store. A second call does nothing."""
        for tracking in self._trackers:
            tracking.close()
        self._owner.close()

    def _build(self, link: MemoryLink, **arguments: Any) -> EventTracking:
        tracking = EventTracking(link.path, store=link, clock=self.clock, **arguments)
        self._trackers.append(tracking)
        return tracking

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
