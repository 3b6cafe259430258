"""People: the persons behind numbers, and segments that are built by clicking."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal, Scope
from falcon_events.dashboard.tables import link_to_people
from falcon_events.dashboard.view import Links, View
from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Seen, Site
from tests.shop import SOMEBODY

DAYS = ["2026-03-01", "2026-03-31"]
FUNNEL = {"steps": [{"Event": "pageView"}, {"Event": "signup"}, {"Event": "conversion"}], "date_range": DAYS, "window": "7d"}
RETENTION = {"start": {"Event": "pageView"}, "unit": "week", "periods": 3, "date_range": DAYS}
DONE, NOT_DONE = ["has_done", {"Event": "signup"}], ["has_not_done", {"Event": "conversion"}]
HOSTILE = ("<script>alert(1)</script>", "\u202egnp.exe", "x" * 10_000, "a\x00b", "\"'><img src=x onerror=alert(1)>", "=1+1")


def people_of(site: Site, address: str) -> list[str]:
    """Visit a page of people, and return the names in its table."""
    seen = site.get(address)
    assert seen.status == 200, seen.text
    (table,) = [one for one in map(site.get, seen.parts()) if one.tables]
    return sorted(row[0] for row in table.tables[0][1:])


def link(arguments: dict[str, Any], **counted: Any) -> str:
    """The link that the other pages have to the persons of a number."""
    return link_to_people(Links(View(1), {}), arguments, **counted)


def heading(seen: Seen) -> str:
    """The page's main heading."""
    (found,) = re.findall(r"<h1>(.*?)</h1>", seen.html, re.DOTALL)
    return re.sub(r"<[^>]*>", "", found)


def who(*conditions: Any) -> list[str]:
    """The parameters of a segment."""
    return [one if isinstance(one, str) else json.dumps(one) for one in conditions]


@pytest.mark.parametrize(
    ("address", "words", "persons"),
    [
        (
            link({"dimensions": ["path"], "date_range": DAYS}, Row={"Dimensions": ["/pricing"]}),
            "People with path /pricing in 2026-03-01..2026-03-31",
            ["ada@example.com", "bob@example.com", SOMEBODY],
        ),
        (
            link({"date_range": DAYS, "filters": [["is", "event", ["conversion"]]]}, Row={"Dimensions": []}),
            "People where event is conversion in 2026-03-01..2026-03-31",
            ["ada@example.com"],
        ),
        (
            link({"dimensions": ["time:day"], "date_range": DAYS}, Row={"Dimensions": ["2026-03-03"]}),
            "People on 2026-03-03",
            [SOMEBODY, "ada@example.com"],
        ),
        (
            link({"dimensions": ["campaign"], "date_range": DAYS}, Row={"Dimensions": [None]}),
            "People with no campaign in 2026-03-01..2026-03-31",
            ["bob@example.com"],
        ),
        (
            link(FUNNEL, Step=2),
            "People who reached step 2 (signup) of the funnel pageView → signup → conversion in 2026-03-01..2026-03-31",
            ["ada@example.com", "bob@example.com"],
        ),
        (
            link(FUNNEL, Step=3, Dropped=True),
            "People who reached step 2 (signup) and not step 3 (conversion) of the funnel pageView → signup → conversion"
            " in 2026-03-01..2026-03-31",
            ["bob@example.com"],
        ),
        (
            link({**FUNNEL, "breakdown": "campaign"}, Step=2, Row={"Dimensions": ["spring"]}),
            "People who reached step 2 (signup) of the funnel pageView → signup → conversion with campaign spring"
            " in 2026-03-01..2026-03-31",
            ["ada@example.com"],
        ),
        (
            link({**FUNNEL, "date_range": "all", "people": [["is", "trait:plan", ["pro"]]]}, Step=1),
            "People who reached step 1 (pageView) of the funnel pageView → signup → conversion at any time,"
            " of those: trait plan is pro",
            ["ada@example.com"],
        ),
        (
            link(RETENTION, Cohort="2026-03-02", Period=1),
            "People whose first pageView was in the week of 2026-03-02 and who did event 1 week later",
            ["ada@example.com"],
        ),
        (
            link(RETENTION, Cohort="2026-03-02"),
            "People whose first pageView was in the week of 2026-03-02",
            ["ada@example.com", "bob@example.com", SOMEBODY],
        ),
    ],
)
def test_a_number_shows_its_persons(dashboard: Site, address: str, words: str, persons: list[str]) -> None:
    """Rows of queries, steps of funnels, those who dropped out, and cells of retentions, each with the question in words."""
    assert heading(dashboard.get(address)) == words
    assert people_of(dashboard, address) == sorted(persons)


def test_numbers_of_the_overview_lead_to_their_persons(dashboard: Site) -> None:
    """As many persons as the number says."""
    seen = dashboard.get("overview.table", range=MARCH, by="path")
    assert len(people_of(dashboard, seen.link("3"))) == 3
    assert people_of(dashboard, seen.link("1")) == ["bob@example.com"]


def test_what_is_no_number_is_refused(dashboard: Site) -> None:
    """With the message of the API, or what the parameter must be."""
    assert dashboard.get("people", of="{").status == 400
    assert "of: it must be the parameters" in dashboard.get("people", of="[]").text
    for of in (
        '{"Row": 3}',
        '{"Step": "x", "Steps": 7}',
        '{"Cohort": {}, "Start": [], "People": [[]]}',
        '{"ListID": 2, "Row": {}}',
    ):
        assert dashboard.get("people", of=of).status == 200
        seen = dashboard.get("people.table", of=of)
        assert (seen.status, "Of" in seen.text) == (422, True), seen.text


def test_conditions_are_added_and_removed_by_links(dashboard: Site) -> None:
    """The address has them, in words the page does, and without scripts it works too."""
    seen = dashboard.get("people")
    assert "Everybody. Add a condition to narrow this down." in seen.text
    assert [one[:3] for one in people_of(dashboard, "people?list=1")] == ["300", "400", "ada", "bob"]
    fields = {"add": "done", "event": "signup", "property": ["plan", ""], "is": ["is", "is"], "value": ["pro", ""]}
    seen = dashboard.get("people", **fields, counted=">=", times="1", within="")
    assert seen.status == 303
    address = seen.headers["location"]
    assert "add=" not in address
    assert "has done signup (plan is pro)" in dashboard.get(address).text
    assert people_of(dashboard, address) == ["ada@example.com"]
    address = dashboard.get(address + "&add=email&how=contains&against=bob&group=2").headers["location"]
    text = dashboard.get(address).text
    assert "has done signup (plan is pro) \N{MULTIPLICATION SIGN} or email contains bob" in text
    assert people_of(dashboard, address) == ["ada@example.com", "bob@example.com"]
    address = dashboard.get(address + "&add=not_done&event=conversion&group=2&times=1").headers["location"]
    assert "or email contains bob \N{MULTIPLICATION SIGN} and has not done conversion" in dashboard.get(address).text
    removed = re.findall(r'class="remove" href="([^"]*)"', dashboard.get(address).html)[0].replace("&amp;", "&")
    assert "or email" not in dashboard.get(removed).text
    assert people_of(dashboard, removed) == ["bob@example.com"]


@pytest.mark.parametrize(
    ("fields", "words", "persons"),
    [
        ({"add": "done", "event": "conversion", "counted": "is", "times": "2"}, "has done conversion exactly 2 times", ["ada"]),
        ({"add": "done", "event": "signup", "since": "2026-03-04", "until": "2026-03-03"}, "in 2026-03-03..2026-03-04", ["bob"]),
        (
            {"add": "not_done", "event": "", "property": "path", "is": "is", "value": "/"},
            "has not done anything (path is /)",
            ["ada", "300"],
        ),
        ({"add": "last", "what": "path", "how": "is", "against": "/"}, "last path is /", ["400"]),
        ({"add": "last", "what": "seats", "how": ">=", "against": "5"}, "last seats is at least 5", ["ada"]),
        ({"add": "trait", "what": "plan", "how": "is", "against": "free"}, "trait plan is free", ["bob"]),
        ({"add": "seen", "seen": "first_seen", "since": "2026-03-03"}, "first seen on or after 2026-03-03", ["300"]),
        ({"add": "seen", "seen": "last_seen", "until": "2026-03-03"}, "last seen on or before 2026-03-03", ["300", "400"]),
        (
            {"add": "seen", "seen": "last_seen", "since": "2026-03-04", "until": "2026-03-10"},
            "last seen from 2026-03-04 to 2026-03-10",
            ["ada", "bob"],
        ),
        ({"add": "email", "how": "is_not_set"}, "email has no value", ["300", "400"]),
    ],
)
def test_each_form_finds_exactly_who_is_meant(dashboard: Site, fields: dict[str, str], words: str, persons: list[str]) -> None:
    """Events, how often and when, the last event, traits, times and addresses; the count is that of the table."""
    address = dashboard.get("people", **fields).headers["location"]
    assert words in dashboard.get(address).text
    found = people_of(dashboard, address)
    assert [one[:3] for one in found] == sorted(persons)
    count = dashboard.get("people.count", **fields).text
    assert f"{len(found)} {'person' if len(found) == 1 else 'people'} of 4" in count


def test_a_form_that_is_wrong_says_what_is_right(dashboard: Site) -> None:
    """Nothing is left out silently, which would show more people than were asked for."""
    for fields, words in (
        ({"add": "done", "times": "-1"}, "times:"),
        ({"add": "done", "since": "2026-03-01"}, "give both days"),
        ({"add": "trait", "what": " "}, "what:"),
        ({"add": "seen"}, "give a day"),
        ({"add": "everything"}, "add:"),
        ({"add": "last", "what": "seats", "how": ">", "against": "many"}, "must be a number"),
        ({"who": "signup"}, "must be a condition on persons"),
    ):
        seen = dashboard.get("people", **fields)
        assert (seen.status, words in seen.text) == (400, True), seen.text
    assert "no operator" in dashboard.get("people.table", who='["likes","path",["/"]]').text
    assert dashboard.get("people.table", order="age").status == 400


def test_people_are_ordered_paged_and_sent_as_a_file(site: Site, own: EventTracking) -> None:
    """A page has 50 of them; the file has those of all pages, as CSV that a spreadsheet runs nothing of."""
    for number in range(60):
        own.track(1, "visit", email=f"p{number:02}@example.com", properties={"n": number})
    seen = site.get("people.table", who=who(["has_done", {"Event": "visit"}]), order="email", part=1)
    assert "60 people" in seen.text
    rows = [row[0] for row in seen.tables[0][1:]]
    assert rows == [f"p{number:02}@example.com" for number in range(50)]
    assert 'aria-sort="ascending"' in seen.html
    following = seen.link("Next page")
    part = next(one for one in site.get(following).parts() if "table" in one)
    second = site.get(part)
    assert [row[0] for row in second.tables[0][1:]] == [f"p{number:02}@example.com" for number in range(50, 60)]
    assert site.get(second.link("First page")).status == 200
    file = site.get(second.link("CSV"))
    lines = list(csv.reader(io.StringIO(file.html)))
    assert lines[0] == ["email", "ids", "uuids", "first_seen", "last_seen", "events", "traits"]
    assert [line[0] for line in lines[1:]] == [f"p{number:02}@example.com" for number in range(60)]
    assert file.headers["content-disposition"] == 'attachment; filename="people.csv"'


def test_a_file_that_is_cut_says_so(site: Site, own: EventTracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name says how many there are, and the page says it before."""
    monkeypatch.setattr("falcon_events.dashboard.pages.people.MAX_CSV_ROWS", 2)
    monkeypatch.setattr("falcon_events.dashboard.pages.people.CSV_PAGE", 2)
    assert "The CSV has the first 2." in site.get("people.table").text
    file = site.get("people.table", csv=1)
    assert 'filename="people-first-2-of-4.csv"' in file.headers["content-disposition"]
    assert len(file.html.splitlines()) == 3


def test_a_segment_is_saved_opened_used_and_forgotten(site: Site, own: EventTracking) -> None:
    """Its name then narrows every page; without the conditions being lost when it is opened again."""
    groups = who(DONE, "or", ["is", "email", ["bob@example.com"]], NOT_DONE)
    seen = site.post("people?list=1", {"act": "save", "name": "Signed up", "who": groups, "named": ""})
    assert seen.status == 303, seen.text
    (saved,) = own.saved(1).rows
    both = [["or", [DONE, ["and", [["is", "email", ["bob@example.com"]], NOT_DONE]]]]]
    assert (saved.name, saved.people) == ("Signed up", both)
    opened = site.get(site.get("people").link("Signed up"))
    assert "Segment Signed up" in opened.text
    assert (
        "has done signup \N{MULTIPLICATION SIGN} or email is bob@example.com \N{MULTIPLICATION SIGN} and has not done conversion"
        in opened.text
    )
    assert people_of(site, f"people?{opened.url.partition('?')[2]}") == ["ada@example.com", "bob@example.com"]
    assert "segment Signed up" in site.get(site.get("people").link("Their overview")).text
    inside = site.get("people", add="in", named_segment="Signed up", belongs="not").headers["location"]
    assert "is not in the segment Signed up" in site.get(inside).text
    assert [one[:3] for one in people_of(site, inside)] == ["300", "400"]
    assert [one[:3] for one in people_of(site, "people?segment=Signed%20up")] == ["ada", "bob"]
    taken = site.post("people?list=1", {"act": "save", "name": "Signed up", "who": who(DONE), "named": ""})
    assert (taken.status, "there is a segment" in taken.text) == (400, True)
    assert site.post("people?list=1", {"act": "save", "name": "Signed up", "who": who(DONE), "named": "Signed up"}).status == 303
    assert own.saved(1).rows[0].people == [DONE]
    assert site.post("people?list=1", {"act": "forget", "name": "Signed up"}).status == 303
    assert own.saved(1).rows == []
    assert "None yet" in site.get("people").text


def test_a_segment_without_conditions_is_not_saved(site: Site, own: EventTracking) -> None:
    """And neither a query nor another list's segment is replaced or forgotten."""
    assert site.post("people?list=1", {"act": "save", "name": "All"}).status == 400
    own.save(1, "Daily", query={"Metrics": ["people"]})
    assert site.post("people?list=1", {"act": "save", "name": "Daily", "who": who(DONE), "named": "Daily"}).status == 400
    assert site.post("people?list=1", {"act": "forget", "name": "Daily"}).status == 303
    assert [row.kind for row in own.saved(1).rows] == ["query"]
    assert site.post("people?list=1", {"act": "rename"}).status == 400


def test_rules_of_other_programs_are_opened(site: Site, own: EventTracking) -> None:
    """As conditions where these can say the same, else by the segment's name."""
    rule = {"type": "website-events", "event": "signup", "operator": "equals", "event_parameter": "plan", "value": "pro"}
    own.save(1, "Pro", rules_json=[[rule]])
    own.save(1, "Not lately", rules_json=[[{**rule, "time_filter": {"operator": "after", "value": "2026-03-01"}}]])
    page = site.get("people")
    assert "has done signup (plan is pro)" in site.get(page.link("Pro")).text
    assert people_of(site, page.link("Pro")) == ["ada@example.com"]
    assert "is in the segment Not lately" in site.get(page.link("Not lately")).text
    assert people_of(site, page.link("Not lately")) == ["ada@example.com"]


def test_rules_json_is_shown_to_copy(dashboard: Site, shop: EventTracking) -> None:
    """It finds the same people; where it cannot say a condition, the page says which."""
    segment = who(["has_done", {"Event": "signup", "Filters": [["is", "property:plan", ["pro"]]]}], "or", NOT_DONE)
    html = dashboard.get("people", who=segment).html
    (rules,) = re.findall(r"<pre data-copy>(.*?)</pre>", html, re.DOTALL)
    written = json.loads(rules.replace("&#34;", '"'))
    assert [row.uuids for row in shop.people(1, rules_json=written).rows] == [
        row.uuids for row in shop.people(1, people=[["or", [json.loads(segment[0]), NOT_DONE]]]).rows
    ]
    text = dashboard.get("people", who=who(["is", "trait:plan", ["pro"]])).text
    assert "RulesJson cannot say 'trait plan is pro'" in text


def test_hostile_names_are_shown_and_do_nothing(site: Site, own: EventTracking) -> None:
    """In addresses, ids, traits, event types and names of segments."""
    for number, text in enumerate(HOSTILE):
        own.track(
            1, "visit", email=f"h{number}@example.com", id=text[:100].replace("\x00", "0"), identify_properties={text[:200]: text}
        )
    own.save(1, HOSTILE[0], people=[["is", "trait:x", [HOSTILE[4]]]])
    address = site.get("people", add="done", event=HOSTILE[0], property=HOSTILE[4], value=HOSTILE[1], **{"is": "is"}).headers[
        "location"
    ]
    for seen in (
        site.get(address),
        site.get("people"),
        site.get("people.table", order="email"),
        site.get(address + "&named=" + HOSTILE[4]),
    ):
        assert seen.status == 200
        assert "<script>alert" not in seen.html
        assert "<img src=x" not in seen.html
        assert "\x00" not in seen.html
        assert "x" * 400 not in seen.html
    assert "&lt;script&gt;alert(1)" in site.get("people.table").html
    of = json.dumps({"Dimensions": ["path"], "Row": {"Dimensions": [HOSTILE[0]]}})
    assert "<script>alert" not in site.get("people", of=of).html


def test_a_reader_cannot_save_or_forget(site: Site, own: EventTracking, one_flavour: str) -> None:
    """The forms are not shown to a key of scope read, and refused if they are sent nevertheless."""
    own.save(1, "Kept", people=[DONE])
    token = site.form_token()
    reader = Site(own, one_flavour, lambda request: Principal("*", Scope.READ))
    reader.cookies = dict(site.cookies)
    page = reader.get("people", who=who(DONE))
    assert 'method="post"' not in page.html
    assert page.link("Kept")
    for fields in ({"act": "save", "name": "Mine", "who": who(DONE)}, {"act": "forget", "name": "Kept"}):
        assert reader.post("people?list=1", {**fields, "token": token}, token=False).status == 403
        assert site.post("people?list=1", fields, token=False).status == 403
    assert [row.name for row in own.saved(1).rows] == ["Kept"]


def test_people_of_other_lists_are_not_shown(own: EventTracking, one_flavour: str) -> None:
    """Neither their persons nor their segments, whatever the address says."""
    own.directory.ensure_list(2, "Other")
    own.track(2, "visit", email="eve@example.com")
    own.save(2, "Secret", people=[DONE])
    one = Site(own, one_flavour, lambda request: Principal("*", Scope.FULL, list_ids=frozenset({1})))
    for page in ("people?list=2", "people.table?list=2", "people.count?list=2", "people.suggestions?list=2&of=event"):
        seen = one.get(page)
        assert (seen.status, "eve@" in seen.html, "Secret" in seen.html) == (404, False, False)
    assert one.post("people?list=2", {"act": "forget", "name": "Secret"}).status == 404
    assert [row.name for row in own.saved(2).rows] == ["Secret"]


def test_an_empty_list_says_what_to_do(own: EventTracking, one_flavour: str) -> None:
    """Nobody is there yet, and no segment."""
    own.directory.ensure_list(5, "Empty")
    empty = Site(own, one_flavour, lambda request: Principal("*"))
    assert "Everybody. Add a condition" in empty.get("people?list=5").text
    assert "0 people Nobody." in empty.get("people.table?list=5").text
    assert "0 people of 0" in empty.get("people.count?list=5").text


def test_the_page_of_a_filtered_view_says_whom_it_shows(dashboard: Site) -> None:
    """A link keeps filters for the other pages; people are not filtered by them, but by the segment."""
    kept = dashboard.get("people", filter='["is","path",["/"]]', range=MARCH)
    assert "filter=" in kept.link("Overview")
    assert len(people_of(dashboard, kept.url)) == 4
    assert "filters of other pages" in kept.text


def test_fields_are_offered_what_the_list_has(dashboard: Site) -> None:
    """Event types, properties of an event type, traits, and values."""

    def offered(**query: str) -> list[str]:
        return re.findall(r'<option value="([^"]*)"', dashboard.get("people.suggestions", part="1", **query).html)

    assert offered(of="property", event="signup", prefix="s") == ["seats", "screen", "source"]
    assert offered(of="trait", prefix="PL") == ["plan"]
    assert offered(of="property", prefix="conversion-v") == ["conversion-value"]
