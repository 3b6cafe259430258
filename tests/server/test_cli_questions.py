"""The commands that ask questions: their tables, CSV and JSON, and refusals that name the option."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest

from falcon_events import EventTracking
from falcon_events.http import mount
from tests.blocks import environment
from tests.shop import ADA, fill_shop
from tests.shortcuts import command

WEEK = ("--range", "2026-03-02..2026-03-08")
DAYS = ["2026-03-02", "2026-03-08"]
DONE = ["has_done", {"Event": "signup", "Filters": [["is", "property:plan", ["pro"]]], "Count": [">=", 1], "Within": DAYS}]
STEPS = [{"Event": "pageView", "Filters": [["is", "path", ["/pricing"]]]}, {"Event": "signup"}, {}]
RULES = [[{"type": "website-events", "event": "conversion", "operator": "happened"}]]
OF = {"DateRange": DAYS, "Dimensions": ["event"], "Row": {"Dimensions": ["signup"]}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a shop's store in use."""
    db = tmp_path_factory.mktemp("shop") / "events.duckdb"
    with EventTracking(db) as tracking:
        fill_shop(tracking)
        yield db


@pytest.fixture(scope="module")
def api(shop: Path) -> Iterator[falcon.testing.TestClient]:
    """The API on the same store; its `key` is in the header."""
    with EventTracking(shop) as tracking:
        app = falcon.App()
        mount(app, tracking)
        key = tracking.directory.create_key("default", "read").key
        yield falcon.testing.TestClient(app, headers={"Authorization": f"Bearer {key}"})


def run(*words: str, db: Path) -> str:
    """Run a command on list 1; return what it printed."""
    done = command(*words, "--list", "1", "--db", str(db))
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_days_are_compared_and_summed_up(shop: Path) -> None:
    """Each metric with the number before and its change; a total that is no sum of the rows; zeros where nothing happened."""
    words = ("--by", "time:day", "--metric", "people", "--metric", "revenue", "--include", "totals", "--compare", "previous")
    assert run("query", *WEEK, *words, db=shop) == (
        "day         people  before   change   revenue  before  change\n"
        "2026-03-02       2       0      new         -       -       -\n"
        "2026-03-03       2       1  +100.0%  1,100.50       -       -\n"
        "2026-03-04       1       0      new         -       -       -\n"
        "2026-03-05       0       0     0.0%         -       -       -\n"
        "2026-03-06       0       0     0.0%         -       -       -\n"
        "2026-03-07       0       0     0.0%         -       -       -\n"
        "2026-03-08       0       0     0.0%         -       -       -\n"
        "total            3       1  +200.0%  1,100.50       -       -\n"
    )


def test_values_of_visitors_cannot_break_a_table(shop: Path) -> None:
    """Wide characters are aligned, those that a terminal obeys are escaped; a missing value and an empty one differ."""
    done = command(
        *("query", "--list", "1", *WEEK, "--by", "title", "--by", "campaign", "--metric", "events", "--metric", "bounce_rate"),
        *("--metric", "session_seconds", "--metric", "sum:property:seats", "--db", str(shop)),
    )
    assert done.stdout.decode() == (
        "title          campaign  events  bounce_rate  session_seconds  sum:property:seats\n"
        "(none)         spring         2        50.0%           2m 30s                   5\n"
        '""             (none)         1         0.0%              10m                   -\n'
        "\\x1b[2J        東京           1       100.0%               0s                   -\n"
        "Plans, prices  spring         1         0.0%               5m                   -\n"
        "Shop           (none)         1         0.0%              10m                   -\n"
        "(none)         (none)         1       100.0%               0s                   -\n"
    )
    assert done.stderr == b"1 event has a property:seats that is no number; it is left out\n"


def test_a_sum_beyond_a_double_is_left_out_and_told(tmp_path: Path) -> None:
    """On standard error, in each form but JSON, which has the warning itself."""
    db = tmp_path / "events.duckdb"
    with EventTracking(db) as tracking:
        tracking.directory.ensure_list(1, "shop")
        for number in ("1", "2"):
            order = {"conversion-id": number, "conversion-name": "order", "conversion-value": 1e308}
            tracking.track(1, "conversion", email="ada@example.com", properties=order)
    words = ("query", "--metric", "revenue", "--list", "1", "--db", str(db))
    for form in ((), ("--csv",)):
        done = command(*words, *form)
        assert (done.returncode, done.stderr) == (0, b"revenue is beyond the range of a double in 1 row; it is left out there\n")
    (warning,) = json.loads(command(*words, "--json").stdout)["Meta"]["Warnings"]
    assert warning == {"Code": "too_large", "Name": "revenue", "Rows": 1}


def test_hours_have_their_offset(shop: Path) -> None:
    """The label is the local time; `time_labels` adds a table of the moments, `total_rows` a note."""
    words = ("--range", "2026-03-02T10:00:00Z..2026-03-02T10:45:00Z", "--time-zone", "Asia/Kolkata", "--by", "time:hour")
    done = command(
        *("query", "--list", "1", *words, "--metric", "events", "--include", "time_labels", "--include", "total_rows"),
        *("--db", str(shop)),
    )
    assert done.stdout.decode() == (
        "hour                     events\n"
        "2026-03-02 15:00 +05:30       2\n"
        "2026-03-02 16:00 +05:30       0\n"
        "\n"
        "time                     from                  to                    partial\n"
        "2026-03-02 15:00 +05:30  2026-03-02T10:00:00Z  2026-03-02T10:30:00Z  yes\n"
        "2026-03-02 16:00 +05:30  2026-03-02T10:30:00Z  2026-03-02T10:45:00Z  yes\n"
    )
    assert done.stderr == b"2 of 2 rows\n"


def test_a_funnel_has_shares_and_times(shop: Path) -> None:
    """Of the first step and of the one before, the median time in words, and each value of a breakdown."""
    steps = ("--step", "pageView where path is /pricing", "--step", "signup", "--step", "*", "--breakdown", "campaign")
    assert run("funnel", *WEEK, *steps, "--compare", "2026-02-23..2026-02-28", db=shop) == (
        "campaign  step  event     people  of first  of previous  median time  before  change\n"
        "(all)        1  pageView       3    100.0%            -            -       0     new\n"
        "(all)        2  signup         2     66.7%        66.7%      22h 27m       0     new\n"
        "(all)        3  *              1     33.3%        50.0%        1d 1h       0     new\n"
        "spring       1  pageView       1    100.0%            -            -       0     new\n"
        "spring       2  signup         1    100.0%       100.0%           5m       0     new\n"
        "spring       3  *              1    100.0%       100.0%        1d 1h       0     new\n"
        "東京         1  pageView       1    100.0%            -            -       0     new\n"
        "東京         2  signup         0      0.0%         0.0%            -       0    0.0%\n"
        "東京         3  *              0      0.0%            -            -       0    0.0%\n"
        "(none)       1  pageView       1    100.0%            -            -       0     new\n"
        "(none)       2  signup         1    100.0%       100.0%       1d 20h       0     new\n"
        "(none)       3  *              0      0.0%         0.0%            -       0    0.0%\n"
    )


def test_a_retention_is_a_triangle_of_shares(shop: Path) -> None:
    """A period that is not over is empty, a cohort of nobody has no shares."""
    words = ("retention", "--range", "2026-03-02..2026-03-04", "--unit", "day", "--periods", "4")
    assert run(*words, db=shop) == (
        "day         people       0      1      2     3\n"
        "2026-03-02       2  100.0%  50.0%  50.0%  0.0%\n"
        "2026-03-03       1  100.0%   0.0%   0.0%  0.0%\n"
        "2026-03-04       0       -      -      -     -\n"
    )
    lines = run("retention", "--range", "3d", "--unit", "day", "--periods", "3", db=shop).splitlines()
    assert [line.split()[1:] for line in lines] == [["people", "0", "1", "2"], ["0", "-", "-"], ["0", "-"], ["0"]]


def test_persons_are_listed_page_by_page(shop: Path) -> None:
    """With the number of all on standard error, and the cursor of the next page."""
    first = command("people", "--list", "1", "--order", "email", "--limit", "2", "--db", str(shop))
    assert first.stdout.decode() == (
        "person           id            events  first seen (UTC)     last seen (UTC)      traits\n"
        'ada@example.com  customer-ada       4  2026-03-02 10:00:00  2026-03-10 09:00:00  {"plan":"pro"}\n'
        'bob@example.com  customer-bob       3  2026-03-02 11:00:00  2026-03-04 08:00:00  {"plan":"free"}\n'
    )
    counted, following = first.stderr.decode().splitlines()
    assert counted == "2 of 4 persons"
    cursor = following.removeprefix("the next page: --cursor ")
    rest = run("people", "--order", "email", "--limit", "2", "--cursor", cursor, "--csv", db=shop)
    assert [row["email"] for row in csv.DictReader(io.StringIO(rest))] == ["", ""]


def test_a_timeline_separates_sessions(shop: Path) -> None:
    """The person above, the latest event first, a blank line between sessions."""
    assert run(
        "timeline", "--email", "ADA@example.com", "--where", "property:plan is_set", "--where", "event is signup", db=shop
    ) == (
        "person      ada@example.com\n"
        "ids         customer-ada\n"
        f"visitors    {ADA}\n"
        "events      4\n"
        "first seen  2026-03-02 10:00:00\n"
        "last seen   2026-03-10 09:00:00\n"
        'traits      {"plan":"pro"}\n'
        "\n"
        "time (UTC)           event   properties\n"
        '2026-03-02 10:05:00  signup  {"plan":"pro","seats":5}\n'
    )
    events = run("timeline", "--id", "customer-ada", db=shop).split("events", 1)[1].split("\n\n", 1)[1].splitlines()
    assert [line.split("  ")[1] if line else "" for line in events[1:]] == [
        *("conversion", ""),
        *("conversion", ""),
        *("signup", "pageView"),
    ]


def test_values_are_counted(shop: Path) -> None:
    """The most frequent first."""
    assert run("values", "path", *WEEK, db=shop) == "path      events\n/pricing       3\n/              1\n"
    assert run("values", "path", "--prefix", "/PRI", *WEEK, db=shop) == "path      events\n/pricing       3\n"


COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "query": (
        (
            *(*WEEK, "--by", "time:day", "--by", "property:plan", "--metric", "people", "--metric", "max:property:seats"),
            *("--where", "event is signup,conversion", "--filters", '[["not", ["is", "path", ["/x"]]]]', "--ignore-case"),
            *("--has-done", "signup >= 1 within 2026-03-02..2026-03-08 where property:plan is pro"),
            *("--who", "email ends_with example.com", "--people", '[["not", ["is", "email", ["x"]]]]'),
            *("--order", "people asc", "--order", "time:day", "--limit", "7", "--offset", "1", "--compare", "year"),
            *("--include", "totals", "--time-zone", "Europe/Berlin", "--week-start", "sunday"),
        ),
        {
            "DateRange": DAYS,
            "Dimensions": ["time:day", "property:plan"],
            "Metrics": ["people", ["max", "property:seats"]],
            "Filters": [["is", "event", ["signup", "conversion"], {"case_sensitive": False}], ["not", ["is", "path", ["/x"]]]],
            "People": [DONE, ["ends_with", "email", ["example.com"]], ["not", ["is", "email", ["x"]]]],
            "OrderBy": [["people", "asc"], ["time:day", "asc"]],
            "Limit": 7,
            "Offset": 1,
            "Compare": "year",
            "Include": ["totals"],
            "TimeZone": "Europe/Berlin",
            "WeekStart": "sunday",
        },
    ),
    "funnel": (
        (
            *(*WEEK, "--step", "pageView where path is /pricing", "--step", "signup", "--step", "*", "--window", "3d"),
            *("--strict", "--by", "sessions", "--breakdown", "event", "--compare", "previous"),
        ),
        {
            "DateRange": DAYS,
            "Steps": STEPS,
            "Window": "3d",
            "Order": "strict",
            "By": "sessions",
            "Breakdown": "event",
            "Compare": "previous",
        },
    ),
    "retention": (
        (
            *(*WEEK, "--start", "signup where property:plan is pro", "--return", "*", "--unit", "day", "--periods", "9"),
            *("--first", "in_range", "--rolling", "--by", "visitors"),
        ),
        {
            "DateRange": DAYS,
            "Start": {"Event": "signup", "Filters": [["is", "property:plan", ["pro"]]]},
            "Return": {},
            "Unit": "day",
            "Periods": 9,
            "First": "in_range",
            "Mode": "rolling",
            "By": "visitors",
        },
    ),
    "people": (
        ("--has-not-done", "conversion", "--order", "events asc"),
        {"People": [["has_not_done", {"Event": "conversion"}]], "OrderBy": ["events", "asc"]},
    ),
    "people of rules": (("--rules-json", json.dumps(RULES), "--limit", "1"), {"RulesJson": RULES, "Limit": 1}),
    "people of a number": (("--of", json.dumps(OF)), {"Of": OF}),
    "timeline": (("--uuid", ADA, "--limit", "9"), {"UUID": ADA, "Limit": 9}),
    "values": (("title", *WEEK, "--limit", "2"), {"Dimension": "title", "DateRange": DAYS, "Limit": 2}),
    "saved": ((), {}),
}
"""For each question: the words of the command, and the parameters of the request that asks the same."""


@pytest.mark.parametrize("question", COMMANDS)
def test_json_is_the_answer_of_http(question: str, shop: Path, api: falcon.testing.TestClient) -> None:
    """Byte for byte: every option is the parameter that it is named after."""
    words, params = COMMANDS[question]
    name = question.split()[0]
    answered = api.simulate_post(f"/api/v1/website_events.{name}", json={"ListID": 1, **params})
    assert answered.status_code == 200, answered.text
    assert run(name, *words, "--json", db=shop) == answered.text + "\n"
    assert run(name, *words, "--format", "json", db=shop) == answered.text + "\n"


@pytest.mark.parametrize("question", [question for question in COMMANDS if question != "saved"])
def test_a_request_is_asked_as_it_is(question: str, shop: Path, api: falcon.testing.TestClient, tmp_path: Path) -> None:
    """A body that HTTP takes, also from a file, in any case, and with credentials, which a command needs none of."""
    params = COMMANDS[question][1]
    name = question.split()[0]
    answered = api.simulate_post(f"/api/v1/website_events.{name}", json={"ListID": 1, **params})
    body = {"listid": "1", "APIKey": "x", "SESSIONID": None, **{parameter.lower(): value for parameter, value in params.items()}}
    assert run(name, "--request", json.dumps(body), "--json", db=shop) == answered.text + "\n"
    (tmp_path / "request.json").write_text(json.dumps({"ListID": 1, **params}))
    assert run(name, "--request", f"@{tmp_path / 'request.json'}", "--json", db=shop) == answered.text + "\n"


def test_other_options_replace_parts_of_a_request(shop: Path) -> None:
    """Parameter by parameter; a table has the request's dimension as its heading."""
    request = json.dumps({"Dimension": "path", "DateRange": DAYS, "Prefix": "/PRI"})
    assert run("values", "--request", request, db=shop) == "path      events\n/pricing       3\n"
    assert (
        run("values", "--request", request, "--prefix", "", db=shop) == "path      events\n/pricing       3\n/              1\n"
    )
    assert run("values", "event", "--request", request, "--prefix", "conv", db=shop).splitlines()[0].split() == [
        "event",
        "events",
    ]
    steps = json.dumps({"Steps": STEPS, "DateRange": DAYS})
    assert len(run("funnel", "--request", steps, "--step", "pageView", "--step", "signup", db=shop).splitlines()) == 3


def test_conditions_may_have_many_brackets(shop: Path) -> None:
    """In text they nest nothing; only what is nested too deep to be read is refused."""
    conditions = json.dumps([["is_not", "title", ["[" * 4_000]]])
    assert run("query", *WEEK, "--metric", "events", "--filters", conditions, db=shop) == "events\n     7\n"


def records(*words: str, db: Path) -> tuple[list[str], list[list[str]]]:
    """Run a command with --csv; return its heading and rows."""
    heading, *rows = csv.reader(io.StringIO(run(*words, "--csv", db=db)))
    return heading, rows


def test_csv_has_a_row_for_each_of_the_answers(shop: Path) -> None:
    """With every digit and character; nothing for a missing value."""
    words = ("--by", "title", "--metric", "events", "--metric", "revenue", "--compare", "2026-02-24")
    heading, rows = records("query", *WEEK, *words, db=shop)
    assert heading == ["title", "events", "revenue", "compared events", "compared revenue"]
    assert rows[0] == ["", "3", "1100.5", "0", ""]
    assert ["\x1b[2J", "1", "", "0", ""] in rows
    assert ["Shop", "1", "", "1", ""] in rows
    steps = ("--step", "pageView", "--step", "signup")
    assert records("funnel", *WEEK, *steps, db=shop) == (
        ["step", "event", "people", "of_first", "of_previous", "median_seconds"],
        [["1", "pageView", "3", "1.0", "", ""], ["2", "signup", "2", repr(2 / 3), repr(2 / 3), "81150.0"]],
    )
    heading, rows = records("funnel", *WEEK, *steps, "--breakdown", "campaign", "--compare", "previous", db=shop)
    assert (heading[:3], heading[-1]) == (["campaign", "step", "event"], "compared median_seconds")
    assert [row[:3] for row in rows if row[1] == "1"] == [
        ["spring", "1", "pageView"],
        ["東京", "1", "pageView"],
        ["", "1", "pageView"],
    ]
    words = ("retention", "--range", "2026-03-02", "--unit", "day", "--periods", "2")
    assert records(*words, db=shop) == (
        ["cohort", "size", "period", "returned"],
        [["2026-03-02", "2", "0", "2"], ["2026-03-02", "2", "1", "1"]],
    )
    heading, rows = records("people", "--has-done", "conversion", db=shop)
    assert dict(zip(heading, rows[0], strict=True)) == {
        "email": "ada@example.com",
        "ids": '["customer-ada"]',
        "uuids": json.dumps([ADA]),
        "first_seen": "2026-03-02T10:00:00Z",
        "last_seen": "2026-03-10T09:00:00Z",
        "events": "4",
        "traits": '{"plan":"pro"}',
    }
    heading, rows = records("timeline", "--email", "ada@example.com", db=shop)
    assert [row[heading.index("event")] for row in rows] == ["conversion", "conversion", "signup", "pageView"]
    assert json.loads(rows[2][heading.index("properties")]) == {"plan": "pro", "seats": 5}
    assert records("values", "title", *WEEK, "--limit", "2", db=shop) == (["value", "events"], [["", "1"], ["\x1b[2J", "1"]])


def test_segments_and_queries_are_saved_and_used(db: Path) -> None:
    """By conditions, by rules, as a query whose parts other options replace; forgotten, they are unknown."""
    with EventTracking(db) as tracking:
        fill_shop(tracking)
        assert run("save", "buyers", "--has-done", "conversion", db=db) == "segment buyers saved\n"
        assert run("save", "東京 \x1b", "--rules-json", json.dumps(RULES), db=db) == "segment 東京 \\x1b saved\n"
        told = json.loads(run("save", "pages", "--query", '{"Dimensions": ["path"], "Metrics": ["views"]}', "--json", db=db))
        assert (told["Saved"]["Name"], told["Saved"]["Kind"]) == ("pages", "query")
        heading, rows = records("saved", db=db)
        assert heading == ["name", "kind", "saved_at", "content"]
        assert [(name, kind, json.loads(content)) for name, kind, _, content in rows] == [
            ("buyers", "segment", [["has_done", {"Event": "conversion"}]]),
            ("pages", "query", {"Dimensions": ["path"], "Metrics": ["views"]}),
            ("東京 \x1b", "segment", RULES),
        ]
        assert "\x1b" not in run("saved", db=db)
        assert records("people", "--segment", "buyers", db=db)[1][0][0] == "ada@example.com"
        assert (
            run("query", "--saved", "pages", *WEEK, db=db)
            == "path      views\n/pricing      3\n/             1\n(none)        0\n"
        )
        assert run("query", "--saved", "pages", *WEEK, "--metric", "people", db=db).startswith("path      people\n")
        assert run("forget", "buyers", db=db) == "buyers forgotten\n"
        assert json.loads(run("forget", "pages", "--json", db=db)) == {"Forgotten": "pages"}
    for words, says in (
        (("query", "--saved", "pages"), "--saved pages: there is no saved query"),
        (("query", "--saved", "東京 \x1b"), "--segment takes it"),
        (("query", "--segment", "buyers"), "--segment 'buyers': "),
        (("forget", "buyers"), "NAME: "),
        (("save", "x"), "--has-done"),
        (("save", "x", "--has-done", "a", "--query", "{}"), "One of these"),
        (("save", "x" * 201, "--has-done", "a"), "NAME: "),
    ):
        assert says in refuse(*words, "--list", "1", db=db)


def refuse(*words: str, db: Path) -> str:
    """Run a command that must fail; return its one line on standard error."""
    done = command(*words, "--db", str(db))
    assert (done.returncode, done.stdout) == (2, b""), done
    text = done.stderr.decode()
    assert text.startswith("falcon-events: ")
    assert text.count("\n") == 1, text
    return text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("query",), "'--list'"),
        (("query", "--list", "9"), "--list 9: there is no such list"),
        (("query", "--range", "soon"), "'--range': 'soon' must be today"),
        (("query", "--range", "2026-03-08..2026-03-02"), "the first before the second"),
        (("query", "--compare", "soon"), "'--compare': 'soon' must be previous, year"),
        (("query", "--time-zone", "Mars"), '--time-zone: "Mars"'),
        (("query", "--metric", "events", "--metric", "likes"), "--metric 'likes': \"likes\" is no metric"),
        (("query", "--metric", "sum:likes"), "--metric 'sum:likes': "),
        (("query", "--by", "path", "--by", "place"), "--by 'place': \"place\" is no dimension"),
        (("query", "--order", "revenue"), "--order 'revenue': \"revenue\" must be one of the question's --metric or --by"),
        (("query", "--limit", "0"), "'--limit'"),
        (("query", "--include", "all"), "'--include'"),
        (("query", "--range", "all", "--by", "time:minute"), "--range: more than 2000 minutes"),
        (("query", "--where", "path"), "'--where': 'path' must be DIMENSION OPERATOR VALUE"),
        (("query", "--where", "path like x"), "--where 'path like x': \"like\" is no operator"),
        (("query", "--where", "path is a,,b"), "'--where'"),
        (("query", "--where", "path is"), "--where 'path is': is needs at least one value"),
        (("query", "--where", 'path is "a'), "'--where'"),
        (("query", "--where", "property:n > many"), "--where 'property:n > many': "),
        (("query", "--where", "path matches ("), "--where 'path matches (': "),
        (("query", "--where", "path is x", "--filters", '[["is", "path", ["y"]], ["is", "DateRange", [{}]]]'), "--filters[1]: "),
        (("query", "--filters", "{}"), "--filters: {} must be an array"),
        (("query", "--where", "path is x", "--filters", "{}"), "--filters must be an array"),
        (("query", "--filters", "[["), "'--filters': it must be JSON such as"),
        (("query", "--filters", "[" * 100_000), "nested more than 3,000 levels deep"),
        (("query", "--filters", "@missing.json"), "missing.json cannot be read"),
        (("query", "--filters", json.dumps([["is", "path", ["x"]]] * 51)), "--filters, --people: 51 conditions are more than 50"),
        (("query", "--has-done", "a within soon"), "'--has-done': 'soon' must be"),
        (("query", "--has-done", "a", "--people", '[["has_done", {"Count": 3}]]'), "--people[0].Count: "),
        (("query", "--who", "email > 3", "--who", "first_seen > soon"), "--who 'first_seen > soon': "),
        (("query", "--segment", "nobody"), "--segment 'nobody': "),
        (("funnel",), "--step EVENT is needed"),
        (("funnel", "--step", "a", "--steps", "[]"), "not both"),
        (("funnel", "--step", "a"), "--steps: 1 given; 2 to 10"),
        (("funnel", "--step", "a", "--step", "b where c d e"), "--step 'b where c d e': "),
        (("funnel", "--steps", '[{"Event": "a"}, {"Filters": [["x"]]}]'), "--steps[1].Filters[0]: "),
        (("funnel", "--step", "a", "--step", "b", "--window", "soon"), '--window: "soon"'),
        (("funnel", "--step", "a", "--step", "b", "--breakdown", "time:day"), "--breakdown: "),
        (("retention", "--start", "a where b c d"), "--start.Filters[0]: "),
        (("retention", "--periods", "53"), "'--periods'"),
        (("people", "--of", "{}", "--has-done", "a"), "exclude each other"),
        (("people", "--of", '{"Metrics": ["likes"], "Row": {}}'), "--of.Metrics[0]: "),
        (("people", "--rules-json", '[[{"type": "x"}]]'), "--rules-json[0][0]: "),
        (
            ("people", "--order", "age"),
            '--order: "age" must be last_seen, first_seen, events, email, or one of them and asc or desc',
        ),
        (("people", "--order", "events up"), '--order: "events up" must be last_seen'),
        (("people", "--cursor", "x"), "--cursor: "),
        (("timeline",), "--email, --id and --uuid"),
        (("timeline", "--email", "nobody@example.com"), "--email: the list has no events"),
        (("timeline", "--uuid", "x"), '--uuid: "x"'),
        (("values", "place"), "DIMENSION: "),
        (("values", "pa\udcff"), "UTF-8"),
        (("values",), "DIMENSION is needed"),
        (("query", "--request", "[]"), "--request must be an object"),
        (("query", "--request", "{"), "'--request': it must be JSON such as"),
        (("query", "--request", '{"DateRang": "7d"}'), '--request: "DateRang" must be one of ListID, DateRange, '),
        (("query", "--request", '{"ListID": 2}'), "--request: ListID must be the list of --list, 1, and is 2"),
        (("query", "--request", '{"DateRange": "soon"}'), '--request DateRange: "soon" is no range'),
        (("query", "--request", '{"filters": [["is", "path"]]}'), "--request Filters[0]: "),
        (("query", "--request", "{}", "--saved", "pages"), "--saved and --request exclude each other"),
        (("funnel", "--request", "{}"), "--steps: at least 2 are needed"),
        (("timeline", "--request", "{}"), "--email: give one of"),
        (("query", "--where", "path is \udcff"), "UTF-8"),
    ],
    ids=lambda value: " ".join(value)[:60].encode("ascii", "backslashreplace").decode() if isinstance(value, tuple) else "",
)
def test_a_refusal_names_the_option(words: tuple[str, ...], says: str, shop: Path) -> None:
    """One line on standard error, exit code 2; the parameter of HTTP is named by the option that it came from."""
    listed = words if "--list" in words or says == "'--list'" else (*words, "--list", "1")
    assert says in refuse(*listed, db=shop)


def test_a_file_has_the_conditions(shop: Path, tmp_path: Path) -> None:
    """@FILE in place of JSON, with or without a byte order mark."""
    (tmp_path / "filters.json").write_bytes(b'\xef\xbb\xbf[["is", "event", ["signup"]]]')
    words = ("query", *WEEK, "--metric", "events", "--filters", f"@{tmp_path / 'filters.json'}")
    assert run(*words, db=shop) == "events\n     2\n"


QUESTION = ("query", "--list", "1", *WEEK, "--by", "campaign", "--metric", "events", "--include", "totals")
ROWS = ["campaign  events", "spring         3", "(none)         3", "東京           1", "total          7"]


def show(db: Path, **more: str) -> list[str]:
    """Run a question on a terminal of 40 columns; return the lines that it shows."""
    main, child = pty.openpty()
    env = {**environment(), "TERM": "xterm", "COLUMNS": "40", "PYTHONIOENCODING": "utf-8", "FALCON_EVENTS_DB": str(db), **more}
    with subprocess.Popen(
        [sys.executable, "-m", "falcon_events", *QUESTION], stdout=child, stderr=subprocess.PIPE, env=env
    ) as process:
        os.close(child)
        shown = b""
        try:
            while part := os.read(main, 65_536):
                shown += part
        except OSError:  # Linux's word for the end of a terminal
            pass
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(main)
    assert process.returncode == 0
    return shown.decode().splitlines()


def test_a_terminal_shows_bars(shop: Path) -> None:
    """As long as its width leaves room for; without bold and dim where NO_COLOR is set, and neither on a dumb terminal."""
    assert run(*QUESTION[:1], *QUESTION[3:], db=shop).splitlines() == ROWS
    bars = ["", "  " + "█" * 21, "  " + "█" * 21, "  " + "█" * 7, ""]
    plain = [row + bar for row, bar in zip(ROWS, bars, strict=True)]
    assert show(shop, NO_COLOR="1") == plain
    styled = show(shop)
    assert styled[0] == f"\x1b[1m{ROWS[0]}\x1b[0m"
    assert styled[3] == f"{ROWS[3]}  \x1b[2m{'█' * 7}\x1b[0m"
    assert styled[4] == f"\x1b[1m{ROWS[4]}\x1b[0m"
    assert show(shop, TERM="dumb") == ROWS
    assert show(shop, NO_COLOR="1", COLUMNS="20") == ROWS
    ascii_rows = show(shop, NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert ascii_rows[3] == r"\u6771\u4eac       1"


def test_a_reader_that_has_gone_ends_a_question_in_silence(shop: Path) -> None:
    """As with every command: nothing on standard error, exit code 1."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "falcon_events", *QUESTION, "--db", str(shop)]
    with subprocess.Popen(words, stdout=writing, stderr=subprocess.PIPE, env=environment()) as process:
        os.close(writing)
        _, errors = process.communicate()
    assert (errors, process.returncode) == (b"", 1)
