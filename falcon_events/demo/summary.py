"""The sums of the demo's events, counted one by one, without a database."""

from __future__ import annotations

from collections import Counter

import msgspec

from falcon_events.demo.shoppers import DemoEvent

RECENT_DAYS = 28
DAY_MS = 86_400_000


class DemoSummary(msgspec.Struct, frozen=True):
    """The number of events in the store, and the sums of the last 28 days (UTC, with today).

    `stored` and `bots` are of all events. The other numbers are those of the last 28 days, without events of bots, as
    `tracking.query()` counts by default. `paths` are the pages with their views, the most viewed first, and among equals in the
    order of their paths.
    """

    stored: int
    bots: int
    events: int
    people: int
    visitors: int
    sessions: int
    views: int
    orders: int
    revenue: float
    paths: list[tuple[str, int]]


class Tally:
    """Counts events, which must come in the order in which they happened.

    Args:
        now: the present, in milliseconds since 1970.
        session_gap: the time without an event that ends a session, in milliseconds.
    """

    def __init__(self, now: int, session_gap: int) -> None:
        self._since = (now // DAY_MS - RECENT_DAYS + 1) * DAY_MS
        self._session_gap = session_gap
        self._stored = self._bots = self._events = self._sessions = 0
        self._revenue = 0.0
        self._paths: Counter[str] = Counter()
        self._visitors: set[str] = set()
        self._emails: dict[str, str] = {}
        self._last: dict[str, int] = {}
        self._orders: set[str] = set()
        self._recent_orders = 0

    def add(self, event: DemoEvent) -> None:
        """Count an event."""
        properties, is_recent = event.properties, event.at >= self._since
        self._stored += 1
        if "$bot" in properties:
            self._bots += 1
            return
        if event.email is not None:
            self._emails[event.visitor] = event.email
        before = self._last.get(event.visitor)
        self._last[event.visitor] = event.at
        order = properties.get("conversion-id", "")
        is_new = order != "" and order not in self._orders
        if is_new:
            self._orders.add(order)
        if not is_recent:
            return
        self._events += 1
        self._visitors.add(event.visitor)
        if before is None or before < self._since or event.at - before >= self._session_gap:
            self._sessions += 1
        if event.name == "pageView":
            self._paths[properties["$pathname"]] += 1
        if is_new:
            self._recent_orders += 1
            self._revenue += properties["conversion-value"]

    def sum_up(self) -> DemoSummary:
        """Return what was counted."""
        return DemoSummary(
            stored=self._stored,
            bots=self._bots,
            events=self._events,
            people=len({self._emails.get(visitor, visitor) for visitor in self._visitors}),
            visitors=len(self._visitors),
            sessions=self._sessions,
            views=self._paths.total(),
            orders=self._recent_orders,
            revenue=self._revenue,
            paths=sorted(self._paths.items(), key=lambda counted: (-counted[1], counted[0])),
        )
