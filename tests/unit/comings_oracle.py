"""What website_events.funnel and website_events.retention answer, in plain Python: every attempt, every period, no SQL."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from tests.unit.query_oracle import Event, Oracle, as_text, enrich, meets, show, value_of

UNITS_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
ROLLING_US = {"day": UNITS_US["d"], "week": 7 * UNITS_US["d"], "month": 30 * UNITS_US["d"]}


class ComingsOracle(Oracle):
    """Answers a request about kinds of events.

    Args:
        events: all events of the list.
        request: the parameters.
        now: the present.
        kinds: the kinds of events.
    """

    def __init__(self, events: list[Event], request: dict[str, Any], now: datetime, kinds: list[dict[str, Any]]) -> None:
        super().__init__(events, request, now)
        self.now_us = int(now.timestamp()) * 1_000_000
        self.of_kinds = []
        seen = {event.seq for event in self.shown}
        for kind in kinds:
            own = kind.get("Filters", [])
            shown = show(events, [*request["Filters"], *own], kind.get("Event"))
            seen |= {event.seq for event in shown}
            self.of_kinds.append((kind, {event.seq for event in shown}))
        self.shown = [event for event in events if event.seq in seen]
        enrich(self.shown)
        filters = request["Filters"]
        ordered = sorted(self.shown, key=lambda event: event.place)
        self.looked = [one for one in ordered if one.person in self.persons and all(meets(one, own) for own in filters)]

    def is_of(self, event: Event, number: int) -> bool:
        """Whether an event is of a kind."""
        kind, shown = self.of_kinds[number]
        if event.seq not in shown or kind.get("Event", event.event) != event.event:
            return False
        return all(meets(event, one) for one in kind.get("Filters", []))

    def units(self) -> list[list[Event]]:
        """The events of each person, visitor or session, in order."""
        found: dict[Any, list[Event]] = {}
        for event in self.looked:
            key = {"people": event.person, "visitors": event.visitor, "sessions": id(event.session)}[self.request["By"]]
            found.setdefault(key, []).append(event)
        return list(found.values())

    def is_in_range(self, event: Event) -> bool:
        """Whether an event is in the range."""
        return self.first <= self.local_day(event) <= self.last


class FunnelOracle(ComingsOracle):
    """Answers website_events.funnel by trying every way through the steps."""

    def __init__(self, events: list[Event], request: dict[str, Any], now: datetime) -> None:
        super().__init__(events, request, now, request["Steps"])
        window = request["Window"]
        self.window_us = int(window[:-1]) * UNITS_US[window[-1]]
        self.best: list[list[Event]] = []
        self.partial = 0
        for own in self.units():
            starts = [place for place, event in enumerate(own) if self.is_of(event, 0) and self.is_in_range(event)]
            ways = [way for place in starts for way in self._walk(own, [place])]
            if ways:
                best = min(ways, key=lambda way: (-len(way), way))
                self.best.append([own[place] for place in best])
                is_open = any(own[place].at + self.window_us >= self.now_us for place in starts)
                self.partial += is_open and len(best) < len(self.of_kinds)

    def _walk(self, own: list[Event], way: list[int]) -> Iterator[list[int]]:
        """Every way through the steps that goes on from here, as the places of its events."""
        yield way
        if len(way) == len(self.of_kinds):
            return
        last = way[-1] + 2 if self.request["Order"] == "strict" else len(own)
        for place in range(way[-1] + 1, min(last, len(own))):
            if own[place].at - own[way[0]].at <= self.window_us and self.is_of(own[place], len(way)):
                yield from self._walk(own, [*way, place])

    def steps(self, best: list[list[Event]] | None = None) -> list[tuple[int, float | None]]:
        """How many reached each step, and the median seconds from the step before."""
        best = self.best if best is None else best
        told: list[tuple[int, float | None]] = []
        for number in range(len(self.of_kinds)):
            reached = [way for way in best if len(way) > number]
            took = [way[number].at - way[number - 1].at for way in reached] if number else []
            told.append((len(reached), statistics.median(took) / 1e6 if took else None))
        return told

    def breakdown(self) -> list[tuple[str | None, list[tuple[int, float | None]]]]:
        """The steps by the value at the first of them, in order."""
        grouped: dict[str | None, list[list[Event]]] = {}
        for way in self.best:
            grouped.setdefault(as_text(value_of(way[0], self.request["Breakdown"])), []).append(way)
        groups = [(value, self.steps(ways)) for value, ways in grouped.items()]
        return sorted(groups, key=lambda one: (-one[1][0][0], one[0] is None, one[0] or ""))


class RetentionOracle(ComingsOracle):
    """Answers website_events.retention by counting each person in each period."""

    def __init__(self, events: list[Event], request: dict[str, Any], now: datetime) -> None:
        super().__init__(events, request, now, [request["Start"], request["Return"]])

    def begin(self, day: date) -> date:
        """The first day of a day's period."""
        if self.request["Unit"] == "month":
            return day.replace(day=1)
        if self.request["Unit"] == "day":
            return day
        return day - timedelta(days=day.weekday() if self.request["WeekStart"] == "monday" else (day.weekday() + 1) % 7)

    def follow(self, begin: date, count: int = 1) -> date:
        """The first day of a later period."""
        for _ in range(count):
            begin = self.begin(begin + timedelta(days={"day": 1, "week": 7, "month": 31}[self.request["Unit"]]))
        return begin

    def midnight(self, day: date) -> int:
        """When a day begins."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()) * 1_000_000

    def cohorts(self) -> list[tuple[str, int, list[int | None]]]:
        """The label, the size and the returns of each cohort."""
        started = []
        for own in self.units():
            among = [event for event in own if self.is_of(event, 0)]
            if self.request["First"] == "in_range":
                among = [event for event in among if self.is_in_range(event)]
            if among and self.is_in_range(among[0]):
                started.append((among[0], [event for event in own if event.place >= among[0].place and self.is_of(event, 1)]))
        told, begin = [], self.begin(self.first)
        while begin <= self.last:
            own_cohort = [one for one in started if self.begin(self.local_day(one[0])) == begin]
            returned = [self._return(begin, number, own_cohort) for number in range(self.request["Periods"])]
            label = begin.isoformat()[:7] if self.request["Unit"] == "month" else begin.isoformat()
            told.append((label, len(own_cohort), returned))
            begin = self.follow(begin)
        return told

    def _return(self, begin: date, number: int, cohort: list[tuple[Event, list[Event]]]) -> int | None:
        length = ROLLING_US[self.request["Unit"]]
        if self.request["Mode"] == "rolling":
            ended = min(self.midnight(self.follow(begin)), self.midnight(self.last + timedelta(days=1))) + (number + 1) * length
            in_period = [[(one.at - start.at) // length == number for one in returns] for start, returns in cohort]
        else:
            ended = self.midnight(self.follow(begin, number + 1))
            wanted = self.follow(begin, number)
            in_period = [[self.begin(self.local_day(one)) == wanted for one in returns] for _, returns in cohort]
        return len([one for one in in_period if any(one)]) if ended <= self.now_us else None
