"""Retention: a table of cohorts, whose cells open their persons."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import falcon_events.dashboard
from falcon_events import EventTracking
from falcon_events.access.protocol import Principal, Scope
from tests.server.dashboard.site import Seen, Site

KNOWN, RECENT, EMPTY, OLD = range(1, 5)
"""Lists: of known events, of today, without events, and of three years by days."""
WEEKS = "2026-03-02..2026-03-15"
VISITS = {
    "ada": ("2026-03-02", "2026-03-09", "2026-03-16"),
    "bob": ("2026-03-03", "2026-03-10"),
    "cyd": ("2026-03-04",),
    "dan": ("2026-03-09", "2026-03-23"),
}
"""The days on which they came. Of the three of the first week, two came in the second and one in the third."""
HOSTILE = "<i>visit</i>\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A tracker with the lists above."""
    with EventTracking(tmp_path_factory.mktemp("retention") / "events.duckdb") as tracking:
        for number, name in enumerate(("Known", "Recent", "Empty", "Old"), 1):
            tracking.directory.ensure_list(number, name)
        for who, days in VISITS.items():
            for number, day in enumerate(days):
                properties = {"url": "https://shop.example/pricing" if number else "https://shop.example/"}
                tracking.track(KNOWN, "visit", email=f"{who}@example.com", timestamp=f"{day}T10:00:00Z", properties=properties)
        tracking.track(KNOWN, HOSTILE, email="bob@example.com", timestamp="2026-03-17T10:00:00Z")
        now = datetime.now(UTC)
        tracking.track(RECENT, "visit", email="ada@example.com", timestamp=now.isoformat())
        for days_ago in (400, 300, 200):
            tracking.track(OLD, "visit", email="ada@example.com", timestamp=(now - timedelta(days=days_ago)).isoformat())
        yield tracking


@pytest.fixture
def site(store: EventTracking, one_flavour: str) -> Site:
    """The dashboard, for somebody who may do everything."""
    return Site(store, one_flavour, lambda request: Principal("*"))


def cohorts(site: Site, **query: Any) -> Seen:
    """The part with the table."""
    given = {"range": WEEKS, "start": "visit", "return": "visit", "unit": "week", "periods": 4}
    return site.get("retention.cohorts", **{**given, **query})


def links_of(seen: Seen) -> list[tuple[str, float]]:
    """The links to persons, each with its number."""
    found = re.findall(r'<a class="people" href="([^"]*)"[^>]*><data value="([\d.]+)"', seen.html)
    return [(html.unescape(link), float(number)) for link, number in found]


def test_cohorts_are_a_table(site: Site) -> None:
    """The row of all together is over all who started, not the mean of percentages."""
    seen = cohorts(site)
    assert seen.tables == [
        [
            ["Week of the start", "People", "Week 0", "Week 1", "Week 2", "Week 3"],
            ["All together", "4", "100.0 %", "50.0 %", "50.0 %", "0.0 %"],
            ["2026-03-02", "3", "100.0 %", "66.7 %", "33.3 %", "0.0 %"],
            ["2026-03-09", "1", "100.0 %", "0.0 %", "100.0 %", "0.0 %"],
        ]
    ]
    assert re.findall(r"shade-(\d+)", seen.html) == ["10", "5", "5", "0", "10", "7", "3", "0", "10", "0", "10", "0"]


def test_cells_are_counts_if_the_address_says_so(site: Site) -> None:
    """The row of all together is then the sum. The choice is a link."""
    seen = cohorts(site, **{"as": "count"})
    assert [row[1:] for row in seen.tables[0][1:]] == [
        ["4", "4", "2", "2", "0"],
        ["3", "3", "2", "1", "0"],
        ["1", "1", "0", "1", "0"],
    ]
    assert "as=count" in cohorts(site).link("Counts")
    assert "as=" not in seen.link("Percentages")


def test_each_number_opens_its_persons(site: Site, store: EventTracking) -> None:
    """A cohort, and those of it who came back in a period."""
    links = links_of(cohorts(site, **{"as": "count"}))
    assert [number for _, number in links] == [3, 3, 2, 1, 1, 1, 1]
    for link, number in links:
        (of,) = parse_qs(urlsplit(link).query)["of"]
        assert store.people(KNOWN, of=json.loads(of)).count == number


def test_start_and_return_have_conditions(site: Site) -> None:
    """And the other choices are those of the API."""
    seen = cohorts(site, return_where="path is /pricing")
    assert [row[2:] for row in seen.tables[0][2:]] == [
        ["0.0 %", "66.7 %", "33.3 %", "0.0 %"],
        ["0.0 %", "0.0 %", "100.0 %", "0.0 %"],
    ]
    assert "did visit , only if path is /pricing so many weeks later" in seen.text
    seen = cohorts(site, range="2026-03-09..2026-03-15", first="in_range", periods=1, **{"as": "count"})
    assert seen.tables[0][1] == ["All together", "3", "3"]
    seen = cohorts(site, unit="day", mode="rolling", periods=8, range="2026-03-02..2026-03-02", **{"as": "count"})
    assert seen.tables[0][2] == ["2026-03-02", "1", "1", "0", "0", "0", "0", "0", "0", "1"]


def test_periods_that_are_not_over_are_marked(site: Site) -> None:
    """In words; those that are not over for any cohort have no column."""
    seen = cohorts(site, list=RECENT, range="today", unit="day", periods=3)
    (head, together, today) = seen.tables[0]
    assert head[2:] == ["Day 0"]
    assert together == ["All together", "1", "not over"]
    assert today[1:] == ["1", "not over"]
    assert "“Not over”: that time has not passed yet" in seen.text
    assert "Days 1 to 2 are not over for any row, and not shown." in seen.text


def test_visitors_cannot_be_opened_which_the_page_says(site: Site) -> None:
    """The API lists persons only."""
    seen = cohorts(site, by="visitors")
    assert links_of(seen) == []
    assert "Visitors cannot be opened as persons." in seen.text


def test_a_retention_is_csv(site: Site) -> None:
    """With counts, and nothing where a period is not over."""
    assert list(csv.reader(io.StringIO(cohorts(site, csv=1).html))) == [
        ["cohort", "size", "week_0", "week_1", "week_2", "week_3"],
        ["2026-03-02", "3", "3", "2", "1", "0"],
        ["2026-03-09", "1", "1", "0", "1", "0"],
    ]
    recent = cohorts(site, list=RECENT, range="today", unit="day", periods=1, csv=1)
    assert list(csv.reader(io.StringIO(recent.html)))[1][1:] == ["1", ""]


def test_a_long_table_is_cut_and_the_file_is_not(site: Site) -> None:
    """The page shows the newest cohorts; all of them count in the first row."""
    seen = cohorts(site, list=OLD, range="500d", unit="day", periods=52)
    assert len(seen.tables[0]) == 2 + 1_500 // 52
    assert "earlier rows are in the CSV file" in seen.text
    assert seen.tables[0][1][1] == "1"
    assert len(cohorts(site, list=OLD, range="500d", unit="day", periods=52, csv=1).html.splitlines()) == 501


def test_the_form_leads_to_an_address(site: Site) -> None:
    """Which has what was chosen, but for what is so by default, and keeps what the form has no field for."""
    sent = {"event": ["visit", ""], "what2": "path", "how2": "contains", "value2": "pric", "periods": 4, "unit": "week"}
    others = {"first": "ever", "mode": "rolling", "by": "people", "as": "count", "range": WEEKS, "do": "show"}
    seen = site.get("retention", **sent, **others)
    assert seen.status == 303
    query = parse_qs(urlsplit(seen.headers["location"]).query)
    assert query == {
        "list": ["1"],
        "range": [WEEKS],
        "start": ["visit"],
        "return_where": ["path contains pric"],
        "mode": ["rolling"],
        "as": ["count"],
        "unit": ["week"],
        "periods": ["4"],
    }
    page = site.get(seen.headers["location"])
    assert "path contains pric" in page.text
    assert any(part.startswith("./retention.cohorts?") for part in page.parts())
    kept = re.findall(r'name="kept2" value="([^"]*)"', page.html)
    seen = site.get("retention", event=["visit", ""], kept2=[html.unescape(one) for one in kept], do="drop-2-0")
    assert "return_where" not in seen.headers["location"]


def test_the_unit_fits_the_range(site: Site) -> None:
    """Unless the address names one."""
    for given, unit in (("7d", "Day"), ("28d", "Week"), ("365d", "Month")):
        page = site.get("retention", list=OLD, range=given)
        assert page.status == 200
        assert f'<option value="{unit.lower()}" selected>' in page.html
        assert site.get("retention.cohorts", list=RECENT, range=given).tables[0][0][0] == f"{unit} of the start"


def test_what_cannot_be_asked_says_why(site: Site) -> None:
    """The message is that of the API."""
    for query, message in (
        ({"unit": "year"}, 'Unit: "year" must be one of day, week, month.'),
        ({"periods": "53"}, "Periods: 53 is more than 52, which is the limit."),
        ({"periods": "many"}, 'Periods: "many" must be an integer from 1 to 52.'),
        ({"first": "never"}, 'First: "never" must be one of ever, in_range.'),
        ({"mode": "x"}, 'Mode: "x" must be one of calendar, rolling.'),
        ({"by": "sessions"}, 'By: "sessions" must be one of people, visitors.'),
        ({"start_where": "shoe-size is 43"}, 'Start.Filters[0]: "shoe-size" is no dimension of a condition.'),
        ({"return_where": "x"}, "return_where: 'x' must be such as"),
    ):
        seen = cohorts(site, **query)
        assert (seen.status, message in seen.text) == (422, True), seen.text
        assert site.get("retention", range=WEEKS, **query).status == 200


def test_hostile_names_are_text(site: Site) -> None:
    """On the page with the form, and in the table's explanation."""
    written = json.dumps(HOSTILE)
    seen = cohorts(site, range="2026-03-16..2026-03-22", start=written)
    assert seen.tables[0][1][1] == "1"
    for page in (seen, site.get("retention", start=written)):
        assert "<i>" not in page.html
    assert html.escape(written, quote=True).replace("&quot;", "&#34;") in site.get("retention", start=written).html


def test_an_empty_list_says_what_to_do(site: Site) -> None:
    """No table of zeros."""
    seen = cohorts(site, list=EMPTY)
    assert seen.tables == []
    assert "Nobody started from 2026-03-02 to 2026-03-15. Choose a longer range above, or another start." in seen.text


def test_other_lists_are_refused(store: EventTracking, one_flavour: str) -> None:
    """Whoever may read one list sees its retention, and that of no other."""
    reader = Site(store, one_flavour, lambda request: Principal("*", Scope.READ, None, frozenset({KNOWN})))
    assert reader.get("retention", range=WEEKS).status == 200
    for page in ("retention", "retention.cohorts"):
        assert reader.get(page, list=RECENT).status == 404
        assert reader.post(page, {}, token=False).status == 403


def test_shades_can_be_read() -> None:
    """The text of each of the 11 shades has a contrast of 4.5 to 1 at least, in light and dark; each is darker than the last."""
    css = (Path(falcon_events.dashboard.__file__).parent / "static" / "dashboard.css").read_text()
    light, dark = (re.findall(rf"^{indent}\.shade-(\d+) {{ background: (#\w+); }}", css, re.MULTILINE) for indent in ("", "  "))
    on_dark = re.findall(r"\.shade-9, \.shade-10 \{ color: (#\w+); \}", css)
    inks = re.findall(r"--ink: (#\w+)", css)
    for shades, ink, strong in zip((light, dark), inks, on_dark, strict=True):
        assert [int(number) for number, _ in shades] == list(range(11))
        for number, ground in shades:
            assert contrast(ground, strong if int(number) > 8 else ink) >= 4.5, (number, ground)
        distances = [contrast(shades[0][1], ground) for _, ground in shades]
        assert all(one < other for one, other in pairwise(distances))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours (WCAG 2.2)."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """The relative luminance of a colour such as #0b6b5c or #fff."""
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    linear = []
    for place in (0, 2, 4):
        value = int(digits[place : place + 2], 16) / 255
        linear.append(value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
