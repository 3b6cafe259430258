"""A walk over every page of the dashboard: what a person clicks on, and the exact numbers that the shop's pages must show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import zip_longest
from typing import Any

from tests.harness import wait_until
from tests.server.browser.walk_store import (
    BEFORE,
    MARCH,
    NONE,
    ask,
    count_funnel,
    count_retention,
    list_events_of,
    make_events,
    name_persons,
    write_number,
    write_seconds,
    write_share,
    write_value,
)
from tests.server.browser.walker import Walker

FIGURES = {
    "people": "People",
    "views": "Views",
    "sessions": "Sessions",
    "bounce_rate": "Bounce rate",
    "session_seconds": "Session time",
    "conversions": "Conversions",
    "revenue": "Revenue",
}
FORMS = {"bounce_rate": write_share, "session_seconds": write_seconds}
VIEWS, ORDERS, SIGNUPS = (["is", "event", [name]] for name in ("pageView", "conversion", "signup"))
PRICING, SPRING = ["is", "path", ["/pricing"]], ["is", "campaign", ["spring"]]
BUYERS = ["has_done", {"Event": "conversion", "Count": [">=", 2]}]
PLAN = "property:plan"
EVER: dict[str, Any] = {"days": ("2026-01-01", "2026-05-01")}
CROSS = "\u00d7"
"""The text of the link that takes a filter away."""
ADA = "person01@example.com"
"""Somebody with two browsers and an order."""
VISITOR, SHOWN_LIVE = "00990000-0000-4000-8000-000000000000", 50
"""Somebody who comes during the walk, and how many events the page of live events begins with."""


def tell_change(now: float, before: float, *, points: bool = False) -> str:
    """Write a change: in percent, with a decimal if it is small, or in points."""
    if points:
        return f"{(now - before) * 100:+.1f} points"
    change = (now - before) / before * 100
    return f"{change:+.0f} %" if abs(change) >= 9.5 or change == 0 else f"{change:+.1f} %"


def tell_figures(metrics: Sequence[str], names: dict[str, str], *, compared: bool = True, **narrowed: Any) -> list[Any]:
    """Return what the figures must be in March, against the time before."""
    ((_, now),), ((_, before),) = (ask(*metrics, days=days, **narrowed) for days in (MARCH, BEFORE))
    told = []
    for metric, value, old in zip(metrics, now, before, strict=True):
        write = FORMS.get(metric, write_number)
        change = tell_change(value, old, points=metric == "bounce_rate") + " " if old or metric == "bounce_rate" else ""
        told.append((names[metric], write(value), f"{change}from {write(old)}" if compared and old is not None else ""))
    return told


def tell_rows(*metrics: Any, by: str, empty: str = "(empty)", **narrowed: Any) -> list[list[str]]:
    """Return what the rows of a table must be in March."""
    rows = ask(*metrics, by=by, **narrowed)
    return [[empty if value == "" else write_value(value), *map(write_number, numbers)] for value, numbers in rows]


def tell_times(metric: str, unit: str, **narrowed: Any) -> list[list[str]]:
    """Return what the rows of a trend must be: each day or week of March, beside the one before."""
    rows, before = (ask(metric, by=f"time:{unit}", days=days, **narrowed) for days in (MARCH, BEFORE))
    return [
        [_tell_label(label, unit), write_number(now), write_number(old)]
        for (label, (now,)), (_, (old,)) in zip_longest(rows, before, fillvalue=("", (None,)))
        if label
    ]


def _tell_label(label: str | None, unit: str) -> str:
    """Return a label of time, with words if March has only a part of it."""
    first = date.fromisoformat(label or "")
    last = first + timedelta(days=6 if unit == "week" else 0)
    return f"{label}" + ("" if MARCH[0] <= first.isoformat() and last.isoformat() <= MARCH[1] else " (in part)")


def walk_overview(walker: Walker) -> None:
    """Choose March, read every number, go through tabs, and to the persons of a number and back."""
    walker.click("Dates")
    walker.find(".menu[open] [name=from]").send_keys("03012026")
    walker.find(".menu[open] [name=to]").send_keys("03312026")
    walker.click("Show", ".menu[open]")
    assert walker.read("#range option:checked") == "2026-03-01 to 2026-03-31"
    expected = tell_figures(list(FIGURES), FIGURES)
    assert walker.figures() == expected
    walker.click("As a table")
    assert walker.table(".as-table table") == tell_times("people", "day")
    assert walker.find("figure.chart").get_attribute("aria-label").startswith("People: a line from 2026-03-01 to 2026-03-31.")
    assert walker.card("pages") == tell_rows("people", "views", by="path", filters=[VIEWS])
    elsewhere = ["is_not", "referring_domain", ["shop.example"]]
    direct = tell_rows("people", "views", by="referring_domain", empty="(direct)", filters=[VIEWS, elsewhere])
    assert walker.card("sources") == direct
    assert walker.card("events") == tell_rows("people", "events", by="event")
    assert walker.card("devices") == tell_rows("people", "events", by="browser")
    walker.click("Entry pages")
    assert walker.card("pages") == tell_rows("people", "sessions", by="entry_path")
    walker.click("Campaigns")
    assert walker.card("sources") == tell_rows("people", "conversions", "revenue", by="campaign")
    walker.click("Systems")
    assert walker.card("devices") == tell_rows("people", "events", by="os")
    walker.click_cell("[aria-labelledby=card-sources]", "spring", 2)
    assert walker.read("h1") == "People with campaign spring where event is conversion in 2026-03-01..2026-03-31"
    assert walker.persons() == name_persons(ORDERS, SPRING)
    walker.back("Overview")
    assert walker.figures() == expected


def walk_choices(walker: Walker) -> None:
    """Choose another figure, another comparison and filters on the overview, and take all of it back."""
    expected = walker.figures()
    walker.click("Entry pages")
    walker.click("Campaigns")
    walker.click("Revenue")
    assert walker.card("sources") == tell_rows("people", "conversions", "revenue", by="campaign")  # the tab is kept
    walker.click("As a table")
    assert walker.table(".as-table table") == tell_times("revenue", "day")
    walker.choose("#compare", "against nothing")
    assert walker.figures() == tell_figures(list(FIGURES), FIGURES, compared=False)
    walker.back("Overview")
    assert walker.figures() == expected
    walker.click("/pricing", "[aria-labelledby=card-pages]")
    entered = ["is", "entry_path", ["/pricing"]]
    assert walker.read_all(".chips li > :first-child") == ["entry_path is /pricing"]
    assert walker.figures() == tell_figures(list(FIGURES), FIGURES, filters=[entered])
    walker.click("Filter")
    walker.write(".menu[open] [name=dimension]", "browser")
    walker.write(".menu[open] [name=value]", "Fire")
    offered = "[...document.querySelectorAll('#values option')].map((one) => one.value)"
    wait_until(lambda: walker.browser.js(offered) == ["Firefox"], "no value is offered")
    walker.write(".menu[open] [name=value]", "Firefox")
    walker.click("Add", ".menu[open]")
    firefox = ["is", "browser", ["Firefox"]]
    assert walker.read_all(".chips li > :first-child") == ["entry_path is /pricing", "browser is Firefox"]
    assert walker.figures() == tell_figures(list(FIGURES), FIGURES, filters=[entered, firefox])
    assert walker.card("events") == tell_rows("people", "events", by="event", filters=[entered, firefox])
    walker.back("Overview")
    assert walker.read_all(".chips li > :first-child") == ["entry_path is /pricing"]
    walker.click(CROSS, ".chips")
    assert walker.figures() == expected


def walk_events(walker: Walker) -> None:
    """Search an event type, and read all about one: its days, properties and values."""
    walker.go("Events")
    assert [row[:3] for row in walker.table("table.seen-events")] == tell_rows("events", "people", by="event")
    walker.write(".search [type=search]", "IGN")
    wait_until(lambda: [row[0] for row in walker.table("table.seen-events")] == ["signup"], "nothing is found")
    walker.click("signup", "#event-types")
    names = {"events": "Events", "people": "People", "sessions": "Sessions"}
    assert walker.read("h1") == "signup"
    assert walker.figures() == tell_figures(list(names), names, filters=[SIGNUPS])
    walker.click("As a table")
    assert walker.table(".as-table table") == tell_times("events", "day", filters=[SIGNUPS])
    ever = write_number(len([one for one in make_events() if one.event == "signup"]))
    types = {"plan": "text", "seats": "number", "$browser": "text", "$os": "text"}
    assert walker.table("#property-names") == [[name, kind, ever] for name, kind in types.items()]
    walker.click("seats", "#property-names")
    seats = "property:seats"
    aggregates = ("avg", "median", "p95", "min", "max", "sum")
    ((_, numbers),) = ask(*([one, seats] for one in aggregates), filters=[SIGNUPS])
    assert [value for _, value in walker.facts("#property")] == [write_number(one) for one in numbers]
    counts = {value: number for value, (number,) in ask("events", by=seats, filters=[SIGNUPS])}
    low, high = (int(numbers[aggregates.index(one)]) for one in ("min", "max"))
    histogram = [[str(one), write_number(counts.get(str(one), 0))] for one in range(low, high + 1)]
    assert walker.table("#property .part") == histogram
    assert walker.table("#property .part ~ .scroll") == tell_rows("events", "people", by=seats, filters=[SIGNUPS])
    walker.click("plan", "[aria-labelledby=broken-down]")
    assert walker.table("[aria-labelledby=broken-down]") == tell_rows("events", "people", by=PLAN, filters=[SIGNUPS])


def walk_funnels(walker: Walker) -> None:
    """Build a funnel of three steps, the first with a condition, and look at those who dropped out."""
    walker.go("Funnels")
    walker.write("#step-1 [name=event]", "pageView")
    walker.click("Only if …", "#step-1")
    walker.write("#step-1 [name=what1]", "path")
    walker.write("#step-1 [name=value1]", "/pricing")
    walker.click("Add the condition", "#step-1")
    assert walker.read("#step-1 .chips bdi") == "path is /pricing"
    walker.write("#step-2 [name=event]", "signup")
    walker.click("Add a step")
    walker.write("#step-3 [name=event]", "conversion")
    walker.click("Show the funnel")
    steps = [{"Event": "pageView", "Filters": [PRICING]}, {"Event": "signup"}, {"Event": "conversion"}]
    funnel, before = (count_funnel(steps, days) for days in (MARCH, BEFORE))
    assert [row[1:] for row in walker.table("table.funnel")] == tell_steps(funnel.steps(), before.steps())
    came, first = funnel.steps()[2][0], funnel.steps()[0][0]
    assert walker.read(".lead") == f"{came} of {first} people came through all 3 steps: {came / first * 100:.1f} %."
    walker.click_cell("table.funnel", "2. signup", 5)
    assert walker.persons() == sorted(way[0].person for way in funnel.best if len(way) == 1)


def tell_steps(steps: list[Any], before: list[Any]) -> list[list[str]]:
    """Return what the rows of a funnel must be, without the steps' names."""
    rows = []
    for place, ((people, median), (old, old_median)) in enumerate(zip(steps, before, strict=True)):
        cells = [f"{write_number(people)} before: {write_number(old)} {tell_change(people, old)}"]
        cells.append(f"{write_share(people / steps[0][0])} before: {write_share(old / before[0][0])}")
        if place == 0:
            rows.append([*cells, NONE, NONE, NONE])
            continue
        last, old_last = steps[place - 1][0], before[place - 1][0]
        cells.append(f"{write_share(people / last)} before: {write_share(old / old_last)}")
        cells.append(f"{write_seconds(median)} before: {write_seconds(old_median)}")
        rows.append([*cells, f"{write_number(last - people)} before: {write_number(old_last - old)}"])
    return rows


def walk_retention(walker: Walker) -> None:
    """Ask who came back in the weeks after they signed up, as shares and as counts, and who they are."""
    walker.go("Retention")
    walker.write(".pair li:first-child [name=event]", "signup")
    walker.write("[name=periods]", "4")
    walker.choose("[name=unit]", "weeks")
    walker.click("Show who came back")
    cohorts = count_retention("signup", "week", 4)
    size = sum(number for _, number, _ in cohorts)
    totals = [sum(returned[place] or 0 for _, _, returned in cohorts) for place in range(4)]
    shares = [[label, str(number), *_tell_shares(number, returned)] for label, number, returned in cohorts]
    everybody = ["All together", str(size), *(write_share(one / size) for one in totals)]
    assert walker.table("table.cohorts") == [everybody, *shares]
    label, _, returned = max(cohorts, key=lambda one: (one[2][1] or 0, one[0]))
    walker.click_cell("table.cohorts", label, 3)
    assert len(walker.persons()) == returned[1]


def _tell_shares(size: int, returned: Sequence[int | None]) -> list[str]:
    return [write_share(one / size) if size and one is not None else NONE for one in returned]


def walk_person(walker: Walker) -> None:
    """Look somebody up, and read everything that they did, on both of their browsers."""
    walker.go("People")
    assert walker.persons() == name_persons(**EVER)
    walker.click(ADA, ".persons")
    assert walker.read("h1") == ADA
    events = list_events_of(ADA)
    facts = dict(walker.facts(".person > section:first-child > dl"))
    assert facts["UUIDs of browsers"].split() == sorted({one.visitor for one in events})
    assert facts["IDs"] == "customer-01"
    assert facts["First seen"] == f"{events[-1].moment:%Y-%m-%d %H:%M:%S}"
    assert facts["Last seen"] == f"{events[0].moment:%Y-%m-%d %H:%M:%S}"
    assert facts["Events"] == str(len(events))
    assert facts["plan"] == next(one.properties["plan"] for one in events if one.event == "signup")
    own = {**EVER, "people": [["is", "email", [ADA]]]}
    ((_, counts),) = ask("sessions", "views", "conversions", "revenue", **own)
    assert [value for _, value in walker.facts(".person .part > dl")] == [write_number(one) for one in counts]
    assert walker.table(".person .part") == tell_rows("events", by="event", **own)
    told = [f"{one.moment:%H:%M:%S} {one.event}" for one in events]
    assert [" ".join(line.split()[:2]) for line in walker.read_all("details.event summary")] == told
    days = list(dict.fromkeys(f"{one.moment:%A}, {one.moment.day} {one.moment:%B %Y}" for one in events))
    assert walker.read_all("h3.day") == days
    walker.find("details.event summary").click()
    assert dict(walker.facts("details.event[open]"))["Visitor"] == events[0].visitor
    places = (
        "new Set([...document.querySelectorAll('details.event[open] dt')].map((name) => name.getBoundingClientRect().left)).size"
    )
    assert walker.browser.js(places) == 1  # the names are one below the other
    walker.click("pageView", ".person .part")
    assert len(walker.read_all("details.event summary")) == counts[1]


def walk_people(walker: Walker) -> None:
    """Find those who bought twice, save them as a segment, and see the overview of the segment."""
    walker.go("People")
    walker.click("Has done", ".adders")
    walker.write(".adder[open] [name=event]", "conversion")
    walker.write(".adder[open] [name=times]", "2")
    walker.click("Add", ".adder[open]")
    assert walker.read(".conditions li span") == "has done conversion at least 2 times"
    assert walker.persons() == name_persons(**EVER, people=[BUYERS])
    walker.write(".save [name=name]", "Buyers")
    walker.click("Save this segment")
    assert walker.read("#who") == "Segment Buyers"
    walker.click("Saved segments (1)")
    walker.click("Their overview")
    assert walker.read_all(".chips li span") == ["segment Buyers"]
    assert walker.figures() == tell_figures(list(FIGURES), FIGURES, people=[BUYERS])
    walker.click(CROSS, ".chips")


def walk_boards(walker: Walker) -> None:
    """Save the overview, narrowed by a filter, on a board, which shows the same numbers, and the unit of time that was chosen."""
    walker.click("/docs", "[aria-labelledby=card-pages]")
    figures = walker.figures()
    assert figures == tell_figures(list(FIGURES), FIGURES, filters=[["is", "path", ["/docs"]]])
    walker.click("Weeks")
    walker.click("Save this view")
    walker.write(".keep[open] [name=name]", "Readers of the manual")
    walker.click("Save", ".keep[open]")
    assert walker.read("h1") == "Main"
    assert walker.read(".saved .quiet").endswith("path is /docs")
    assert walker.figures() == figures
    walker.click("As a table")
    weeks = tell_times("people", "week", filters=[["is", "path", ["/docs"]]])
    assert walker.table(".as-table table") == weeks
    walker.go("Boards")
    assert walker.read_all(".boards li") == ["Main 1 view"]


def walk_live(walker: Walker, send: Any) -> None:
    """See an event arrive."""
    walker.go("Live")
    wait_until(lambda: walker.read("#state") == "Live", "the stream does not begin")
    wait_until(lambda: len(walker.read_all("#live li")) == SHOWN_LIVE, "the last events do not appear")
    send()
    wait_until(lambda: "surprise" in walker.read("#live li:first-child"), "the event does not appear")
    assert walker.read("#live li:first-child summary").endswith(f" surprise visitor {VISITOR[:8]}")
    assert len(walker.read_all("#live li")) == SHOWN_LIVE + 1
    walker.find("#live li:first-child summary").click()
    walker.click("Everything this person did", "#live li:first-child")
    assert walker.read("h1") == VISITOR
    assert walker.read("details.event summary b") == "surprise"


def walk_data(walker: Walker) -> None:
    """Look at every section: whether events arrive, the lists, and what the store holds."""
    walker.go("Data")
    assert walker.read(".arrived").startswith("Received. The last event, surprise, came at ")
    walker.click("Lists", ".sections")
    rows = {row[0]: row for row in walker.table("main")}
    stored = [*make_events()]
    bindings = {(one.visitor, one.email) for one in stored if one.email}
    events = write_number(len(stored) + len(bindings) + 1)
    assert rows["Shop shown now"][3] == events
    walker.click("Store", ".sections")
    assert walker.read("[aria-labelledby=health] .now") == "It accepts events."
    assert dict(walker.facts("[aria-labelledby=held]"))["Events"] == events
    counts = Counter(one.event for one in stored) + Counter(identify=len(bindings), surprise=1)
    assert {row[0]: row[1] for row in walker.table("[aria-labelledby=held]")} == {
        name: str(count) for name, count in counts.items()
    }
