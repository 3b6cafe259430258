"""A small shop's events with fixed times, for tests of answers that are compared to the letter."""

from __future__ import annotations

from typing import Any

from falcon_events import EventTracking

ADA, BOB, SOMEBODY, EVE = (f"{number}{number:07d}-0000-4000-8000-000000000000" for number in range(1, 5))
SPRING = "?utm_campaign=spring&utm_source=news"
EVENTS: list[tuple[str, str, str, str | None, dict[str, Any]]] = [
    ("2026-02-24T10:00:00Z", "pageView", EVE, None, {"url": "https://shop.example/", "$pageTitle": "Shop"}),
    (
        "2026-03-02T10:00:00Z",
        "pageView",
        ADA,
        None,
        {"url": f"https://shop.example/pricing{SPRING}", "$pageTitle": "Plans, prices"},
    ),
    ("2026-03-02T10:05:00Z", "signup", ADA, "ada@example.com", {"plan": "pro", "seats": 5}),
    ("2026-03-02T11:00:00Z", "pageView", BOB, None, {"url": "https://shop.example/", "$pageTitle": "Shop"}),
    ("2026-03-02T11:10:00Z", "pageView", BOB, None, {"url": "https://shop.example/pricing", "$pageTitle": ""}),
    (
        "2026-03-03T10:00:00Z",
        "pageView",
        SOMEBODY,
        None,
        {"url": "https://shop.example/pricing?utm_campaign=東京", "$pageTitle": "\x1b[2J"},
    ),
    (
        "2026-03-03T12:00:00Z",
        "conversion",
        ADA,
        "ada@example.com",
        {"conversion-id": "1", "conversion-name": "order", "conversion-value": 1100.5},
    ),
    ("2026-03-04T08:00:00Z", "signup", BOB, "bob@example.com", {"plan": "free", "seats": "many"}),
    (
        "2026-03-10T09:00:00Z",
        "conversion",
        ADA,
        "ada@example.com",
        {"conversion-id": "2", "conversion-name": "order", "conversion-value": 50},
    ),
]
"""When each event happened, its type, visitor, address and properties."""


def fill_shop(tracking: EventTracking, list_id: int = 1) -> None:
    """Create the list, and store its events in the order in which they happened."""
    tracking.directory.ensure_list(list_id, "Shop")
    for number, (timestamp, event, visitor, email, properties) in enumerate(EVENTS, 1):
        tracking.track(
            list_id,
            event,
            uuid=visitor,
            email=email,
            id=f"customer-{email[:3]}" if email else None,
            timestamp=timestamp,
            event_id=f"00000000-0000-4000-8000-{number:012d}",
            properties=properties,
            identify_properties={"plan": properties["plan"]} if event == "signup" else None,
        )
