"""Numbers lead to exactly the persons whom they count, and say what they lack."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from falcon_events import EventTracking
from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Site

KEPT_DAYS = 100


def test_numbers_over_time_lead_to_those_whom_they_count(dashboard: Site) -> None:
    """A point of the chart of views, conversions or revenue, like the figure above it."""
    for metric, event in (("views", "pageView"), ("conversions", "conversion"), ("revenue", "conversion")):
        seen = dashboard.get("overview.trend", range=MARCH, metric=metric, unit="month")
        chart = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', seen.html, re.DOTALL)[0])
        (of,) = parse_qs(urlsplit(chart["people"][0]).query)["of"]
        assert json.loads(of)["Filters"] == [["is", "event", [event]]]


def test_an_empty_question_about_persons_is_refused_in_words(dashboard: Site) -> None:
    """As by the API: it names no number."""
    page = dashboard.get("people", of="{}")
    assert page.status == 200
    assert dashboard.get(page.parts()[0]).status == 422


def test_an_array_is_no_value_to_filter_by(site: Site, own: EventTracking) -> None:
    """A filter for it would be met by none of its events, as each of its elements counts there."""
    for seats in ([3, 4], "3"):
        own.track(1, "booked", email="ada@example.com", properties={"seats": seats}, timestamp="2026-03-03T10:00:00Z")
    seen = site.get("event.property", range=MARCH, name="booked", property="seats")
    assert '<span class="value"><bdi>[3,4]</bdi></span>' in seen.html
    assert "<bdi>3</bdi></a>" in seen.html


def test_an_event_with_an_address_leads_to_its_person(site: Site, own: EventTracking) -> None:
    """Also where another person uses the same browser later."""
    visitor = own.track(1, "came", email="ada@shared.example").uuid
    own.track(1, "came", email="bob@shared.example", uuid=visitor)
    assert "person?list=1&amp;email=ada%40shared.example" in site.get("live", list="1").html


def test_deleted_events_are_told_and_their_totals_shown(site: Site, own: EventTracking) -> None:
    """Each part says what it lacks; what adds up is exact, beside numbers that are not."""
    day = datetime.now(UTC) - timedelta(days=2 * KEPT_DAYS)
    for number in range(3):
        own.track(
            1, "pageView", email=f"{number}@old.example", properties={"url": "https://a.example/"}, timestamp=day.isoformat()
        )
    own.track(
        1,
        "conversion",
        email="0@old.example",
        properties={"conversion-id": "o-1", "conversion-name": "order", "conversion-value": 10},
        timestamp=day.isoformat(),
    )
    own.directory.set_rules(1, keep_days=KEPT_DAYS)
    own.admin.prune(1)
    days = f"{day:%Y-%m-%d}..{day:%Y-%m-%d}"
    text = site.get("overview.figures", range=days, compare="none").text
    assert "Views 3" in text
    assert "Conversions 1 Revenue 10" in text
    assert "Nothing happened" not in text
    assert "some numbers have the totals of their days, others lack them" in text
    assert "totals of" in site.get("events.table", range=days, sort="events").html
    days = f"{day - timedelta(days=3):%Y-%m-%d}..{day:%Y-%m-%d}"
    for part in (
        "overview.table?by=path",
        "overview.table?by=campaign",
        "events.table",
        "event.trend?name=pageView&metric=people&unit=month",
    ):
        assert "were deleted by the list&#39;s rule" in site.get(part, range=days).html, part
