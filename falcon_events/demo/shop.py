"""Half a year of the demo's shop: who comes on which day, from new visitors to those who are there now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from random import Random

import msgspec

from falcon_events.demo import catalog
from falcon_events.demo.catalog import TrafficSource
from falcon_events.demo.shoppers import Crowd, DemoEvent, Shopper
from falcon_events.demo.visit import Visit

DAY_MS = 86_400_000
WEEKDAYS = (1.06, 1.12, 1.08, 1.02, 0.92, 0.78, 0.88)
"""How many come on each day of the week, beginning with Monday."""
HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 10, 10, 9, 9, 9, 10, 11, 11, 9, 6, 4)
"""How many come in each hour of the day."""
SPIKE_DAYS_AGO = 17
SPIKE = (1.6, 2.4, 1.3, 0.8, 0.4)
"""How many more than usual the campaign brings, on each of its days."""
NEWSLETTER_WEEKDAY = 3
TRIAL_DAYS = 14
HERE_NOW = 6
HERE_MS = 270_000
"""For how long at most those who are there now have done nothing."""

_get_time = attrgetter("at")


class Shop:
    """The shop and its visitors. The same arguments give the same events.

    Args:
        seed: decides about everything that happens by chance.
        now: the present. Nothing happens later.
        days: how many days there are, with today.
        people_per_day: about how many people come for the first time on a day.
        list_id: the list that the events belong to.
    """

    def __init__(self, seed: int, now: datetime, *, days: int, people_per_day: float, list_id: int) -> None:
        self._rng = Random(seed)
        self._crowd = Crowd(self._rng, list_id)
        self._now = int(now.timestamp() * 1000)
        today = now.astimezone(UTC).date()
        self._first = today - timedelta(days=days - 1)
        self._start = int(datetime(self._first.year, self._first.month, self._first.day, tzinfo=UTC).timestamp() * 1000)
        self._days = days
        self._people_per_day = people_per_day
        self._coming: defaultdict[int, dict[int, tuple[Shopper, str | None]]] = defaultdict(dict)
        """Who will come again, by day and number, with the purpose of the visit."""
        self._readers: list[Shopper] = []
        self._orders: list[str] = []

    def generate(self, on_day: Callable[[int], object] = lambda day: None) -> Iterator[DemoEvent]:
        """Yield the events in the order in which they happened.

        Args:
            on_day: called with the number of each day whose events have been yielded.
        """
        events: list[DemoEvent] = []
        for day in range(self._days):
            events += self._spend_day(day)
            events.sort(key=_get_time)
            if day < self._days - 2:  # those who are there now may have come yesterday
                end = self._start + (day + 1) * DAY_MS
                ready = [event for event in events if event.at < end]
                yield from ready
                del events[: len(ready)]
                on_day(day)
        events += self._find_present()
        events.sort(key=_get_time)
        yield from (event for event in events if self._start <= event.at <= self._now)
        on_day(self._days - 1)

    def _spend_day(self, day: int) -> list[DemoEvent]:
        """Return what begins on a day."""
        rng, today = self._rng, self._first + timedelta(days=day)
        usual = self._people_per_day * (0.7 + 0.6 * day / self._days) * WEEKDAYS[today.weekday()]
        events: list[DemoEvent] = []
        for _ in range(self._count(usual)):
            events += self._visit(day, self._crowd.make_shopper(), catalog.SOURCES.choose(rng))
        since_spike = day - (self._days - SPIKE_DAYS_AGO)
        if 0 <= since_spike < len(SPIKE):
            for _ in range(self._count(usual * SPIKE[since_spike])):
                events += self._visit(day, self._crowd.make_shopper(), catalog.SPIKE)
        if today.weekday() == NEWSLETTER_WEEKDAY:
            events += self._send_newsletter(day, today)
        for shopper, purpose in self._coming.pop(day, {}).values():
            events += self._visit(day, shopper, catalog.BACK.choose(rng), purpose)
        for _ in range(self._count(self._people_per_day / 30)):
            events += self._crawl(day)
        return events

    def _count(self, usual: float) -> int:
        """Return how many come if so many usually do."""
        return max(round(self._rng.gauss(usual, usual**0.5)), 0)

    def _send_newsletter(self, day: int, today: date) -> list[DemoEvent]:
        events: list[DemoEvent] = []
        year, week, _ = today.isocalendar()
        source = catalog.make_newsletter(year, week)
        for reader in list(self._readers):
            if self._rng.random() < 0.1 + 0.15 * reader.loyalty and reader.number not in self._coming[day]:
                events += self._visit(day, reader, source)
        return events

    def _visit(self, day: int, shopper: Shopper, source: TrafficSource, purpose: str | None = None) -> list[DemoEvent]:
        """Return what somebody does on a day, and decide when he or she comes again."""
        rng = self._rng
        hour = rng.choices(range(24), HOURS)[0]
        start = self._start + day * DAY_MS + hour * 3_600_000 + rng.randrange(3_600_000)
        browser = shopper.browsers[0] if rng.random() < 0.65 else shopper.browsers[-1]
        read = shopper.is_subscribed
        visit = Visit(rng, self._crowd, shopper, browser, source, start, self._orders)
        visit.run(purpose)
        if shopper.is_subscribed and not read:
            self._readers.append(shopper)
        if visit.has_trial:
            self._come_again(day + TRIAL_DAYS - rng.randrange(2), shopper, "subscribe")
        if visit.order is not None and rng.random() < 0.25:
            self._come_again(day + rng.randint(3, 9), shopper, "review")
        if rng.random() < 0.1 + 0.5 * shopper.loyalty + (0.2 if shopper.orders else 0):
            pause = 1 + int(rng.expovariate(1 / (18 - 13 * shopper.loyalty)))
            if (self._first + timedelta(days=day + pause)).weekday() >= 5 and rng.random() < 0.25:
                pause += 2
            self._come_again(day + pause, shopper, None)
        return visit.events

    def _come_again(self, day: int, shopper: Shopper, purpose: str | None) -> None:
        """Note a visit. One with a purpose replaces another one on that day."""
        if purpose is not None or shopper.number not in self._coming[day]:
            self._coming[day][shopper.number] = (shopper, purpose)

    def _crawl(self, day: int) -> list[DemoEvent]:
        """Return the page views of a bot."""
        rng, visitor = self._rng, self._crowd.make_uuid()
        at = self._start + day * DAY_MS + rng.randrange(DAY_MS - 3_600_000)
        bot = catalog.BOTS.choose(rng)
        events = []
        for page in rng.choices([catalog.HOME, catalog.BLOG, catalog.PRICING, *catalog.CATEGORIES.values()], k=rng.randint(2, 7)):
            at += rng.randint(500, 9000)
            url = f"https://{page.host}{page.path}"
            properties = {"$bot": bot, "$host": page.host, "$pageTitle": page.title, "$pathname": page.path, "url": url}
            events.append(DemoEvent(at, "pageView", visitor, properties))
        return events

    def _find_present(self) -> list[DemoEvent]:
        """Return the visits that are under way at present."""
        events: list[DemoEvent] = []
        for _ in range(HERE_NOW):
            shopper = self._crowd.make_shopper()
            visit = Visit(
                self._rng, self._crowd, shopper, shopper.browsers[0], catalog.SOURCES.choose(self._rng), 0, self._orders
            )
            visit.run()
            moved = self._now - self._rng.randrange(1000, HERE_MS) - visit.events[-1].at
            events += [msgspec.structs.replace(event, at=event.at + moved) for event in visit.events]
        return events
