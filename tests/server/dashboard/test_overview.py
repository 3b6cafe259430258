"""The overview: its numbers, and where they lead."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal
from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Site


def test_the_page_has_parts_that_a_browser_loads(dashboard: Site) -> None:
    """Each part is a page of its own, so that a slow question keeps no other from being answered."""
    seen = dashboard.get(range=MARCH)
    assert seen.status == 200
    assert len(seen.parts()) == 7
    assert [dashboard.get(part).status for part in seen.parts()] == [200] * 7
    assert seen.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")


def test_figures_are_those_of_the_query(dashboard: Site) -> None:
    """People, views, sessions, bounce rate, session time, conversions and revenue of the range."""
    seen = dashboard.get("overview.figures", range=MARCH, compare="none")
    assert "People 3 Views 4 Sessions 6 Bounce rate 66.7 % Session time 2 min 30 s Conversions 2 Revenue 1,150.50" in seen.text


def test_figures_are_compared_with_the_time_before(dashboard: Site) -> None:
    """February has one visitor, who is the time before."""
    text = dashboard.get("overview.figures", range=MARCH).text
    assert "People 3 +200 % from 1 Views 4 +300 % from 1" in text
    assert "Bounce rate 66.7 % -33.3 points from 100.0 %" in text


def test_a_number_leads_to_its_persons(dashboard: Site) -> None:
    """The link asks for exactly the persons whom the number counts."""
    seen = dashboard.get("overview.table", range=MARCH, by="path")
    assert seen.tables[0][1:] == [["/pricing", "3", "3"], ["/", "1", "1"]]
    assert "of=%7B" in seen.link("3")


def test_revenue_leads_to_those_who_bought(dashboard: Site) -> None:
    """And conversions as well: not to everybody who was there."""
    seen = dashboard.get("overview.figures", range=MARCH, compare="none")
    for number in ("2", "1,150.50"):
        page = dashboard.get(seen.link(number))
        found = " ".join(dashboard.get(part).text for part in page.parts())
        assert "ada@example.com" in found
        assert "bob@example.com" not in found


def test_a_list_without_events_says_where_they_come_from(dashboard: Site) -> None:
    """A range without events, too: nobody else may have looked yet."""
    seen = dashboard.get("overview.figures", range="2020-01-01..2020-01-02")
    assert "Nothing happened in this range of time." in seen.text
    assert seen.link("Data").startswith("./data?")


def test_a_value_leads_to_the_page_filtered_by_it(dashboard: Site) -> None:
    """The other tables then show what those events have."""
    address = dashboard.get("overview.table", range=MARCH, by="path", part=1).link("/")
    assert "path is /" in dashboard.get(address).text
    assert "People 1 " in dashboard.get("overview.figures?" + address.partition("?")[2], compare="none").text


def test_the_trend_has_a_row_for_each_day(dashboard: Site) -> None:
    """Days without events have a 0."""
    (table,) = dashboard.get("overview.trend", range="2026-03-01..2026-03-05", compare="none").tables
    assert table == [
        ["Time", "People"],
        ["2026-03-01", "0"],
        ["2026-03-02", "2"],
        ["2026-03-03", "2"],
        ["2026-03-04", "1"],
        ["2026-03-05", "0"],
    ]


def test_a_part_of_a_week_is_marked(dashboard: Site) -> None:
    """A week of which the range has some days is in part, however long ago it was; the present one is not over."""
    (table,) = dashboard.get("overview.trend", range="2026-03-03..2026-03-15", unit="week", compare="none").tables
    assert [row[0] for row in table[1:]] == ["2026-03-02 (in part)", "2026-03-09"]
    (table,) = dashboard.get("overview.trend", range="today", unit="day", compare="none").tables
    assert [row[0].partition(" ")[2] for row in table[1:]] == ["(not over)"]


def test_a_number_leads_on_with_the_same_range(dashboard: Site) -> None:
    """From the persons whom a number counts, the other pages are about the same time."""
    seen = dashboard.get("overview.table", range=MARCH, by="path", compare="none")
    address = dashboard.get(seen.link("3")).link("Overview")
    assert f"range={MARCH}" in address
    assert "compare=none" in address
    assert "of=" not in address


def test_a_table_is_csv(dashboard: Site) -> None:
    """With the same rows as on the page, and without what a spreadsheet would run."""
    seen = dashboard.get("overview.table", range=MARCH, by="event", csv=1)
    assert seen.headers["content-type"] == "text/csv; charset=utf-8"
    assert list(csv.reader(io.StringIO(seen.html))) == [
        ["event", "people", "events"],
        ["pageView", "3", "4"],
        ["signup", "2", "2"],
        ["conversion", "1", "2"],
    ]


def test_dates_and_filters_of_forms_become_an_address(dashboard: Site) -> None:
    """So that every view can be shared, and the forms work without scripts."""
    seen = dashboard.get(**{"from": "2026-03-01", "to": "2026-03-31", "metric": "views"})
    assert seen.status == 303
    assert "range=2026-03-01..2026-03-31" in seen.headers["location"]
    seen = dashboard.get(dimension="path", operator="contains", value="pric", range=MARCH)
    assert "filter=%5B%22contains%22%2C%22path%22%2C%5B%22pric%22%5D%5D" in seen.headers["location"]
    assert "path contains pric" in dashboard.get(seen.headers["location"]).text


def test_what_cannot_be_asked_says_why(dashboard: Site) -> None:
    """The message is that of the API, and names what would be right."""
    seen = dashboard.get("overview.figures", range="fortnight")
    assert seen.status == 422
    assert "DateRange" in seen.text
    seen = dashboard.get("overview.table", by="shoe-size")
    assert seen.status == 422
    assert "must be one of path," in seen.text
    assert "must be a condition as JSON" in dashboard.get(filter="path=/").text
    assert dashboard.get("no-such-page").status == 404
    assert dashboard.get(list=99).status == 404


def test_referrers_are_other_sites(tmp_path: Path, one_flavour: str) -> None:
    """Who goes from page to page of the site itself does not come from elsewhere; without a referrer, a visit is direct."""
    with EventTracking(tmp_path / "events.duckdb") as tracking:
        tracking.directory.ensure_list(1, "Site")
        for number, domain in enumerate(("", "shop.example", "www.search.example", "shop.example", "www.search.example")):
            properties = {"url": f"https://shop.example/{number}", "$referring_domain": domain}
            tracking.track(1, "pageView", email=f"{number}@example.com", properties=properties)
        seen = Site(tracking, one_flavour, lambda request: Principal("*")).get("overview.table", by="referring_domain")
        assert seen.tables[0][1:] == [["www.search.example", "2", "2"], ["(direct)", "1", "1"]]


def test_a_part_is_compressed_for_the_page_that_asks_for_it(dashboard: Site) -> None:
    """Not a page, which has a form's token, and not what another site asks for: its length would tell what it has."""
    asked = {"range": MARCH, "by": "path"}
    accepts = {"Accept-Encoding": "gzip, br"}
    plain = dashboard.get("overview.table", **asked, part=1)
    assert "content-encoding" not in plain.headers
    small = dashboard.get("overview.table", **asked, part=1, headers=accepts)
    assert small.headers["content-encoding"] == "gzip"
    assert small.html == plain.html
    assert int(small.headers["content-length"]) < len(plain.html) / 2
    assert "Accept-Encoding" in plain.headers["vary"]
    assert "Accept-Encoding" in small.headers["vary"]
    for headers in ({**accepts, "Sec-Fetch-Site": "cross-site"}, {"Accept-Encoding": "gzip;q=0"}):
        assert "content-encoding" not in dashboard.get("overview.table", **asked, part=1, headers=headers).headers
    assert "content-encoding" not in dashboard.get("overview.table", **asked, headers=accepts).headers
