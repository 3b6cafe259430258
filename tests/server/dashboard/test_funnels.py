"""Funnels: made by a form, counted by the API's own question, and opened as persons."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal, Scope
from falcon_events.dashboard.event_kinds import read_condition, read_event, write_condition, write_event
from falcon_events.dashboard.pages.funnels import list_examples
from falcon_events.dashboard.templates import NONE
from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Seen, Site

SEEN, TRIED, BOUGHT = "see", "try", "buy"
STEPS = [SEEN, TRIED, BOUGHT]
KNOWN, HOSTILE, RECENT, EMPTY, MANY = range(1, 6)
"""Lists: of known events, of hostile names, of the last hour, without events, with ten steps."""
HOSTILE_NAMES = ["<img src=x onerror=alert(1)>", '"quoted" & \u202egnp', "line\r\nbreak \x07", "]]>'--><script>alert(2)</script>"]
EVENTS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("2026-02-10T10:00:00Z", "eve", SEEN, {}),
    ("2026-02-10T11:00:00Z", "eve", TRIED, {}),
    ("2026-03-02T10:00:00Z", "ada", SEEN, {"plan": "pro"}),
    ("2026-03-02T10:10:00Z", "ada", TRIED, {}),
    ("2026-03-02T11:10:00Z", "ada", BOUGHT, {"price": 50}),
    ("2026-03-02T12:00:00Z", "bob", SEEN, {"plan": "free"}),
    ("2026-03-02T12:30:00Z", "bob", TRIED, {}),
    ("2026-03-03T10:00:00Z", "cyd", SEEN, {"plan": "pro"}),
    ("2026-03-03T11:00:00Z", "dan", SEEN, {}),
    ("2026-03-03T11:10:00Z", "dan", "other", {}),
    ("2026-03-03T11:20:00Z", "dan", TRIED, {}),
]
"""When, who, what, with which properties."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A tracker with the lists above."""
    with EventTracking(tmp_path_factory.mktemp("funnels") / "events.duckdb") as tracking:
        for number, name in enumerate(("Known", "Hostile", "Recent", "Empty", "Many"), 1):
            tracking.directory.ensure_list(number, name)
        for at, who, event, properties in EVENTS:
            tracking.track(KNOWN, event, email=f"{who}@example.com", timestamp=at, properties=properties)
        for minute, event in enumerate(HOSTILE_NAMES):
            properties = {"<b>\n": "</td>\n\u202e" + "x" * 10_000}
            at = f"2026-03-02T10:{minute:02}:00Z"
            tracking.track(HOSTILE, event, email="mallory@example.com", timestamp=at, properties=properties)
        now = datetime.now(UTC)
        for who, event, minutes in (("ada", SEEN, 60), ("ada", TRIED, 50), ("bob", SEEN, 40)):
            at = (now - timedelta(minutes=minutes)).isoformat()
            tracking.track(RECENT, event, email=f"{who}@example.com", timestamp=at)
        for number in range(10):
            tracking.track(MANY, f"step-{number}", email="ada@example.com", timestamp=f"2026-03-02T10:{number:02}:00Z")
        yield tracking


@pytest.fixture
def site(store: EventTracking, one_flavour: str) -> Site:
    """The dashboard, for somebody who may do everything."""
    return Site(store, one_flavour, lambda request: Principal("*"))


def result(site: Site, **query: Any) -> Seen:
    """The funnel's part."""
    return site.get("funnels.result", **{"range": MARCH, "compare": "none", "step": STEPS, **query})


def count_people(store: EventTracking, link: str, list_id: int = KNOWN) -> int:
    """How many persons a link to persons means."""
    (of,) = parse_qs(urlsplit(link).query)["of"]
    return store.people(list_id, of=json.loads(of)).count


def links_of(seen: Seen) -> list[tuple[str, int]]:
    """The links to persons, each with its number."""
    found = re.findall(r'<a class="people" href="([^"]*)"[^>]*><data value="(\d+)"', seen.html)
    return [(html.unescape(link), int(number)) for link, number in found]


def test_a_funnel_is_a_table_of_its_steps(site: Site) -> None:
    """People, shares, the median time and who dropped out, and in words what is to be seen."""
    seen = result(site)
    assert seen.tables == [
        [
            ["Step", "People", "Of first", "Of step before", "Median time", "Dropped out"],
            ["1. see", "4", "100.0 %", NONE, NONE, NONE],
            ["2. try", "3", "75.0 %", "75.0 %", "20 min", "1"],
            ["3. buy", "1", "25.0 %", "33.3 %", "1 h", "2"],
        ]
    ]
    assert "1 of 4 people came through all 3 steps: 25.0 %." in seen.text
    assert "Most stop between step 2 (try) and step 3 (buy): 2 people, 66.7 % of those who came that far." in seen.text
    assert "can still come further" not in seen.text


def test_each_number_opens_its_persons(site: Site, store: EventTracking) -> None:
    """Those who came to a step, and those who dropped out before it."""
    links = links_of(result(site))
    assert [number for _, number in links] == [4, 3, 1, 1, 2]
    assert [count_people(store, link) for link, _ in links] == [4, 3, 1, 1, 2]


def test_the_time_before_stands_beside(site: Site) -> None:
    """February has one person, who came to the second step."""
    rows = result(site, compare="previous").tables[0][1:]
    assert [row[1] for row in rows] == ["4before: 1 +300 %", "3before: 1 +200 %", "1before: 0"]
    assert [row[2] for row in rows] == ["100.0 %before: 100.0 %", "75.0 %before: 100.0 %", "25.0 %before: 0.0 %"]
    assert [row[5] for row in rows] == [NONE, "1before: 0", "2before: 1"]


def test_conditions_window_and_order_are_those_of_the_address(site: Site) -> None:
    """As the API has them; the table names the conditions."""
    seen = result(site, where1="property:plan is pro", where3="property:price > 20")
    assert [row[:2] for row in seen.tables[0][1:]] == [
        ["1. seeonly if plan is pro", "2"],
        ["2. try", "1"],
        ["3. buyonly if price is greater than 20", "1"],
    ]
    assert [row[1] for row in result(site, window="15m").tables[0][1:]] == ["4", "1", "0"]
    assert [row[1] for row in result(site, order="strict").tables[0][1:]] == ["4", "2", "1"]
    assert [row[1] for row in result(site, step=["", BOUGHT]).tables[0][1:]] == ["4", "1"]


def test_a_breakdown_has_a_row_for_each_value(site: Site, store: EventTracking) -> None:
    """Also for a missing one. Each number opens its persons, and a value leads to its own funnel."""
    seen = result(site, breakdown="property:plan")
    assert seen.tables[1] == [
        ["property:plan", "Step 1", "Step 2", "Step 3", "All steps"],
        ["pro", "2", "1", "1", "50.0 %"],
        ["free", "1", "1", "0", "0.0 %"],
        ["(none)", "1", "1", "0", "0.0 %"],
    ]
    for link, number in links_of(seen):
        assert count_people(store, link) == number
    for value, people in (("pro", ["2", "1", "1"]), ("(none)", ["1", "1", "0"])):
        own = site.get(seen.link(value).replace("funnels?", "funnels.result?"))
        assert [row[1] for row in own.tables[0][1:]] == people
        assert f"Funnel of property:plan {value}" in own.text
        for link, number in links_of(own):
            assert count_people(store, link) == number


def test_what_cannot_be_listed_says_so(site: Site) -> None:
    """The API lists persons, not visitors or sessions."""
    seen = result(site, by="visitors")
    assert [row[1] for row in seen.tables[0][1:]] == ["4", "3", "1"]
    assert links_of(seen) == []
    assert "Visitors cannot be opened as persons. To see who they are, count people." in seen.text


def test_those_who_can_still_come_further_are_told(site: Site) -> None:
    """Their window is not over."""
    seen = result(site, list=RECENT, range="7d", step=[SEEN, TRIED])
    assert "1 of 2 people came through both steps: 50.0 %." in seen.text
    assert "1 of these people can still come further: less than 7 days have passed since their first step." in seen.text


def test_a_funnel_is_csv(site: Site) -> None:
    """With the columns that the Python API's table has."""
    rows = list(csv.reader(io.StringIO(result(site, csv=1).html)))
    assert rows[0] == ["step", "event", "people", "of_first", "of_previous", "median_seconds"]
    assert rows[2] == ["2", "try", "3", "0.75", "0.75", "1200.0"]
    rows = list(csv.reader(io.StringIO(result(site, csv=1, breakdown="property:plan", compare="previous").html)))
    assert rows[0][:3] == ["property:plan", "step", "event"]
    assert len(rows) == 1 + 3 * 3


class Form:
    """The form of the page, as a browser sends it."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        inner = re.search(r'<form class="card builder".*?</form>', seen.html, re.DOTALL)
        assert inner is not None
        text = inner[0]
        self.pairs: list[list[str]] = []
        for tag in re.findall(r"<input\b[^>]*>|<select\b.*?</select>", text, re.DOTALL):
            name = re.search(r'name="([^"]*)"', tag)
            assert name is not None
            chosen = re.search(r'<option value="([^"]*)" selected', tag) or re.search(r'value="([^"]*)"', tag)
            self.pairs.append([name[1], html.unescape(chosen[1]) if chosen else ""])
        self.buttons = re.findall(r'<button[^>]*name="do" value="([^"]*)"', text)

    def fill(self, name: str, value: str, place: int = 0) -> Form:
        """Write into one of the fields with a name."""
        [pair for pair in self.pairs if pair[0] == name][place][1] = value
        return self

    def send(self, site: Site, button: str) -> Seen:
        """Press a button, and follow where it leads."""
        assert button in self.buttons
        fields: dict[str, list[str]] = {}
        for name, value in [*self.pairs, ["do", button]]:
            fields.setdefault(name, []).append(value)
        answer = site.get("funnels", **fields)
        assert answer.status == 303, answer.text
        return site.get(answer.headers["location"])


def query_of(seen: Seen) -> dict[str, list[str]]:
    """The parameters of a page's address."""
    return parse_qs(urlsplit(seen.url).query, keep_blank_values=True)


def test_a_funnel_is_made_by_clicking(site: Site) -> None:
    """Fill in, add, move and remove steps and conditions: the address says what was made, and keeps range and filters."""
    seen = site.get("funnels", range=MARCH, filter='["is_set","event"]')
    seen = Form(seen).fill("event", SEEN).fill("event", TRIED, 1).fill("within", "2").fill("within_unit", "h").send(site, "show")
    assert query_of(seen) == {
        "list": ["1"],
        "range": [MARCH],
        "filter": ['["is_set","event"]'],
        "step": [SEEN, TRIED],
        "window": ["2h"],
    }
    assert [row[1] for row in site.get(seen.parts()[0]).tables[0][1:]] == ["4before: 1 +300 %", "3before: 1 +200 %"]
    seen = Form(seen).send(site, "add")
    assert seen.url.endswith("#step-3")
    seen = (
        Form(seen)
        .fill("event", BOUGHT, 2)
        .fill("what3", "property:price")
        .fill("how3", ">=")
        .fill("value3", "50")
        .send(site, "show")
    )
    assert query_of(seen)["where3"] == ["property:price >= 50"]
    seen = Form(seen).fill("what3", "path").fill("how3", "is_not_set").send(site, "keep-3")
    assert query_of(seen)["where3"] == ["property:price >= 50", "path is_not_set"]
    seen = Form(seen).send(site, "up-3")
    assert query_of(seen)["step"] == [SEEN, BOUGHT, TRIED]
    assert query_of(seen)["where2"] == ["property:price >= 50", "path is_not_set"]
    assert "where3" not in query_of(seen)
    seen = Form(seen).send(site, "drop-2-0")
    assert query_of(seen)["where2"] == ["path is_not_set"]
    seen = Form(seen).send(site, "down-1")
    assert query_of(seen)["step"] == [BOUGHT, SEEN, TRIED]
    assert query_of(seen)["where1"] == ["path is_not_set"]
    seen = Form(seen).send(site, "remove-1")
    assert query_of(seen)["step"] == [SEEN, TRIED]
    assert not {"where1", "where2"} & query_of(seen).keys()
    assert not [button for button in Form(seen).buttons if button.startswith("remove")], "a funnel has two steps at least"


def test_a_funnel_has_ten_steps_at_most(site: Site, store: EventTracking) -> None:
    """Ten can be made and counted; then nothing adds another."""
    names = [f"step-{number}" for number in range(10)]
    seen = site.get("funnels", list=MANY, range=MARCH, compare="none", step=names[:9])
    seen = Form(Form(seen).send(site, "add")).fill("event", names[9], 9).send(site, "show")
    assert query_of(seen)["step"] == names
    assert "add" not in Form(seen).buttons
    shown = site.get(seen.parts()[0])
    assert [row[:2] for row in shown.tables[0][1:]] == [[f"{number}. step-{number - 1}", "1"] for number in range(1, 11)]
    assert count_people(store, links_of(shown)[-1][0], MANY) == 1
    refused = result(site, step=[*names, "one-more"])
    assert refused.status == 422
    assert "Steps: 11 given; 2 to 10 are possible" in refused.text


def test_hostile_names_are_text(site: Site, store: EventTracking) -> None:
    """They count as they are, come back from the form as they were, and are nothing but text on the page."""
    steps = [write_event(name) for name in HOSTILE_NAMES]
    where = write_condition(["contains", "property:<b>\n", ["</td>\n\u202e" + "x" * 2_000]])
    seen = site.get("funnels", list=HOSTILE, range=MARCH, step=steps, where1=where, breakdown="property:<b>\n")
    shown = site.get(seen.parts()[0])
    assert [row[1] for row in shown.tables[0][1:]] == ["1before: 0", "1before: 0", "1before: 0", "1before: 0"]
    assert count_people(store, links_of(shown)[0][0], HOSTILE) == 1
    for page in (seen, shown, site.get("funnels.examples", list=HOSTILE, range=MARCH), site.get("names", list=HOSTILE)):
        assert page.status == 200
        assert "<img" not in page.html.replace('<img src="static', "")
        assert "<script>" not in page.html
        assert "</td>\n" not in html.unescape("".join(re.findall(r">([^<]*)<", page.html)))
        assert "\u202e" not in "".join(re.findall(r">([^<]*)<", page.html))
    again = Form(seen).send(site, "show")
    assert query_of(again)["step"] == steps
    assert [read_event(one) for one in query_of(again)["step"]] == HOSTILE_NAMES
    assert query_of(again)["where1"] == [where]


def test_what_cannot_be_asked_says_why(site: Site) -> None:
    """The message is that of the API; the form stays, to be corrected."""
    for query, status, message in (
        ({"step": [SEEN]}, 422, "Steps: 1 given; 2 to 10 are possible"),
        ({"window": "soon"}, 422, 'Window: "soon" must be a number of days, hours or minutes'),
        ({"order": "random"}, 422, 'Order: "random" must be one of sequential, strict.'),
        ({"by": "shoes"}, 422, 'By: "shoes" must be one of people, visitors, sessions.'),
        ({"breakdown": "shoe-size"}, 422, 'Breakdown: "shoe-size" is no dimension.'),
        ({"where2": "shoe-size is 43"}, 422, 'Steps[1].Filters[0]: "shoe-size" is no dimension of a condition.'),
        ({"where2": "gibberish"}, 422, "where2: 'gibberish' must be such as 'path is /pricing'"),
        ({"where2": "[" * 20_000}, 422, "where2: '[[[["),
        ({"where2": "[1"}, 422, "where2: '[1' must be such as"),
    ):
        seen = result(site, **query)
        assert (seen.status, message in seen.text) == (status, True), seen.text
        assert site.get("funnels", range=MARCH, **{"step": STEPS, **query}).status == 200
    seen = site.get("funnels", event=[SEEN, TRIED], what1="property:price", how1=">", value1="much", do="show")
    assert seen.status == 400
    assert "value: 'much' must be a number" in seen.text
    assert "say what 'x' is" in site.get("funnels", event=[SEEN, TRIED], value1="x", do="show").text
    for odd in ("up-99", "drop-1-99", "remove-x", "down-", "²"):
        assert site.get("funnels", event=[SEEN, TRIED], do=odd).status == 303


def test_an_empty_page_offers_examples(site: Site) -> None:
    """Of the list's own events; a list without events says what to do."""
    seen = site.get("funnels", range=MARCH)
    assert "Funnels to begin with" in seen.text
    shown = site.get(seen.parts()[0])
    assert "see → then try" in shown.text
    steps = parse_qs(urlsplit(shown.link("see → then try")).query)["step"]
    assert steps == [SEEN, TRIED]
    assert "Data says how to send the first" in site.get("funnels.examples", list=EMPTY, range=MARCH).text
    assert "Nobody did the first step in this range" in result(site, list=EMPTY).text
    assert list_examples(["pageView", "search", "identify", "conversion", "signup"]) == [
        ["pageView", "search", "conversion"],
        ["search", "signup", "conversion"],
        ["pageView", "signup"],
    ]
    assert list_examples(["pageView"]) == [["pageView", "pageView"]]
    assert list_examples([]) == []


def test_names_are_suggested(site: Site) -> None:
    """Dimensions, and the properties that the list's events have."""
    options = re.findall(r'<option value="([^"]*)"', site.get("names", part=1, prefix="pl").html)
    assert options == ["property:plan"]
    assert "property:price" in re.findall(r'<option value="([^"]*)"', site.get("names", part=1, prefix="property:pri").html)


def test_other_lists_are_refused(store: EventTracking, one_flavour: str) -> None:
    """Whoever may read one list sees its funnels, and those of no other."""
    reader = Site(store, one_flavour, lambda request: Principal("*", Scope.READ, None, frozenset({KNOWN})))
    assert reader.get("funnels", range=MARCH).status == 200
    for page in ("funnels", "funnels.result", "funnels.examples", "names"):
        assert reader.get(page, list=RECENT, step=STEPS).status == 404
        assert reader.post(page, {}, token=False).status == 403


@pytest.mark.parametrize(
    "condition",
    [
        ["is", "path", ["/pricing"]],
        ["is", "property:a b", ["is is c"]],
        ["is", "path", [""]],
        ["is", "path", [" "]],
        ["is", "path", ["50"]],
        ["is", "path", [50]],
        [">", "property:n", [1.5]],
        [">", "property:n", ["1"]],
        ["is_set", "path"],
        ["is", "path", ["a", "b"], {"case_sensitive": False}],
        ["or", [["is", "path", ["/"]], ["is_set", "title"]]],
        ["is", "property:[x]", ["\x00\r\n\u202e"]],
        ["is", "[", ["東京"]],
    ],
)
def test_a_condition_comes_back_from_an_address(condition: list[Any]) -> None:
    """As it was, with its types."""
    assert read_condition(write_condition(condition), "where1") == condition


@pytest.mark.parametrize("event", [None, "signup", '"', '"a"', " a ", "a\nb", "\x00", "東京", "\u202egnp", "any event"])
def test_an_event_comes_back_from_an_address(event: str | None) -> None:
    """Its name is ASCII without control characters where a field of a form would change it."""
    written = write_event(event)
    assert read_event(written) == event
    assert "\n" not in written
