"""What `serve --demo` fills a store with: the same events each time, and numbers that questions find again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from falcon_events import EventTracking, RequestRefused
from falcon_events.demo import DemoSummary, fill_demo
from falcon_events.demo.feed import list_coming
from falcon_events.demo.fill import QUERIES, SEGMENTS
from falcon_events.demo.shop import HERE_NOW, SPIKE_DAYS_AGO, Shop
from falcon_events.demo.shoppers import DemoEvent
from falcon_events.query.names import DIMENSIONS

NOW = datetime(2026, 3, 18, 10, 20, 30, tzinfo=UTC)
BOTS = ["is_set", "property:$bot"]


def generate(seed: int = 3, now: datetime = NOW) -> list[DemoEvent]:
    """The events of a small shop."""
    return list(Shop(seed, now, days=40, people_per_day=8, list_id=1).generate())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventTracking, DemoSummary]]:
    """A store with two months of a small shop, and what these add up to."""
    with EventTracking(tmp_path_factory.mktemp("demo") / "events.duckdb", clock=NOW.timestamp) as tracking:
        yield tracking, fill_demo(tracking, seed=7, now=NOW, days=63, people_per_day=14)


@pytest.fixture
def demo(filled: tuple[EventTracking, DemoSummary]) -> EventTracking:
    """The store."""
    return filled[0]


@pytest.fixture
def summary(filled: tuple[EventTracking, DemoSummary]) -> DemoSummary:
    """What its events add up to."""
    return filled[1]


def test_the_same_seed_gives_the_same_events() -> None:
    """To the last property; another seed gives other ones."""
    assert generate() == generate()
    assert generate() != generate(seed=4)


def test_a_later_hour_of_a_day_only_adds_events() -> None:
    """But for the visits under way, which are those of the moment."""
    later = generate(now=NOW + timedelta(hours=8))
    until = (NOW - timedelta(hours=3)).timestamp() * 1000
    assert [event for event in generate() if event.at < until] == [event for event in later if event.at < until]
    assert len(later) > len(generate())


def test_events_come_in_order_and_end_at_present() -> None:
    """The first day is whole, and nothing happens after now."""
    times = [event.at for event in generate()]
    assert times == sorted(times)
    assert times[-1] <= NOW.timestamp() * 1000
    assert datetime.fromtimestamp(times[0] / 1000, UTC).date() == NOW.date() - timedelta(days=39)


@pytest.mark.parametrize("hour", [0, 4, 23])
def test_somebody_is_there_at_any_hour(hour: int) -> None:
    """People have done something within the last five minutes, also just after midnight."""
    now = NOW.replace(hour=hour, minute=1)
    recent = {event.visitor for event in generate(now=now) if event.at > (now - timedelta(minutes=5)).timestamp() * 1000}
    assert len(recent) >= HERE_NOW


def test_addresses_and_pages_are_reserved_ones() -> None:
    """Nobody real is named: example.com and example.org belong to nobody."""
    for event in generate():
        assert event.email is None or event.email.endswith(("@example.com", "@example.org"))
        host = event.properties["$host"]
        assert host in ("shop.example.com", "account.example.com")
        assert event.properties.get("url", f"https://{host}/").startswith(f"https://{host}/")


def test_a_page_view_has_the_properties_of_the_trackers(demo: EventTracking) -> None:
    """All that docs/tracker.md lists, but for $sent_at, which corrects clocks."""
    text = (Path(__file__).parents[2] / "docs" / "tracker.md").read_text()
    listed = text[text.index("Each event has the properties") :].split("\n\n")[0]
    documented = {word for word in listed.replace("`", " ").replace(",", " ").split() if word.startswith("$")}
    assert documented - {"$sent_at"} | {"url"} <= set(demo.properties(1)["pageView"])


def test_questions_give_the_numbers_of_plain_counting(demo: EventTracking, summary: DemoSummary) -> None:
    """People, sessions, orders and revenue of the last 28 days, exactly."""
    metrics = ["events", "people", "visitors", "sessions", "views", "conversions", "revenue"]
    (row,) = demo.query(1, metrics=metrics).rows
    assert row.metrics == [
        summary.events,
        summary.people,
        summary.visitors,
        summary.sessions,
        summary.views,
        summary.orders,
        summary.revenue,
    ]
    assert summary.events > 1000
    assert summary.orders > 10
    assert summary.visitors > summary.people > 100  # some come with two devices


def test_questions_give_the_pages_of_plain_counting(demo: EventTracking, summary: DemoSummary) -> None:
    """Every page with its views, in order."""
    answer = demo.query(1, metrics=["views"], dimensions=["path"], order_by=[["views", "desc"], ["path", "asc"]])
    rows = [(row.dimensions[0], row.metrics[0]) for row in answer.rows]
    assert rows == summary.paths
    assert len(rows) > 20


def test_every_event_is_stored_and_bots_are_told_apart(demo: EventTracking, summary: DemoSummary) -> None:
    """Their views are asked for by name only."""
    (bots,) = demo.query(1, date_range="all", metrics=["events"], filters=[BOTS]).rows
    (others,) = demo.query(1, date_range="all", metrics=["events"]).rows
    assert bots.metrics == [summary.bots]
    assert others.metrics == [summary.stored - summary.bots]
    assert summary.bots > 20


@pytest.mark.parametrize("dimension", [*DIMENSIONS, "trait:plan", "trait:country", "trait:company-size", "property:$os"])
def test_every_dimension_has_something_to_show(demo: EventTracking, dimension: str) -> None:
    """At least two values within the last 28 days."""
    answer = demo.query(1, dimensions=[dimension], metrics=["events"])
    assert len([row for row in answer.rows if row.dimensions != [None]]) >= 2


def test_properties_are_numbers_texts_booleans_and_lists(demo: EventTracking) -> None:
    """One of each, which questions can compute and filter with."""
    assert {"search", "add-to-cart", "signup", "newsletter-subscribed", "trial-started", "conversion"} <= demo.properties(
        1
    ).keys()
    (found,) = demo.query(1, metrics=[["avg", "property:results"]], filters=[["is", "event", ["search"]]]).rows
    assert isinstance(found.metrics[0], float)
    for event, name in (
        ("search", "query"),
        ("video-played", "completed"),
        ("newsletter-subscribed", "topics"),
        ("conversion", "products"),
    ):
        answer = demo.values(1, f"property:{name}", filters=[["is", "event", [event]]])
        assert len(answer.rows) >= 2, name


def test_people_are_identified_after_they_came(demo: EventTracking) -> None:
    """What they did before belongs to them, and their traits are those of the latest binding."""
    buyers = demo.people(1, people=SEGMENTS["Customers"], limit=100)
    assert buyers.count > 10
    for person in buyers.rows:
        assert person.email is not None
        assert {"name", "plan", "country", "company-size", "newsletter"} <= person.traits.keys()
        assert person.ids
    first = demo.timeline(1, email=buyers.rows[0].email, limit=1000).rows[-1]
    assert first.event != "identify"


def test_people_come_back_less_and_less(demo: EventTracking) -> None:
    """A curve: nearly nobody is lost at once, and some stay."""
    cohorts = demo.retention(1, start={"Event": "pageView"}, unit="week", periods=5, date_range="63d").rows
    came = [sum(cohort.returned[week] or 0 for cohort in cohorts[:3]) for week in range(5)]
    size = sum(cohort.size for cohort in cohorts[:3])
    assert size > came[1] > came[4] > size / 50


def test_a_funnel_narrows(demo: EventTracking) -> None:
    """From a product to the order, with losses at each step."""
    steps = [{"Event": name} for name in ("pageView", "add-to-cart", "checkout-started", "conversion")]
    people = [step.people for step in demo.funnel(1, steps=steps, date_range="63d").rows]
    assert people == sorted(set(people), reverse=True)
    assert people[-1] > 10


def test_the_campaign_is_a_peak(demo: EventTracking) -> None:
    """Its days have more people than any other, and it is named."""
    rows = demo.query(1, metrics=["people"], dimensions=["time:day"]).rows
    most = max(rows, key=lambda row: row.metrics[0] or 0)
    first = NOW.date() - timedelta(days=SPIKE_DAYS_AGO - 1)
    assert first <= datetime.fromisoformat(most.dimensions[0] or "").date() <= first + timedelta(days=2)
    campaigns = demo.query(1, metrics=["people"], dimensions=["utm_campaign"]).rows
    assert campaigns[0].dimensions == [None] or campaigns[0].dimensions == ["birthday-sale"]
    assert ["birthday-sale"] in [row.dimensions for row in campaigns[:2]]


def test_what_is_saved_can_be_opened(demo: EventTracking) -> None:
    """Each segment has people, and each query answers."""
    assert {row.name for row in demo.saved(1).rows} == SEGMENTS.keys() | QUERIES.keys()
    for name in SEGMENTS:
        assert demo.people(1, people=[["in", name]]).count > 0, name
    for name, query in QUERIES.items():
        given = {"dimensions": query["Dimensions"], "filters": query.get("Filters", [])}
        assert demo.query(1, date_range=query.get("DateRange", "28d"), **given).rows, name


def test_a_shop_needs_a_time_zone_and_some_days(db: Path) -> None:
    """What cannot be is named, and nothing is stored."""
    with EventTracking(db) as tracking:
        with pytest.raises(ValueError, match="now: it has no time zone"):
            fill_demo(tracking, now=datetime(2026, 3, 18))
        with pytest.raises(ValueError, match="days must be at least 2"):
            fill_demo(tracking, days=1)
        assert tracking.directory.lists() == []


def test_an_event_that_is_refused_ends_the_filling(db: Path, tmp_path: Path) -> None:
    """Such as by a plan of the store's owner: no number would be right."""
    plan = tmp_path / "plan"
    plan.mkdir()
    (plan / "search.json").write_text('{"type": "object"}')
    with (
        EventTracking(db, plan=None, plan_folder=str(plan), plan_unknown="reject", clock=NOW.timestamp) as tracking,
        pytest.raises(RequestRefused),
    ):
        fill_demo(tracking, now=NOW, days=2, people_per_day=1)


def test_events_go_on_arriving_while_the_demo_is_served() -> None:
    """A few a minute, from visitors whom the filled store does not have, each at a moment of its own in the next 24 hours."""
    coming = list_coming(NOW, 1)
    moments = [after_s for after_s, _ in coming]
    assert 5_000 < len(coming) < 100_000
    assert moments[0] > 0
    assert moments == sorted(moments)
    assert moments[-1] <= 86_400
    bodies = [msgspec.json.decode(body) for _, body in coming]
    assert {body["ListID"] for body in bodies} == {1}
    filled = {event.visitor for event in Shop(1, NOW, days=30, people_per_day=20, list_id=1).generate()}
    assert filled.isdisjoint(body["UUID"] for body in bodies)
