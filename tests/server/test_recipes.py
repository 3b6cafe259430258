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
from datetime import UTC, datetime, timedelta
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


def funnel(sent: list[Sent]) -> list[Row]:
    """How many visitors reached each step."""
    reached = [0, 0, 0]
    for visitor in {one.visitor for one in of(sent, "pageView")}:
        times = {event: [one.at for one in of(sent, event) if one.visitor == visitor] for event in ("signup", "conversion")}
        best = 1
        for view in (one.at for one in of(sent, "pageView") if one.visitor == visitor):
            signup = next((at for at in times["signup"] if view <= at <= view + timedelta(days=7)), None)
            if signup is not None:
                has_ordered = any(signup <= at <= view + timedelta(days=7) for at in times["conversion"])
                best = max(best, 3 if has_ordered else 2)
        for step in range(best):
            reached[step] += 1
    assert reached[0] > reached[1] > reached[2] > 0
    return [tuple(reached)]


def by_campaign(sent: list[Sent]) -> list[Row]:
    """Campaigns, orders, revenue."""
    first: dict[str, str] = {}
    values: dict[str, list[float]] = defaultdict(list)
    for one in of(sent):
        if one.event == "pageView":
            found = parse_qs(urlsplit(one.properties["url"]).query).get("utm_campaign")
            if found:
                first.setdefault(one.visitor, found[0])
        elif one.event == "conversion":
            values[first.get(one.visitor, "no campaign")].append(value_of(one))
    rows = [(campaign, len(own), round(sum(own), 2)) for campaign, own in values.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


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
    "A funnel whose steps are compared": funnel,
    "Revenue by the first campaign": by_campaign,
    "The median session": sessions,
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
