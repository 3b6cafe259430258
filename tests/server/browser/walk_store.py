"""The store that a walk over the dashboard looks at, and what its pages must say, counted in plain Python."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random
from typing import Any

from falcon_events import EventTracking
from tests.shortcuts import write_store
from tests.unit.comings_oracle import FunnelOracle, RetentionOracle
from tests.unit.query_oracle import Event, Oracle, as_text

SHOP, MANY = 1, 2
"""The lists: a shop with known answers, and one with as many event types and property names as a list may have."""
MARCH = ("2026-03-01", "2026-03-31")
BEFORE = ("2026-01-29", "2026-02-28")
"""As many days as March has, directly before it."""
PATHS = ("/", "/pricing", "/blog/hello", "/docs")
REFERRERS = ("", "", "www.search.example", "social.example")
BROWSERS = (("Firefox", "Linux"), ("Chrome", "Windows"), ("Safari", "iOS"))
NONE = "\u2013"
"""Stands for a number that there is not."""
NOW = datetime(2026, 6, 1, tzinfo=UTC)
"""Later than the end of whatever is asked for."""


class ShopEvent(Event):
    """An event of the shop, with the dimensions of its page and browser."""

    @property
    def referring_domain(self) -> Any:
        """The host of the page before."""
        return self.properties.get("$referring_domain")

    @property
    def browser(self) -> Any:
        """The browser's name."""
        return self.properties.get("$browser")

    @property
    def os(self) -> Any:
        """The operating system."""
        return self.properties.get("$os")

    @property
    def moment(self) -> datetime:
        """When it happened."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.at)


@functools.cache
def make_events() -> list[ShopEvent]:
    """Make the shop's events of February and March, in the order in which they happened."""
    rng = Random(5)
    made = [one for number in range(40) for one in _visit_shop(rng, number)]
    made.sort(key=lambda one: one.at)
    for seq, one in enumerate(made, 1):
        one.seq = seq
    return made


def _visit_shop(rng: Random, number: int) -> list[ShopEvent]:
    """Make the events of a person: of three in four with an address, of one in five on two devices."""
    email = f"person{number:02}@example.com" if number % 4 else None
    devices = [f"{number:04}{place:04}-0000-4000-8000-000000000000" for place in range(2 if email and number % 5 == 1 else 1)]
    begin = datetime(2026, 2, 2, tzinfo=UTC) + timedelta(days=rng.randrange(50))
    found: list[ShopEvent] = []
    visits = max(rng.randrange(1, 6), len(devices))
    for visit in range(visits):
        device = devices[visit % len(devices)]
        browser, system = BROWSERS[(number + visit % len(devices)) % len(BROWSERS)]
        at = begin + timedelta(days=visit * rng.randrange(1, 9), seconds=rng.randrange(8 * 3600, 20 * 3600))
        about = {"$browser": browser, "$os": system}

        def add(event: str, known: str | None, **properties: Any) -> None:
            nonlocal at
            microseconds = int(at.timestamp()) * 1_000_000
            found.append(ShopEvent(0, event, device, known, microseconds, {**properties, **about}))  # noqa: B023
            at += timedelta(seconds=rng.randrange(20, 900))

        for view in range(rng.randrange(1, 4)):
            path = rng.choice(PATHS)
            query = "?utm_campaign=spring&utm_source=news" if path == "/pricing" and not view and number % 3 == 0 else ""
            referrer = "shop.example" if view else rng.choice(REFERRERS)
            add("pageView", None, url=f"https://shop.example{path}{query}", **{"$referring_domain": referrer})
        if email and visit == 0:
            add("signup", email, plan=("free", "pro", "team")[number % 3], seats=number % 7 + 1)
        elif email:
            add("login", email)
        if email and visit and rng.random() < 0.6:
            value = rng.randrange(20, 900) / 4
            order = {"conversion-id": f"{number}-{visit}", "conversion-name": "order", "conversion-value": value}
            add("conversion", email, **order)
    return found


@dataclass
class WalkStore:
    """The bytes of a closed store with both lists, and the secrets of a key of scope full."""

    content: bytes
    account: str
    key: str

    def copy_to(self, folder: Path) -> Path:
        """Write a copy of the store. Return its path."""
        folder.mkdir(exist_ok=True)
        path = folder / "events.duckdb"
        write_store(path, self.content)
        return path


@functools.cache
def make_walk_store() -> WalkStore:
    """Make the store, once in a process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.duckdb"
        with EventTracking(path) as tracking:
            tracking.directory.create_account("alice")
            tracking.directory.create_list("alice", "Shop", SHOP)
            tracking.directory.create_list("alice", "Many", MANY)
            bodies = [json.dumps(write_event(one)).encode() for one in make_events()] + list_many_names()
            outcomes = list(tracking.track_many(bodies))
            assert {type(one).__name__ for one in outcomes} == {"Tracked"}
            key = tracking.directory.create_key("alice").key
        return WalkStore(path.read_bytes(), "alice", key)


def write_event(one: ShopEvent) -> dict[str, Any]:
    """Return the request that stores an event."""
    known = {"email": one.email, "id": f"customer-{one.email[6:8]}"} if one.email else {}
    traits = {"IdentifyProperties": {"plan": one.properties["plan"]}} if one.event == "signup" else {}
    moment = one.moment.isoformat()
    return {
        "ListID": SHOP,
        "event": one.event,
        "UUID": one.visitor,
        "Timestamp": moment,
        "properties": one.properties,
        **known,
        **traits,
    }


def list_many_names() -> list[bytes]:
    """Return requests with 10,000 event types, of which one has 100,000 properties."""
    shared = {"ListID": MANY, "UUID": "11111111-0000-4000-8000-000000000000", "Timestamp": "2026-03-05T10:00:00Z"}
    types = [{**shared, "event": f"type-{number:05}"} for number in range(9_999)]
    wide = [
        {**shared, "event": "wide", "properties": {f"name-{number:06}": 1 for number in range(first, first + 800)}}
        for first in range(0, 100_000, 800)
    ]
    return [json.dumps(one).encode() for one in types + wide]


def ask(
    *metrics: Any, by: str | None = None, filters: Sequence[Any] = (), people: Sequence[Any] = (), days: Sequence[str] = MARCH
) -> list[tuple[str | None, list[Any]]]:
    """Answer a question about the shop: the rows, each with its value of the dimension and its metrics."""
    request = _describe(days, filters, people) | {"Dimensions": [by] if by else [], "Metrics": list(metrics)}
    return [(key[0] if key else None, values) for key, values in Oracle([*make_events()], request, NOW).rows()]


def count_funnel(steps: list[dict[str, Any]], days: Sequence[str] = MARCH) -> FunnelOracle:
    """Answer a funnel of people, within a week."""
    request = _describe(days) | {"Steps": steps, "Window": "7d", "Order": "sequential", "By": "people"}
    return FunnelOracle([*make_events()], request, NOW)


def count_retention(start: str, unit: str, periods: int) -> list[tuple[str, int, list[int | None]]]:
    """Answer how many of those who began came back for anything."""
    request = _describe(MARCH) | {"Start": {"Event": start}, "Return": {}, "Unit": unit, "Periods": periods}
    return RetentionOracle([*make_events()], request | {"First": "ever", "Mode": "calendar", "By": "people"}, NOW).cohorts()


def name_persons(*conditions: Any, days: Sequence[str] = MARCH, people: Sequence[Any] = ()) -> list[str]:
    """Return the persons who have events in a range that meet conditions, by name."""
    request = _describe(days, conditions, people)
    return sorted({one.person for one in Oracle([*make_events()], request, NOW).matched(list(conditions))})


def list_events_of(person: str) -> list[ShopEvent]:
    """Return the events of a person, the latest first."""
    return sorted((one for one in make_events() if one.person == person), key=lambda one: one.place, reverse=True)


def _describe(days: Sequence[str], filters: Sequence[Any] = (), people: Sequence[Any] = ()) -> dict[str, Any]:
    shared = {"TimeZone": "UTC", "WeekStart": "monday", "DateRange": list(days)}
    return {**shared, "Filters": list(filters), "People": list(people)}


def write_number(value: float | None) -> str:
    """Write a number as an English browser does: with two decimals at most, and commas between thousands."""
    return NONE if value is None else f"{_round(Decimal(repr(value)), 2):,f}"


def write_share(value: float | None) -> str:
    """Write a share as an English browser does: 66.7%."""
    return NONE if value is None else f"{_round(Decimal(repr(value)) * 100, 1):,f}%"


def write_seconds(value: float | None) -> str:
    """Write a duration with its two largest units: 2 min 30 s."""
    if value is None:
        return NONE
    whole = round(value)
    for size, unit, part_size, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"


def write_value(value: Any) -> str:
    """Write a value of a dimension: words in brackets where there is none."""
    return {None: "(none)", "": "(empty)"}.get(value) or str(as_text(value))


def _round(value: Decimal, digits: int) -> Decimal:
    rounded = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP).normalize()
    return rounded.quantize(Decimal(1)) if rounded == rounded.to_integral() else rounded
