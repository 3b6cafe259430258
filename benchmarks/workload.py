"""Seeded requests like those of real senders: the documented example, and page views; lists, visitors and pages by Zipf's law."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import msgspec

SEED = 2006
LIST_ID = 94
LISTS = range(LIST_ID, LIST_ID + 8)
"""Lists of the account; the first has most of the events (Zipf's law)."""
NEW_VISITOR = "(new-visitor"
"""Placeholder that the load generator replaces with 12 digits that it has not used before."""

_BROWSERS = [("Chrome", "126.0.0.0"), ("Safari", "17.5"), ("Firefox", "127.0"), ("Edge", "126.0.2592.68")]
_SYSTEMS = [("Windows", "Desktop", ""), ("Mac OS X", "Desktop", ""), ("iOS", "Mobile", "iPhone"), ("Android", "Mobile", "")]
_SCREENS = [(1080, 1920), (1440, 2560), (900, 1440), (852, 393), (915, 412)]
_PATHS = ["/", "/pricing", "/blog/how-to-segment-a-list", "/docs/getting-started", "/signup", "/account/billing", "/features"]
_PAGES = [*_PATHS, *(f"/blog/{number:03d}-what-we-have-learned" for number in range(200))]
_PAGE_WEIGHTS = list(itertools.accumulate(1 / rank for rank in range(1, len(_PAGES) + 1)))
"""The n-th page has 1/n as many views as the first."""
_SOURCES = ["", "https://www.google.com/", "https://news.ycombinator.com/item", "https://mail.example.net/inbox"]


def page_view(chance: random.Random, visitor: str, list_id: int = LIST_ID) -> dict[str, Any]:
    """Make the 24 documented properties of a page view."""
    browser, version = chance.choice(_BROWSERS)
    system, device_type, device = chance.choice(_SYSTEMS)
    height, width = chance.choice(_SCREENS)
    (path,) = chance.choices(_PAGES, cum_weights=_PAGE_WEIGHTS)
    source = chance.choice(_SOURCES)
    url = f"https://www.example.com{path}?utm_source=newsletter&utm_campaign={chance.randrange(50)}"
    return {
        "$browser": browser,
        "$browser_language": chance.choice(["en-US", "en-GB", "de-DE", "tr-TR"]),
        "$browser_version": version,
        "$current_url": url,
        "$device": device,
        "$device_type": device_type,
        "$dsn": "https://events.example.com/api/v1/event",
        "$host": "www.example.com",
        "$lib": "web",
        "$lib_version": "1.4.2",
        "$list_id": list_id,
        "$os": system,
        "$pageTitle": f"Example - {path.strip('/') or 'home'}",
        "$pathname": path,
        "$referrer": source,
        "$referring_domain": source.split("/")[2] if source else "$direct",
        "$screen_height": height,
        "$screen_width": width,
        "$sent_at": f"2025-06-{chance.randrange(1, 29):02d}T12:{chance.randrange(60):02d}:00.{chance.randrange(1000):03d}Z",
        "$server": "https://events.example.com",
        "$uuid": visitor,
        "$viewport_height": height - 120,
        "$viewport_width": width,
        "url": url,
    }


def zipf(chance: random.Random, most: int) -> Iterator[int]:
    """Yield numbers from 1 to `most` without end, n occurring 1/n as often as 1 (Zipf's law)."""
    weights = list(itertools.accumulate(1 / rank for rank in range(1, most + 1)))
    while True:
        yield from chance.choices(range(1, most + 1), cum_weights=weights, k=1000)


def bodies(kind: str, count: int, visitors: int, new_per_100: float, api_key: str) -> Iterator[bytes]:
    """Yield request bodies of POST /api/v1/event, the same in every run except for the key.

    Args:
        kind: `small`, the documented example's shape, or `browser`, page views with the 24 documented properties.
        count: number of bodies.
        visitors: number of returning visitors; a few of them send most of the events.
        new_per_100: percentage of events from new visitors, whose number is NEW_VISITOR until the event is sent.
        api_key: a key that may track on LISTS.
    """
    chance = random.Random(SEED)
    lists = zipf(random.Random(SEED + 1), len(LISTS))
    for number, rank in itertools.islice(zip(zipf(chance, visitors), lists, strict=True), count):
        visitor = NEW_VISITOR if chance.random() * 100 < new_per_100 else f"{number:012d}"
        list_id = LISTS[rank - 1]
        body: dict[str, Any] = {"APIKey": api_key, "ListID": list_id}
        if kind == "small":
            imported = {"number-of-subscribers-imported": chance.randrange(1000)}
            body |= {"id": f"user-id-{visitor}", "event": "test", "email": f"{visitor}@test.com", "properties": imported}
        else:
            uuid = f"13f8e79a-f063-4b80-90e4-{visitor}"
            body |= {
                "UUID": uuid,
                "event": "pageView",
                "email": f"{visitor}@test.com",
                "properties": page_view(chance, uuid, list_id),
            }
        yield msgspec.json.encode(body)
