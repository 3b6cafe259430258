"""Events: the list of event types, one event, its properties, and what it can be broken down by."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal, Scope
from falcon_events.dashboard import distribution
from falcon_events.dashboard.templates import NONE
from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Seen, Site

HOSTILE = "<script>alert(1)</script>\"'&\u202e\u0001\u200b" + "x" * 100
HOSTILE_VALUE = "<img src=x onerror=alert(1)>\u202e\u2066" + "y" * 10_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """List 1 has orders with numbers and an event with hostile names, list 2 has nothing."""
    with EventTracking(tmp_path_factory.mktemp("events") / "events.duckdb") as tracking:
        tracking.directory.ensure_list(1, "Orders")
        tracking.directory.ensure_list(2, "Empty")
        for day, price in enumerate([1, 2, 2, 3, 5, 8, 13, 1000], 1):
            properties = {"price": price, "tags": [price, 100], "plan": "pro" if price < 3 else "free", "$lib": "test"}
            tracking.track(
                1, "order", email=f"p{day % 3}@example.com", timestamp=f"2026-03-0{day}T10:00:00Z", properties=properties
            )
        tracking.track(
            1, "order", email="p0@example.com", timestamp="2026-03-09T10:00:00Z", properties={"price": "a lot", "on": None}
        )
        for _ in range(2):
            properties = {HOSTILE: HOSTILE_VALUE}
            tracking.track(1, HOSTILE, email="evil@example.com", timestamp="2026-03-05T10:00:00Z", properties=properties)
        tracking.directory.ensure_list(3, "Mixed")
        for day, number in enumerate([2, 3, 4, [3, 4]], 1):
            given = {"email": f"m{day}@example.com", "timestamp": f"2026-03-0{day}T10:00:00Z"}
            tracking.track(3, "mixed", properties={"n": number}, identify_properties={"seen": day}, **given)
        tracking.track(3, "identify", email="m9@example.com", timestamp="2026-03-09T10:00:00Z", identify_properties={"seen": 9})
        yield tracking


@pytest.fixture
def orders(store: EventTracking, one_flavour: str) -> Site:
    """The dashboard of the orders, for somebody who may only read."""
    return Site(store, one_flavour, lambda request: Principal("*", Scope.READ))


def rows_of(seen: Seen) -> list[list[str]]:
    """The rows of a page's CSV file."""
    assert seen.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(seen.html)))


def count_people(store: EventTracking, address: str, list_id: int = 1) -> int:
    """How many persons the link of a number opens."""
    of: dict[str, Any] = json.loads(parse_qs(urlsplit(address).query)["of"][0])
    return store.people(list_id, of=of).count


def test_every_event_type_has_its_numbers(dashboard: Site) -> None:
    """How many events and people in the range, and when it was seen first and last in all."""
    seen = dashboard.get("events.table", range=MARCH)
    (table,) = seen.tables
    assert table == [
        ["Event", "Events", "People", "Over time", "First seen", "Last seen"],
        ["pageView", "4", "3", "", "2026-02-24", "2026-03-03 10:00"],
        ["conversion", "2", "1", "", "2026-03-03", "2026-03-10 09:00"],
        ["signup", "2", "2", "", "2026-03-02", "2026-03-04 08:00"],
    ]
    assert "1 to 3 of 3 event types" in seen.text
    assert 'aria-label="31 days: at most 3 in one, 0 in the last"' in seen.html


def test_the_page_has_the_table_as_a_part(dashboard: Site) -> None:
    """So that it is there at once. Without scripts, the part is a link."""
    seen = dashboard.get("events", range=MARCH, search="sign")
    assert seen.status == 200
    assert 'name="search" value="sign"' in seen.html
    assert seen.html.count('aria-current="page"') == 1
    (part,) = seen.parts()
    assert dashboard.get(part).tables[0][1][0] == "signup"


def test_event_types_are_searched_and_ordered(dashboard: Site) -> None:
    """By a part of the name in upper or lower case; what is found is counted."""
    seen = dashboard.get("events.table", range=MARCH, search="GN")
    assert [row[0] for row in seen.tables[0]] == ["Event", "signup"]
    assert "1 to 1 of 1 event types" in seen.text
    assert [row[0] for row in dashboard.get("events.table", range=MARCH, sort="event").tables[0][1:]] == [
        "conversion",
        "pageView",
        "signup",
    ]
    assert [row[0] for row in dashboard.get("events.table", range=MARCH, sort="people").tables[0][1:]] == [
        "pageView",
        "signup",
        "conversion",
    ]


def test_event_types_are_csv(dashboard: Site) -> None:
    """With the moments to the second."""
    assert rows_of(dashboard.get("events.table", range=MARCH, search="conv", csv=1)) == [
        ["event", "events", "people", "first_seen", "last_seen"],
        ["conversion", "2", "1", "2026-03-03T12:00:00+00:00", "2026-03-10T09:00:00+00:00"],
    ]


def test_types_without_events_in_the_range_are_pointed_out(dashboard: Site) -> None:
    """The list says that there are more, and leads to all time."""
    seen = dashboard.get("events.table", range="2026-02-01..2026-02-28")
    assert [row[0] for row in seen.tables[0][1:]] == ["pageView"]
    assert "are not listed" not in dashboard.get("events.table", range=MARCH).text
    assert len(dashboard.get(seen.link("Show all time")).tables[0]) == 4
    assert "No events in this range of time." in dashboard.get("events.table", range="2020-01-01..2020-01-02").text


def test_a_list_without_events_says_what_to_do(orders: Site) -> None:
    """Empty pages lead on."""
    assert "No event has been stored yet." in orders.get("events.table", list=2).text
    seen = orders.get("events.table", range="all", search="nothing-like-it")
    assert "No event type with nothing-like-it in its name is stored." in seen.text
    assert "order" in orders.get(seen.link("Show all event types")).text
    seen = orders.get("event", name="Order", list=1)
    assert seen.status == 404
    assert "No event of this type is stored." in seen.text
    assert orders.get(orders.get(seen.link("search for it")).parts()[0]).tables[0][1][0] == "order"


def test_an_event_has_its_numbers_over_time(orders: Site) -> None:
    """Events, people and sessions of the type alone, and a line of one of them."""
    seen = orders.get("event", name="order", range=MARCH, compare="none")
    assert "9 stored in all, the first on 2026-03-01, the last on 2026-03-09 10:00" in seen.text
    assert [orders.get(part).status for part in seen.parts()] == [200] * 4
    assert "Events 9 People 3 Sessions 9" in orders.get("event.figures", name="order", range=MARCH, compare="none").text
    given = {"name": "order", "range": "2026-03-08..2026-03-10", "compare": "none"}
    assert orders.get("event.trend", **given).tables[0] == [
        ["Time", "Events"],
        ["2026-03-08", "1"],
        ["2026-03-09", "1"],
        ["2026-03-10", "0"],
    ]
    assert orders.get("event.trend", metric="people", **given).tables[0][:2] == [["Time", "People"], ["2026-03-08", "1"]]
    people = orders.get(orders.get("event.figures", name="order", range=MARCH, part=1).link("People")).html
    assert 'metric=people"' in people or "metric=people&" in people


def test_properties_have_types_and_search(orders: Site) -> None:
    """The catalogue tells the types of a property's values. What a tracker adds comes last."""
    seen = orders.get("event.properties", name="order")
    assert seen.tables[0] == [
        ["Property", "Values", "Events of all time"],
        ["price", "number (8), text (1)", "9"],
        ["plan", "text", "8"],
        ["tags", "list", "8"],
        ["on", "null", "1"],
        ["$lib", "text", "8"],
    ]
    assert [row[0] for row in orders.get("event.properties", name="order", search="P").tables[0][1:]] == ["price", "plan"]
    assert "No property with zz in its name." in orders.get("event.properties", name="order", search="zz").text
    assert rows_of(orders.get("event.properties", name="order", csv=1))[1] == ["price", "number text", "9"]


def test_a_property_is_opened_in_the_events_page(orders: Site) -> None:
    """Its address can be shared, and works without scripts."""
    address = orders.get("event.properties", name="order", range=MARCH, part=1).link("plan")
    assert address.endswith("&property=plan#property")
    parts = orders.get(address).parts()
    assert any("event.property?" in part and "property=plan" in part for part in parts)


def test_a_property_shows_its_most_frequent_values(orders: Site) -> None:
    """With their events and people, and a row for the events without one."""
    seen = orders.get("event.property", name="order", property="plan", range=MARCH)
    assert seen.tables[0] == [["Value", "Events", "People"], ["free", "5", "3"], ["pro", "3", "3"], ["(none)", "1", "1"]]
    assert "In 8 events of 3 people in this range, with 2 different values." in seen.text
    filtered = orders.get(seen.link("pro"))
    assert "plan is pro" in filtered.text
    assert "Events 3" in orders.get(next(one for one in filtered.parts() if "figures" in one)).text
    assert (
        "No event in this range of time has this property."
        in orders.get("event.property", name="order", property="plan", range="2020-01-01..2020-01-02").text
    )


def test_numbers_of_a_property_are_summed_up(orders: Site) -> None:
    """What is no number is left out, and counted in a warning."""
    seen = orders.get("event.property", name="order", property="price", range=MARCH)
    assert "Average 129.25 Median 4 95th percentile 654.55 Smallest 1 Largest 1,000 Sum 1,034" in seen.text
    assert "a property:price that is no number; it is left out" in seen.text
    assert any("event.numbers" in part for part in seen.parts())
    (_, row) = rows_of(orders.get("event.property", name="order", property="price", range=MARCH, csv=1))
    assert row[:4] == ["price", "9", "3", "8"]
    assert "Average" not in orders.get("event.property", name="order", property="plan", range=MARCH).text


def test_numbers_of_a_property_have_a_distribution(orders: Site, store: EventTracking) -> None:
    """Each range with its events; a number opens exactly the persons of these events."""
    seen = orders.get("event.numbers", name="order", property="price", range="2026-03-01..2026-03-07")
    assert seen.tables[0] == [
        ["Range", "Events"],
        ["1 to below 2", "1"],
        ["2 to below 3", "2"],
        ["3 to below 4", "1"],
        ["4 to below 5", "0"],
        ["5 to below 6", "1"],
        *[[f"{low} to below {low + 1}", "0"] for low in (6, 7)],
        ["8 to below 9", "1"],
        *[[f"{low} to below {low + 1}", "0"] for low in (9, 10, 11, 12)],
        ["13 to below 14", "1"],
    ]
    assert count_people(store, seen.link("2")) == 2
    assert "price is at least 2) and (price is less than 3" in orders.get(seen.link("2 to below 3")).text
    rows = rows_of(orders.get("event.numbers", name="order", property="price", range=MARCH, csv=1))
    assert sum(int(events) for _, _, events in rows[1:]) == 8


def test_numbers_in_lists_count_in_each_range(orders: Site, store: EventTracking) -> None:
    """As a filter finds them, so that a number and its persons are the same. Lists alone are no numbers."""
    seen = orders.get("event.numbers", list=3, name="mixed", property="n", range=MARCH)
    assert seen.tables[0][1:] == [["2", "1"], ["3", "2"], ["4", "2"]]
    people = [html.unescape(one) for one in re.findall(r'href="([^"]*of=%7B[^"]*)"', seen.html)]
    assert [count_people(store, one, list_id=3) for one in people] == [1, 2, 2]
    assert "event.numbers" not in orders.get("event.property", name="order", property="tags", range=MARCH).html


def test_many_different_numbers_are_counted_range_by_range(orders: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one question cannot return them all, with the same result."""
    given = {"name": "order", "property": "price", "range": MARCH, "csv": 1}
    rows = rows_of(orders.get("event.numbers", **given))
    monkeypatch.setattr(distribution, "MOST_VALUES", 3)
    assert rows_of(orders.get("event.numbers", **given)) == rows


def test_identify_events_of_others_are_in_no_line(orders: Site) -> None:
    """The small line counts what the row counts: not those that were stored beside another event."""
    seen = orders.get("events.table", list=3, range=MARCH)
    assert [row[:2] for row in seen.tables[0][1:]] == [["mixed", "4"], ["identify", "1"]]
    assert seen.html.count("31 days: at most 1 in one, 0 in the last") == 2
    assert "also counts those that were stored beside another event" in orders.get("event", list=3, name="identify").text


def test_all_values_of_a_property_are_searched_and_csv(orders: Site) -> None:
    """On a page of their own."""
    seen = orders.get("event.values", name="order", property="price", range=MARCH, search="1")
    assert sorted(row[0] for row in seen.tables[0][1:]) == ["1", "1000", "13"]
    assert "1 to 3 of 3 values" in seen.text
    rows = rows_of(orders.get("event.values", name="order", property="plan", range=MARCH, csv=1))
    assert rows == [["property:plan", "events", "people"], ["free", "5", "3"], ["pro", "3", "3"], ["", "1", "1"]]


def test_an_event_is_broken_down(orders: Site, store: EventTracking) -> None:
    """By a property or another dimension, with a number of each value. A plain word is a property's name."""
    given = {"name": "order", "range": MARCH, "by": "plan", "of": "price", "aggregate": "sum"}
    seen = orders.get("event.breakdown", **given)
    assert seen.tables[0] == [
        ["plan", "Events", "People", "Sum of price"],
        ["free", "5", "3", "1,029"],
        ["pro", "3", "3", "5"],
        ["(none)", "1", "1", NONE],
    ]
    assert count_people(store, seen.link("5")) == 3
    assert "name=order" in seen.link("free")
    assert rows_of(orders.get("event.breakdown", csv=1, **given))[:2] == [
        ["property:plan", "events", "people", "sum property:price"],
        ["free", "5", "3", "1029.0"],
    ]
    seen = orders.get("event.breakdown", name="order", range=MARCH, by="browser")
    assert seen.tables[0] == [["browser", "Events", "People"], ["(none)", "9", "3"]]
    assert "Choose a property" in orders.get("event.breakdown", name="order").text


def test_hostile_names_are_text(orders: Site) -> None:
    """Names and values can be seen and clicked, and are never markup."""
    pages = [orders.get("events.table", range=MARCH)]
    name = HOSTILE
    pages.append(orders.get("event", name=name, range=MARCH))
    assert pages[-1].status == 200
    address = next(row for row in pages[-1].parts() if "event.properties" in row)
    pages.append(orders.get(address))
    given = {"name": name, "property": name, "range": MARCH}
    pages += [orders.get(page, **given) for page in ("event.property", "event.numbers", "event.values", "event")]
    pages.append(orders.get("event.breakdown", name=name, by=f"property:{name}", of=name, range=MARCH))
    pages += [orders.get("events", search=name), orders.get("events.table", search=name + "\0", range="all")]
    assert [one.status for one in pages] == [200] * len(pages)
    for one in pages:
        assert "<script>alert" not in one.html
        assert "<img src=x" not in one.html
        assert not set("\u202e\u2066\u200b\u0001\0") & set(one.text)
    values = orders.get("event.values", **given)
    assert values.tables[0][1][1:] == ["2", "1"]
    assert "y" * 1_001 not in values.text
    assert orders.get(values.link(values.tables[0][1][0])).status == 200


def test_what_the_address_lacks_is_said(orders: Site) -> None:
    """A page about nothing names what is missing, and a page beyond the last leads back."""
    assert "must name an event type" in orders.get("event").text
    assert "must name a property" in orders.get("event.property", name="order").text
    for page in ("events.table", "event.properties"):
        seen = orders.get(page, name="order", range="all", page=9)
        assert "This page is beyond the last one." in seen.text
        assert orders.get(seen.link("To the first page")).tables
    assert orders.get("events.table", range="all", page="x").tables
    assert "DateRange" in orders.get("events.table", range="soon").text


def test_other_lists_and_acts_are_refused(store: EventTracking, orders: Site, one_flavour: str) -> None:
    """The pages take no forms, and show only lists that the principal may see."""
    for page in ("events", "event", "event.property"):
        assert orders.post(page, {"act": "delete"}, token=False).status == 403
    site = Site(store, one_flavour, lambda request: Principal("*", Scope.READ, list_ids=frozenset({2})))
    for page in (
        "events",
        "events.table",
        "event?name=order",
        "event.properties?name=order",
        "event.values?name=order&property=plan",
    ):
        assert site.get(page, list=1).status == 404
        assert "order" not in site.get(page, list=1, csv=1).text.replace("event", "")


def test_ten_thousand_types_and_a_hundred_thousand_names_stay_usable(
    tmp_path_factory: pytest.TempPathFactory, one_flavour: str
) -> None:
    """A page of each list is small whatever the list's length, and search finds one among all."""
    with EventTracking(tmp_path_factory.mktemp("many") / "events.duckdb") as tracking:
        tracking.directory.ensure_list(1, "Many")
        moment = {"ListID": 1, "UUID": "11111111-0000-4000-8000-000000000000", "Timestamp": "2026-03-05T10:00:00Z"}
        types = [{**moment, "Event": f"type-{number:05}"} for number in range(9_999)]
        wide = [
            {**moment, "Event": "wide", "Properties": {f"name-{number:06}": 1 for number in range(first, first + 800)}}
            for first in range(0, 100_000, 800)
        ]
        outcomes = list(tracking.track_many([json.dumps(one).encode() for one in types + wide]))
        assert {type(one).__name__ for one in outcomes} == {"Tracked"}
        site = Site(tracking, one_flavour, lambda request: Principal("*"))
        seen = site.get("events.table", range=MARCH)
        assert "1 to 50 of 10,000 event types" in seen.text
        assert len(seen.html) < 150_000
        assert seen.tables[0][1][:3] == ["wide", "125", "1"]
        assert site.get(seen.link("Next")).tables[0][1][0] == "type-00049"
        assert site.get("events.table", range=MARCH, page=200).tables[0][-1][0] == "type-09998"
        assert [row[0] for row in site.get("events.table", range=MARCH, search="E-07777").tables[0][1:]] == ["type-07777"]
        assert len(rows_of(site.get("events.table", range=MARCH, csv=1))) == 10_001
        seen = site.get("event.properties", name="wide")
        assert "1 to 15 of 100,000 properties" in seen.text
        assert len(seen.html) < 50_000
        assert [row[0] for row in site.get("event.properties", name="wide", search="054321").tables[0][1:]] == ["name-054321"]
        assert site.get("event.properties", name="wide", page=6_666).tables[0][-1][0] == "name-099989"
        assert len(site.get("event.breakdown", name="wide", part=1).html) < 50_000
        assert site.get("event.property", name="wide", property="name-054321", range=MARCH).tables[0][1] == ["(none)", "124", "1"]
