"""Filling a store with the demo's events, and saving what the dashboard offers to open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from falcon_events.demo.shop import Shop
from falcon_events.demo.shoppers import DemoEvent
from falcon_events.demo.summary import DemoSummary, Tally
from falcon_events.errors import RequestRefused
from falcon_events.ingest.stream import split_into_blocks, store_blocks
from falcon_events.tracking import EventTracking

DAYS = 182
PEOPLE_PER_DAY = 48
SEGMENTS: dict[str, list[list[Any]]] = {
    "Customers": [["has_done", {"Event": "conversion"}]],
    "Came back this month, never bought": [
        ["has_done", {"Count": [">=", 5], "Within": "28d"}],
        ["has_not_done", {"Event": "conversion"}],
    ],
    "Started a trial, did not subscribe": [
        ["has_done", {"Event": "trial-started"}],
        ["has_not_done", {"Event": "conversion", "Filters": [["is", "property:conversion-name", ["subscription"]]]}],
    ],
}
"""The saved segments, by name."""
QUERIES: dict[str, dict[str, Any]] = {
    "Revenue by source": {
        "Dimensions": ["source"],
        "Metrics": ["people", "conversions", "revenue"],
        "OrderBy": [["revenue", "desc"]],
    },
    "Searches without a result": {
        "DateRange": "90d",
        "Dimensions": ["property:query"],
        "Filters": [["is", "event", ["search"]], ["is", "property:results", [0]]],
    },
}
"""The saved queries, by name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


def fill_demo(
    tracking: EventTracking,
    *,
    seed: int = 1,
    now: datetime | None = None,
    list_id: int = 1,
    days: int = DAYS,
    people_per_day: float = PEOPLE_PER_DAY,
    on_progress: Callable[[float], object] = lambda share: None,
) -> DemoSummary:
    """Store the events of an invented shop, with its saved segments and queries. The same arguments give the same events.

    Their ids alone differ: the store makes them, which is faster than to look for given ones.

    Args:
        tracking: the store. The list is created if it is missing, and should be empty.
        seed: decides about everything that happens by chance.
        now: the present, after which nothing happens; None: that of the clock. With another time of the same day, everything is
            the same that is more than a few minutes older than both.
        list_id: the list.
        days: how many days there are, with today; at least 2.
        people_per_day: about how many people come for the first time on a day; at least 1.
        on_progress: called with the share of the days that are done, from 0 to 1.

    Returns:
        What the events add up to, counted without the store.

    Raises:
        ValueError: there are too few days or people, or `now` has no time zone.
        RequestRefused: the store does not take an event, such as for a plan's sake.
    """
    now = now or datetime.now(UTC)
    if now.tzinfo is None:
        raise ValueError("now: it has no time zone; give one, such as datetime.now(UTC).")
    if days < 2 or people_per_day < 1:
        raise ValueError("days must be at least 2, and people_per_day at least 1.")
    tracking.directory.ensure_list(list_id, "Demo shop")
    tally = Tally(int(now.timestamp() * 1000), int(tracking.settings.session_gap_s * 1000))
    shop = Shop(seed, now, days=days, people_per_day=people_per_day, list_id=list_id)
    bodies = _encode_all(shop.generate(lambda day: on_progress((day + 1) / days)), list_id, tally)
    blocks = split_into_blocks(bodies, tracking.settings.batch_events)
    for results in store_blocks(tracking.pipeline.track_bodies, tracking.waiter, tracking.settings, blocks):
        for result in results:
            if isinstance(result, RequestRefused):
                raise result
    for name, people in SEGMENTS.items():
        tracking.save(list_id, name, people=people)
    for name, query in QUERIES.items():
        tracking.save(list_id, name, query=query)
    return tally.sum_up()


def encode_event(event: DemoEvent, list_id: int) -> dict[str, Any]:
    """Return the body of the request that stores an event."""
    body = {
        "ListID": list_id,
        "Event": event.name,
        "UUID": event.visitor,
        "Timestamp": (_EPOCH + timedelta(milliseconds=event.at)).isoformat(timespec="milliseconds"),
        "Properties": event.properties,
    }
    if event.email is not None:
        body |= {"Email": event.email, "ID": event.external_id, "IdentifyProperties": event.traits}
    return body


def _encode_all(events: Iterator[DemoEvent], list_id: int, tally: Tally) -> Iterator[bytes]:
    for event in events:
        tally.add(event)
        yield _encode(encode_event(event, list_id))
