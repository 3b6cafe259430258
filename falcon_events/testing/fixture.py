"""What the pytest fixture `falcon_events` is: trackers of a store in memory, a clock, and assertions about what they stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from falcon_events.access.protocol import Access, Scope
from falcon_events.hooks.after import AfterHook
from falcon_events.hooks.before import BeforeHook
from falcon_events.settings import Settings
from falcon_events.testing.events import COLUMNS, Expected, TrackedEvent, event_of, moment
from falcon_events.testing.memory import MemoryLink, MemoryOwner
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from falcon_events.plan.plan import Plan

ACCOUNT = "test"


class Clock:
    """The trackers' time: it stands still until it is set."""

    def __init__(self) -> None:
        self._now = time.time()

    def __call__(self) -> float:
        """The time in seconds since 1970."""
        return self._now

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return moment(int(self._now * 1_000_000))  # cut off as that of an arriving event is

    def set(self, to: datetime) -> None:
        """Sets it; a time without a time zone counts as UTC."""
        self._now = (to if to.tzinfo else to.replace(tzinfo=UTC)).timestamp()

    def advance(self, by: float | timedelta) -> None:
        """Moves it on, by seconds or a timedelta."""
        self._now += by.total_seconds() if isinstance(by, timedelta) else by


class FalconEvents:
    """A store in memory, with an account and a list in it; used as a context manager it is closed at the end."""

    def __init__(self) -> None:
        self.clock = Clock()
        """The time at which events arrive."""
        self._owner = MemoryOwner(Settings(threads=1), self.clock)
        self._link: MemoryLink | None = None
        self._trackers: list[EventTracking] = []
        self.tracking.directory.create_account(ACCOUNT)

    @property
    def tracking(self) -> EventTracking:
        """The tracker to mount, wrap or call; a new one for the same store where an application has closed the last."""
        if self._link is None or self._link.is_closed:
            self._link = MemoryLink(self._owner, Settings.from_environment())
            self._tracking = self._made(self._link)
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
        """Another tracker for the same store; the arguments are those of EventTracking.

        Args:
            access: the application's own accounts, keys, sessions and lists.
            before_store: what is called with every event before it is stored.
            after_commit: what is called with events that were stored; what is left is given to it when the tracker is closed.
            plan: the tracking plan that events are held to, or the path of its folder.
            settings: every field of Settings can be given by name.
        """
        link = MemoryLink(self._owner, Settings.from_environment(**settings))
        return self._made(link, access=access, before_store=before_store, after_commit=after_commit, plan=plan, **settings)

    @cached_property
    def list_id(self) -> int:
        """The id of a list."""
        return self.create_list()

    @cached_property
    def api_key(self) -> str:
        """A key that may track and ask for properties."""
        return self.create_key()

    def create_list(self, name: str = "test") -> int:
        """Makes another list; gives its id."""
        return self.tracking.directory.create_list(ACCOUNT, name).list_id

    def create_key(self, scope: Scope | str = Scope.FULL) -> str:
        """Makes another key, of scope `full`, `ingest` or `read`."""
        return self.tracking.directory.create_key(ACCOUNT, scope).key

    @property
    def events(self) -> list[TrackedEvent]:
        """Every event in the store, in the order of arrival, with the identify events that others led to."""
        return [event_of(row) for row in self._owner.store.sql(COLUMNS).result().rows]

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
        """Asserts that an event was tracked; gives the last one that is as expected.

        Args:
            event: its type.
            list_id: its list; this and what follows is anything where it is not given.
            email: the visitor's address.
            id: the owner's id.
            uuid: the visitor's uuid.
            properties: some of its properties, and of the objects in them.
            exact: whether it has no other properties.
            times: how many such events there are, 1 at least; None for one or more.

        Raises:
            AssertionError: the message shows the closest event, and in what it differs.
            ValueError: `times` is below 1.
        """
        __tracebackhide__ = True
        if times is not None and times < 1:
            raise ValueError(f"times={times}: that nothing was tracked is asserted by assert_not_tracked().")
        expected = Expected(event, list_id, email, id, uuid, properties, exact)
        events = self.events
        found = [tracked for tracked in events if not expected.differences(tracked)]
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
        """Asserts that no such event was tracked; the arguments are those of assert_tracked().

        Raises:
            AssertionError: the message shows the first one.
        """
        __tracebackhide__ = True
        expected = Expected(event, list_id, email, id, uuid, properties)
        found = [tracked for tracked in self.events if not expected.differences(tracked)]
        if found:
            raise AssertionError(f"tracked {len(found)} times, and not to be: {expected}\n  the first is {found[0]}")

    def close(self) -> None:
        """Ends the store; does nothing the second time."""
        for tracking in self._trackers:
            tracking.close()
        self._owner.close()

    def _made(self, link: MemoryLink, **arguments: Any) -> EventTracking:
        tracking = EventTracking(link.path, store=link, clock=self.clock, **arguments)
        self._trackers.append(tracking)
        return tracking

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
