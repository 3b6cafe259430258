"""What website_events.query answers, in plain Python: lists and loops over events, no SQL."""

from __future__ import annotations

import json
import math
import re
import statistics
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

GAP_US = 1_800_000_000
DAYS_30_US = 30 * 86_400_000_000
NUMBER = re.compile(r"[ \t\n\r]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t\n\r]*")
COUNTING = {"events", "visitors", "people", "sessions", "conversions", "views"}
NEGATIVES = {"is_not": "is", "contains_not": "contains", "matches_not": "matches", "is_not_set": "is_set"}


def json_text(value: Any) -> str:
    """A value as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass
class Event:
    """A stored event."""

    seq: int
    event: str
    visitor: str
    email: str | None
    at: int
    properties: dict[str, Any]
    automatic: bool | None = None
    person: str = field(default="", compare=False)
    session: list[Event] = field(default_factory=list, compare=False, repr=False)
    is_order: bool = False
    campaign: str | None = None

    @cached_property
    def place(self) -> tuple[int, int]:
        """Its place in the order of events."""
        return self.at, self.seq

    @property
    def page(self) -> str | None:
        """Its URL."""
        return self.properties.get("url")

    @property
    def path(self) -> str | None:
        """The path of its URL, all of which are absolute here."""
        if self.page is None:
            return None
        found = re.fullmatch(r"https?://[^/?#]*([^?#]*).*", self.page)
        assert found
        return found[1] or "/"

    @property
    def utm_campaign(self) -> str | None:
        """The utm_campaign of its URL."""
        found = re.search(r"\?(?:[^#]*&)?utm_campaign=([^&#]*)", self.page or "")
        return (unquote(found[1].replace("+", " ")) or None) if found else None


def as_text(value: Any) -> str | None:
    """The text of a value; None for null."""
    return value if value is None or isinstance(value, str) else json_text(value)


def as_number(text: str | None) -> float | None:
    """The finite number that a text is to JSON."""
    if text is None or not NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def resolve(events: list[Event]) -> None:
    """Find the person of each event."""
    for event in events:
        own = sorted((other for other in events if other.visitor == event.visitor), key=lambda other: other.place)
        earlier = [other.email for other in own if other.place <= event.place and other.email]
        later = [other.email for other in own if other.place > event.place and other.email]
        event.person = (earlier[-1] if earlier else later[0] if later else event.visitor).lower()


def is_automatic(event: Event, events: list[Event]) -> bool:
    """Whether an identify event was stored beside another one."""
    if event.event != "identify" or event.automatic is not None:
        return bool(event.automatic)
    beside = [other for other in events if abs(other.seq - event.seq) == 1]
    return any(other.visitor == event.visitor and other.at == event.at for other in beside)


def leaves(filters: list[Any]) -> list[Any]:
    """The conditions that are no combination."""
    found = []
    for one in filters:
        found += leaves(one[1]) if one[0] in ("and", "or") else leaves([one[1]]) if one[0] == "not" else [one]
    return found


def show(events: list[Event], filters: list[Any], name: str | None = None) -> list[Event]:
    """The events that are not left out."""
    bots = any(one[1] == "property:$bot" for one in leaves(filters))
    identify = name == "identify" or any(one[:2] == ["is", "event"] and "identify" in one[2] for one in leaves(filters))
    return [
        event
        for event in events
        if (bots or event.properties.get("$bot") is None) and (identify or not is_automatic(event, events))
    ]


def enrich(shown: list[Event]) -> None:
    """Find the sessions, orders and campaigns."""
    orders: set[str] = set()
    sessions: dict[str, list[Event]] = {}
    touches: dict[str, Event] = {}
    for event in sorted(shown, key=lambda event: event.place):
        session = sessions.get(event.visitor, [])
        if not session or event.at - session[-1].at >= GAP_US:
            session = sessions[event.visitor] = []
        session.append(event)
        event.session = session
        order = as_text(event.properties.get("conversion-id")) if event.event == "conversion" else None
        event.is_order = order is not None and order not in orders
        if order is not None:
            orders.add(order)
        if event.event == "pageView" and event.utm_campaign:
            touches[event.person] = event
        touch = touches.get(event.person)
        event.campaign = touch.utm_campaign if touch and touch.at >= event.at - DAYS_30_US else None


def value_of(event: Event, dimension: str) -> Any:
    """The value of a dimension, as JSON has it; None where it is missing."""
    if dimension.startswith("property:"):
        return event.properties.get(dimension.removeprefix("property:"))
    if dimension in ("entry_path", "exit_path"):
        paths = [one.path for one in event.session if one.path is not None]
        return None if not paths else paths[0] if dimension == "entry_path" else paths[-1]
    return getattr(event, dimension)


def meets_value(operator: str, value: Any, values: list[Any], case_sensitive: bool = True) -> bool:
    """Whether a value satisfies a positive condition."""
    if operator == "is_set":
        return value is not None
    if isinstance(value, dict):
        return False
    if isinstance(value, list):
        scalars = [one for one in value if one is not None and not isinstance(one, list | dict)]
        return any(meets_value(operator, one, values, case_sensitive) for one in scalars)
    text = as_text(value)
    number = as_number(text)
    if operator == "between":
        return number is not None and values[0] <= number <= values[1]
    return any(_meets_one(operator, text, number, one, case_sensitive) for one in values)


def _meets_one(operator: str, text: str | None, number: float | None, given: Any, case_sensitive: bool) -> bool:
    if given is None:
        return text is None
    if isinstance(given, bool):
        given = json_text(given)
    if not isinstance(given, str):
        signs = {"is": number == given, ">": (number or 0) > given, ">=": (number or 0) >= given}
        signs |= {"<": (number or 0) < given, "<=": (number or 0) <= given}
        return number is not None and signs[operator]
    if text is None:
        return False
    if operator == "matches":
        return re.search(given, text, 0 if case_sensitive else re.IGNORECASE) is not None
    if not case_sensitive:
        text, given = text.lower(), given.lower()
    return {
        "is": text == given,
        "contains": given in text,
        "starts_with": text.startswith(given),
        "ends_with": text.endswith(given),
    }[operator]


def meets(event: Event, condition: list[Any]) -> bool:
    """Whether an event satisfies a filter."""
    if condition[0] == "and":
        return all(meets(event, one) for one in condition[1])
    if condition[0] == "or":
        return any(meets(event, one) for one in condition[1])
    if condition[0] == "not":
        return not meets(event, condition[1])
    return _meets_leaf(condition, value_of(event, condition[1]))


def _meets_leaf(condition: list[Any], value: Any) -> bool:
    operator, _, values, *options = [*condition, []] if len(condition) == 2 else condition
    positive = NEGATIVES.get(operator, operator)
    met = meets_value(positive, value, values, **(options[0] if options else {}))
    return met is not (operator in NEGATIVES)


class Oracle:
    """Answers a request over events.

    Args:
        events: all events of the list.
        request: the parameters.
        now: the present.
    """

    def __init__(self, events: list[Event], request: dict[str, Any], now: datetime) -> None:
        self.request = request
        self.zone = ZoneInfo(request["TimeZone"])
        self.now = now
        self.all = events
        resolve(events)
        self.shown = show(events, request["Filters"])
        enrich(self.shown)
        self.first, self.last = (date.fromisoformat(day) for day in request["DateRange"])

    def local_day(self, event: Event) -> date:
        """The local day of an event."""
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.at)).astimezone(self.zone).date()

    def meets_person(self, person: str, condition: list[Any]) -> bool:
        """Whether a person satisfies a condition."""
        if condition[0] == "and":
            return all(self.meets_person(person, one) for one in condition[1])
        if condition[0] == "or":
            return any(self.meets_person(person, one) for one in condition[1])
        if condition[0] == "not":
            return not self.meets_person(person, condition[1])
        if condition[0] in ("has_done", "has_not_done"):
            return self._count(person, condition[1]) is (condition[0] == "has_done")
        own = sorted((event for event in self.shown if event.person == person), key=lambda event: event.place)
        if condition[1] == "email":
            return _meets_leaf(condition, person if "@" in person else None)
        if condition[1] in ("first_seen", "last_seen"):
            if not own:
                return False
            seen = self.local_day(own[0] if condition[1] == "first_seen" else own[-1])
            limit = date.fromisoformat(condition[2][0])
            return {">": seen > limit, ">=": seen >= limit, "<": seen < limit, "<=": seen <= limit}[condition[0]]
        having = [value for event in own if (value := value_of(event, condition[1])) is not None]
        return _meets_leaf(condition, having[-1] if having else None)

    def _count(self, person: str, done: dict[str, Any]) -> bool:
        name, filters = done.get("Event"), done.get("Filters", [])
        counted = [event for event in show(self.all, filters, name) if event.person == person]
        if name is not None:
            counted = [event for event in counted if event.event == name]
        if "Within" in done:
            first, last = (date.fromisoformat(day) for day in done["Within"])
            counted = [event for event in counted if first <= self.local_day(event) <= last]
        number = len([event for event in counted if all(meets(event, one) for one in filters)])
        operator, limit = done.get("Count", [">=", 1])
        return {">=": number >= limit, "<": number < limit, "is": number == limit}[operator]

    @cached_property
    def persons(self) -> set[str]:
        """The persons who meet the conditions."""
        known = {event.person for event in self.shown}
        for one in leaves(self.request["People"]):
            if one[0] in ("has_done", "has_not_done"):  # which may ask for events that are left out elsewhere
                asked = show(self.all, one[1].get("Filters", []), one[1].get("Event"))
                known.update(event.person for event in asked)
        return {person for person in known if all(self.meets_person(person, one) for one in self.request["People"])}

    def matched(self, filters: list[Any]) -> list[Event]:
        """The events of the range that filters and conditions on persons let through."""
        return [
            event
            for event in self.shown
            if self.first <= self.local_day(event) <= self.last
            and event.person in self.persons
            and all(meets(event, one) for one in filters)
        ]

    def label(self, event: Event, dimension: str) -> str | None:
        """The value of a dimension in a row."""
        day = self.local_day(event)
        if dimension == "time:day":
            return day.isoformat()
        if dimension == "time:week":
            back = day.weekday() if self.request["WeekStart"] == "monday" else (day.weekday() + 1) % 7
            return (day - timedelta(days=back)).isoformat()
        if dimension == "time:month":
            return day.isoformat()[:7]
        if dimension == "time:hour":
            moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.at)).astimezone(self.zone)
            return moment.replace(minute=0, second=0, microsecond=0).isoformat()
        return as_text(value_of(event, dimension))

    def rows(self) -> list[tuple[list[str | None], list[Any]]]:
        """The rows in order."""
        dimensions = self.request["Dimensions"]
        grouped: dict[tuple[str | None, ...], list[Event]] = {}
        if dimensions in (["time:day"], ["time:week"], ["time:month"]):
            for number in range((self.last - self.first).days + 1):
                day = self.first + timedelta(days=number)
                noon = datetime(day.year, day.month, day.day, 12, tzinfo=self.zone)
                event = Event(0, "", "", None, int(noon.timestamp()) * 1_000_000, {})
                grouped.setdefault((self.label(event, dimensions[0]),), [])
        if not dimensions:
            grouped[()] = []
        for event in self.matched(self.request["Filters"]):
            grouped.setdefault(tuple(self.label(event, name) for name in dimensions), []).append(event)
        rows = [(list(key), self.metrics(events)) for key, events in grouped.items()]
        rows.sort(key=lambda row: [(value is None, value or "") for value in row[0]])
        if not any(name.startswith("time:") for name in dimensions):
            rows.sort(key=lambda row: -math.inf if row[1][0] is None else row[1][0], reverse=True)
        return rows

    def metrics(self, events: list[Event]) -> list[Any]:
        """The metrics of a row."""
        return [
            self._aggregate(events, *one) if isinstance(one, list) else self._measure(events, one)
            for one in self.request["Metrics"]
        ]

    def _measure(self, events: list[Event], metric: str) -> Any:
        sessions = list({id(event.session): event.session for event in events}.values())
        views = len([event for event in events if event.event == "pageView"])
        orders = [event for event in events if event.is_order]
        values = [as_number(as_text(event.properties.get("conversion-value"))) for event in orders]
        return {
            "events": lambda: len(events),
            "visitors": lambda: len({event.visitor for event in events}),
            "people": lambda: len({event.person for event in events}),
            "sessions": lambda: len(sessions),
            "views": lambda: views,
            "conversions": lambda: len(orders),
            "revenue": lambda: _sum([value for value in values if value is not None]),
            "bounce_rate": lambda: _mean([float(len(session) == 1) for session in sessions]),
            "session_seconds": lambda: _mean([(session[-1].at - session[0].at) / 1e6 for session in sessions]),
            "views_per_session": lambda: views / len(sessions) if sessions else None,
        }[metric]()

    def _aggregate(self, events: list[Event], aggregate: str, dimension: str) -> Any:
        texts = [text for event in events if (text := as_text(value_of(event, dimension))) is not None]
        if aggregate == "distinct":
            return len(set(texts))
        numbers = sorted(number for text in texts if (number := as_number(text)) is not None)
        if not numbers:
            return None
        place = 0.95 * (len(numbers) - 1)
        low = math.floor(place)
        return {
            "sum": _sum(numbers),
            "avg": _mean(numbers),
            "min": numbers[0],
            "max": numbers[-1],
            "median": statistics.median(numbers),
            "p95": numbers[low] + (numbers[math.ceil(place)] - numbers[low]) * (place - low),
        }[aggregate]

    def warnings(self) -> dict[str, int]:
        """How many events have a value that was to be a number and is none."""

        def compared(condition: list[Any]) -> set[str]:
            return {one[1] for one in leaves([condition]) if one[0] in (">", ">=", "<", "<=", "between")}

        filters = self.request["Filters"]
        computed = [one[1] for one in self.request["Metrics"] if isinstance(one, list) and one[0] != "distinct"]
        found = {}
        for name in {*computed, *(name for condition in filters for name in compared(condition))}:
            events = self.matched([condition for condition in filters if name not in compared(condition)])
            texts = [as_text(value_of(event, name)) for event in events]
            found[name] = len([text for text in texts if text is not None and as_number(text) is None])
        return {name: number for name, number in found.items() if number}


def _sum(numbers: list[float]) -> float | None:
    return math.fsum(numbers) if numbers else None


def _mean(numbers: list[float]) -> float | None:
    return math.fsum(numbers) / len(numbers) if numbers else None
