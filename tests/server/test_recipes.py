"""Every recipe of docs/recipes.md gives what the same question gives in Python, of sample data that came in over HTTP."""

from __future__ import annotations

import itertools
import json
import random
import re
import statistics
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from falcon_events import EventTracking
from tests.harness import EVENTS, serving

pytestmark = pytest.mark.database

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
SECTIONS = dict(section.split("\n", 1) for section in PAGE.read_text().split("\n## ")[1:])
RECIPES = {
    heading: sql
    for heading, text in SECTIONS.items()
    for sql in re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
}
START = datetime(2026, 1, 5, tzinfo=UTC)
CAMPAIGNS = ["spring", "news & more", "référence"]
Row = tuple[Any, ...]


@dataclass
class Sent:
    """An event as it is sent; `bot` says that its User-Agent is a crawler's."""

    visitor: str
    event: str
    at: datetime
    properties: dict[str, Any] = field(default_factory=dict)
    email: str | None = None
    bot: bool = False

    def body(self) -> dict[str, Any]:
        """The event of a batch."""
        body = {"event": self.event, "UUID": self.visitor, "Timestamp": self.at.isoformat(), "properties": self.properties}
        return body if self.email is None else {**body, "email": self.email}


def sample() -> Iterator[Sent]:
    """Six weeks of a shop: visits with and without campaigns, signups before and after them, orders, people with two browsers."""
    dice = random.Random(2026)
    for number in range(150):
        visitor = str(uuid.UUID(int=dice.getrandbits(128), version=4))
        email = f"Person{number // 2 if number % 5 == 0 else number}@example.com"
        at = START + timedelta(seconds=dice.randrange(28 * 86_400), microseconds=number)
        for visit in range(dice.randint(1, 5)):
            for _ in range(dice.randint(1, 6)):
                campaign = f"?a=1&utm_campaign={quote(dice.choice(CAMPAIGNS))}#x" if dice.random() < 0.3 else "?utm_campaign="
                path = dice.choice(["/", "/prices", "/help"])
                yield Sent(visitor, "pageView", at, {"url": f"https://shop.example.com{path}{campaign}"})
                at += timedelta(seconds=dice.randint(5, 2400))
            if dice.random() < 0.3:
                yield Sent(visitor, "signup", at, {"plan": "free"}, email)
                at += timedelta(minutes=dice.randint(1, 3000))
            if dice.random() < 0.4:
                value: float | str = round(dice.uniform(5, 200), 2)
                order = {"conversion-id": f"{number}-{visit}", "conversion-name": "order", "conversion-value": value}
                if dice.random() < 0.3:
                    order["conversion-value"] = str(value)
                yield Sent(visitor, "conversion", at, order, email)
            at += timedelta(hours=dice.randint(1, 200))
    for number in range(20):
        visitor = str(uuid.UUID(int=dice.getrandbits(128), version=4))
        yield Sent(visitor, "pageView", START + timedelta(hours=number), {"url": "https://shop.example.com/"}, bot=True)


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    """The sample, and one event of today that is not late."""
    return [*sample(), Sent(str(uuid.UUID(int=7, version=4)), "signup", datetime.now(UTC), {}, "late@example.com")]


@pytest.fixture(scope="module")
def store(sent: list[Sent], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A store that has taken the sample in over HTTP, with another list whose events must not count."""
    db = tmp_path_factory.mktemp("recipes") / "events.duckdb"
    with EventTracking(db) as tracking:
        tracking.directory.create_account("shop")
        for list_id in (1, 2):
            tracking.directory.create_list("shop", f"list {list_id}", list_id)
        key = tracking.directory.create_key("shop").key
    with serving(db) as served:
        for bot in (False, True):
            headers = {"User-Agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"} if bot else {}
            some = [one for one in sent if one.bot is bot]
            for part in (some[start : start + 500] for start in range(0, len(some), 500)):
                for list_id, count in ((1, len(part)), (2, 50)):
                    body = {"APIKey": key, "ListID": list_id, "Events": [one.body() for one in part[:count]]}
                    results = served.client.post(EVENTS, json=body, headers=headers).json()["Results"]
                    assert {result.get("status") for result in results} == {"success"}
        served.stop()
    with EventTracking(db) as tracking:
        yield tracking


def of(sent: list[Sent], event: str | None = None, *, bots: bool = False) -> list[Sent]:
    """The events of a type, in order of time."""
    return sorted((one for one in sent if event in (None, one.event) and (bots or not one.bot)), key=lambda one: one.at)


def value_of(one: Sent) -> float:
    """What an order was worth."""
    return float(one.properties["conversion-value"])


def by_day(sent: list[Sent]) -> list[Row]:
    """Days, visitors, events."""
    days: dict[date, list[str]] = defaultdict(list)
    for one in of(sent):
        days[one.at.date()].append(one.visitor)
    return [(str(day), len(set(visitors)), len(visitors)) for day, visitors in sorted(days.items())]


def by_page(sent: list[Sent]) -> list[Row]:
    """Paths, views, visitors."""
    pages: dict[str, list[str]] = defaultdict(list)
    for one in of(sent, "pageView"):
        pages[urlsplit(one.properties["url"]).path].append(one.visitor)
    return sorted(((page, len(seen), len(set(seen))) for page, seen in pages.items()), key=lambda row: (-row[1], row[0]))


def funnel(sent: list[Sent]) -> list[Row]:
    """How many visitors reached each step."""
    reached = [0, 0, 0]
    for visitor in {one.visitor for one in of(sent, "pageView")}:
        own = [one for one in of(sent) if one.visitor == visitor]
        first = next(one.at for one in own if one.event == "pageView")
        reached[0] += 1
        signups = [one.at for one in own if one.event == "signup" and first <= one.at <= first + timedelta(days=7)]
        if signups:
            reached[1] += 1
            reached[2] += any(one.event == "conversion" and signups[0] <= one.at <= first + timedelta(days=7) for one in own)
    return [(1, "viewed", reached[0]), (2, "signed up", reached[1]), (3, "bought", reached[2])]


def retention(sent: list[Sent]) -> list[Row]:
    """Cohorts, weeks later, visitors."""
    weeks: dict[str, set[date]] = defaultdict(set)
    for one in of(sent):
        weeks[one.visitor].add(one.at.date() - timedelta(days=one.at.weekday()))
    counts = Counter((min(own), (week - min(own)).days // 7) for own in weeks.values() for week in own)
    return [(str(cohort), later, visitors) for (cohort, later), visitors in sorted(counts.items())]


def by_campaign(sent: list[Sent]) -> list[Row]:
    """Campaigns, orders, revenue."""
    last: dict[str, str] = {}
    values: dict[str, list[float]] = defaultdict(list)
    for one in of(sent):
        if one.event == "pageView":
            found = parse_qs(urlsplit(one.properties["url"]).query).get("utm_campaign")
            if found:
                last[one.visitor] = found[0]
        elif one.event == "conversion":
            values[last.get(one.visitor, "no campaign")].append(value_of(one))
    rows = [(campaign, len(own), round(sum(own), 2)) for campaign, own in values.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def by_person(sent: list[Sent]) -> list[Row]:
    """Addresses, visitors, orders, revenue."""
    known: dict[str, set[str]] = defaultdict(set)
    for one in sent:
        if one.email:
            known[one.visitor].add(one.email.lower())
    orders: dict[str, list[Sent]] = defaultdict(list)
    for one in of(sent, "conversion"):
        for email in known[one.visitor]:
            orders[email].append(one)
    rows = [
        (email, len({one.visitor for one in own}), len(own), round(sum(map(value_of, own)), 2)) for email, own in orders.items()
    ]
    assert any(row[1] > 1 for row in rows)
    return sorted(rows, key=lambda row: (-row[3], row[0]))[:10]


def sessions(sent: list[Sent]) -> list[Row]:
    """How many, pages of one, the median of their seconds."""
    views: dict[str, list[datetime]] = defaultdict(list)
    for one in of(sent, "pageView"):
        views[one.visitor].append(one.at)
    made: list[list[datetime]] = []
    for own in views.values():
        for before, at in itertools.pairwise([None, *own]):
            assert at is not None
            if before is None or at - before > timedelta(minutes=30):
                made.append([])
            made[-1].append(at)
    lengths = [(one[-1] - one[0]).total_seconds() for one in made]
    return [(len(made), round(statistics.mean(map(len, made)), 3), statistics.median(lengths))]


def to_first_order(sent: list[Sent]) -> list[Row]:
    """How many customers, and the median of their hours."""
    hours = []
    for visitor in {one.visitor for one in sent}:
        signup = next((one.at for one in of(sent, "signup") if one.visitor == visitor), None)
        orders = [one.at for one in of(sent, "conversion") if one.visitor == visitor and signup and one.at >= signup]
        if signup and orders:
            hours.append((orders[0] - signup).total_seconds() / 3600)
    return [(len(hours), round(statistics.median(hours), 2))]


def lateness(sent: list[Sent]) -> list[Row]:
    """Event types, events, those that came more than a day late; an identify event for each new pair of visitor and address."""
    recent = datetime.now(UTC) - timedelta(days=1)
    pairs = {(one.visitor, one.email): one.at for one in reversed(sent) if one.email}
    all_ = [(one.event, one.at) for one in sent] + [("identify", at) for at in pairs.values()]
    counts = Counter(event for event, _ in all_)
    return [
        (event, count, sum(1 for name, at in all_ if name == event and at < recent)) for event, count in sorted(counts.items())
    ]


ANSWERS: dict[str, Callable[[list[Sent]], list[Row]]] = {
    "Visitors and events by day": by_day,
    "Pages": by_page,
    "A funnel": funnel,
    "Retention by week": retention,
    "Revenue by campaign": by_campaign,
    "Revenue by person": by_person,
    "Sessions": sessions,
    "From the signup to the first order": to_first_order,
    "Where events are late": lateness,
}


def test_every_recipe_is_tried() -> None:
    """Each SQL block of the page stands under a heading of its own, and has an answer in Python."""
    assert RECIPES.keys() == SECTIONS.keys() == ANSWERS.keys()
    assert len(RECIPES) == PAGE.read_text().count("```sql\n")


@pytest.mark.parametrize("recipe", ANSWERS)
def test_a_recipe_answers_its_question(recipe: str, store: EventTracking, sent: list[Sent]) -> None:
    """Row for row as counted in Python."""
    answer = [tuple(json.loads(json.dumps(row, default=str))) for row in store.sql(RECIPES[recipe]).rows]
    expected = ANSWERS[recipe](sent)
    assert len(expected) > 0
    assert answer == [pytest.approx(row) if all(isinstance(cell, int | float) for cell in row) else row for row in expected]
