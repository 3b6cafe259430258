"""The report by e-mail: its numbers, its message, and what becomes of it at mail servers of every kind."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from falcon_events import EventTracking, Settings
from falcon_events.dashboard import report
from falcon_events.dashboard.mail import parse_address
from falcon_events.dashboard.report import Days, find_days
from falcon_events.errors import EventsError, SettingError
from tests.mail_server import END_OF_DATA, HANG_UP, SILENCE, Certificate, MailServer, taking_mail
from tests.needs import require
from tests.shop import fill_shop
from tests.shortcuts import command

WEEK = """\
Shop (list 1): 2 to 8 March 2026

Compared with 23 February to 1 March 2026. Days are those of UTC.

                  this week  week before        change
People                    3            1       +200.0%
Sessions                  5            1       +400.0%
Page views                4            1       +300.0%
Bounce rate           60.0%       100.0%  -40.0 points
Time per session         3m           0s           new
Conversions               1            0           new
Revenue            1,100.50            -             -

Days
----
            people  views   revenue
Mon  2 Mar       2      3         -  ##############################
Tue  3 Mar       2      1  1,100.50  ##############################
Wed  4 Mar       1      0         -  ###############
Thu  5 Mar       0      0         -
Fri  6 Mar       0      0         -
Sat  7 Mar       0      0         -
Sun  8 Mar       0      0         -

Pages
-----
          views  change  people
/pricing      3     new       3  ##############################
/             1   +0.0%       1  ##########

Sources
-------
        people   change  conversions   revenue
(none)       2  +100.0%            0         -  ############################
news         1      new            1  1,100.50  ##############

Campaigns
---------
        people  change  conversions   revenue
spring       1     new            1  1,100.50  #############################
東京         1     new            0         -  #############################
(none)       1   +0.0%            0         -  #############################

Events
------
            events   change  people
pageView         4  +300.0%       3  ##############################
signup           2      new       2  ###############
conversion       1      new       1  ########

"""
SENDER = "Reports <reports@example.com>"
HOST = "mail.example.com"
PASSWORD = "pässword/@ 1"
USERS = {"ada": PASSWORD}
LOGIN = f"ada:{quote(PASSWORD, safe='')}@"
HOSTILE = "\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script> =?utf-8?q?=0D=0ABcc:_eve@example.com?= \u202e\x1b[2J 東京"


class Tables(HTMLParser):
    """The rows of a page's tables, and the tags and attributes of the whole page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a row or a cell."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        """End a cell."""
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        """Add to a cell."""
        if self._inside:
            self.rows[-1][-1] += data.strip("\n").replace("\u00ad", "")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a store in use, with a shop's events on list 1. Tests of other events have lists of their own."""
    db = tmp_path_factory.mktemp("shop") / "events.duckdb"
    with EventTracking(db) as tracking:
        fill_shop(tracking)
        yield db


class Once:
    """A function that is called once, and returns the same each time."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._call = cache(lambda: function(*self._arguments))

    def __call__(self, *arguments: Any) -> Any:
        """Return what the first call has returned."""
        self._arguments = arguments
        return self._call()


made_once, rendered_once = Once(report.make_report), Once(report.render_report)


@pytest.fixture
def written(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop, whose report is written once for all tests of its delivery: they differ in the mail server alone."""
    monkeypatch.setattr(report, "make_report", made_once)
    monkeypatch.setattr(report, "render_report", rendered_once)
    return shop


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of mail.example.com that only vouches for itself."""
    require("openssl")
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DNS in which mail.example.com and other.example.com, other machines by their names, have this machine's address."""
    find = socket.getaddrinfo

    def find_here(host: Any, *arguments: Any, **options: Any) -> Any:
        return find("127.0.0.1" if host in (HOST, "other.example.com") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find_here)


def run(
    db: Path,
    *options: str,
    list_id: int = 1,
    url: str = "",
    sender: str = SENDER,
    to: tuple[str, ...] = ("ada@example.com",),
    **env: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command on a list."""
    words = [word for one in to for word in ("--to", one)]
    day = () if "--date" in options else ("--date", "2026-03-09")
    settings = {"FALCON_EVENTS_SMTP_URL": url, "FALCON_EVENTS_MAIL_FROM": sender, **env}
    return command("report", "--list", str(list_id), "--db", str(db), *words, *day, *options, env=settings)


def plain(db: Path, *options: str, list_id: int = 1) -> str:
    """The plain text of a report."""
    done = run(db, "--dry-run", *options, list_id=list_id, to=())
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def near(server: MailServer, login: str = "") -> str:
    """The URL of a mail server of this machine."""
    return f"smtp://{login}127.0.0.1:{server.port}"


def refusal(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line of a command that failed. It never has the password."""
    text = done.stderr.decode()
    assert (done.returncode, done.stdout, text.count("\n")) == (2, b"", 1), done
    assert PASSWORD not in text
    return text.removeprefix("falcon-events: ").rstrip("\n")


def test_a_weeks_report_has_the_lists_numbers(shop: Path) -> None:
    """Each with that of the week before and its change; days; pages, sources, campaigns and events, the most frequent first."""
    assert plain(shop) == WEEK
    assert max(len(line) for line in WEEK.splitlines()) < 80


@pytest.mark.parametrize("day", ["2026-03-09", "2026-03-12", "2026-03-15"])
def test_a_week_is_reported_from_the_day_after_it_until_the_next_is_over(shop: Path, day: str) -> None:
    """Whichever day of the week the report is made on."""
    assert plain(shop, "--date", day) == WEEK
    assert plain(shop, "--date", "2026-03-16").startswith("Shop (list 1): 9 to 15 March 2026\n")


def test_a_months_report_is_compared_with_the_month_before(shop: Path) -> None:
    """Which has fewer days. There is a row for each day."""
    lines = plain(shop, "--period", "month", "--date", "2026-04-01").splitlines()
    assert lines[:2] == ["Shop (list 1): March 2026", ""]
    assert lines[2] == "Compared with February 2026. Days are those of UTC."
    assert [line.split() for line in lines[4:7]] == [
        ["this", "month", "month", "before", "change"],
        ["People", "3", "1", "+200.0%"],
        ["Sessions", "6", "1", "+500.0%"],
    ]
    assert ["Revenue", "1,150.50", "-", "-"] in [line.split() for line in lines]
    days = [line for line in lines if re.match(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [ 123]\d Mar ", line)]
    assert len(days) == 31
    assert days[9].split() == ["Tue", "10", "Mar", "1", "0", "50.00", "###############"]


def test_a_week_may_begin_on_sunday(shop: Path) -> None:
    """With --week-start, for the report and the week that it is compared with."""
    lines = plain(shop, "--week-start", "sunday", "--date", "2026-03-08").splitlines()
    assert lines[0] == "Shop (list 1): 1 to 7 March 2026"
    assert lines[2].startswith("Compared with 22 to 28 February 2026.")


@pytest.mark.parametrize(
    ("list_id", "day", "inside", "outside", "days"),
    [
        (
            10,
            "2026-03-30",
            ["2026-03-22T23:00:00Z", "2026-03-29T21:59:59Z"],
            ["2026-03-22T22:59:59Z", "2026-03-29T22:00:00Z"],
            {"Mon 23 Mar": 1, "Sun 29 Mar": 1},
        ),
        (
            11,
            "2026-10-26",
            ["2026-10-18T22:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T22:59:59Z"],
            ["2026-10-18T21:59:59Z", "2026-10-25T23:00:00Z"],
            {"Mon 19 Oct": 1, "Sun 25 Oct": 3},
        ),
    ],
)
def test_days_are_those_of_the_list_when_the_clocks_change(
    shop: Path, list_id: int, day: str, inside: list[str], outside: list[str], days: dict[str, int]
) -> None:
    """A week of 167 or 169 hours: the first and the last second of it count, those beside it do not."""
    with EventTracking(shop) as tracking:
        tracking.directory.ensure_list(list_id, "Berlin")
        tracking.directory.set_rules(list_id, time_zone="Europe/Berlin")
        for number, moment in enumerate([*inside, *outside]):
            tracking.track(list_id, "pageView", email=f"v{number}@example.com", timestamp=moment)
    lines = plain(shop, "--date", day, list_id=list_id).splitlines()
    assert lines[2].endswith("Days are those of Europe/Berlin.")
    (views,) = (line.split() for line in lines if line.startswith("Page views"))
    assert views[2:4] == [str(len(inside)), "1"]
    counted = {line[:10]: int(line.split()[4]) for line in lines if re.match(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d ", line)}
    assert len(counted) == 7
    assert {name: views for name, views in counted.items() if views} == days


def test_today_is_that_of_the_list(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Monday in London, it is still Sunday in Los Angeles, where the week is not over."""

    class Fixed(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Fixed:
            return cls(2026, 3, 9, 2, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr("falcon_events.cli.report.datetime", Fixed)
    with EventTracking(shop) as tracking:
        for list_id, zone in ((12, "America/Los_Angeles"), (13, "Europe/London")):
            tracking.directory.ensure_list(list_id, zone)
            tracking.directory.set_rules(list_id, time_zone=zone)
        found = [
            command("report", "--list", one, "--dry-run", "--db", str(shop)).stdout.decode().splitlines()[0]
            for one in ("12", "13")
        ]
        assert found == [
            "America/Los_Angeles (list 12): 23 February to 1 March 2026",
            "Europe/London (list 13): 2 to 8 March 2026",
        ]
        after = refusal(run(shop, "--dry-run", "--date", "2026-03-09", list_id=12, to=()))
    assert after.startswith("--date 2026-03-09: it is after today, 2026-03-08 in America/Los_Angeles;")


def test_periods_are_named_without_repetition() -> None:
    """A whole month by its name; months and years where they differ."""
    assert [days.describe() for days in find_days("week", date(2026, 1, 5), "monday")] == [
        "29 December 2025 to 4 January 2026",
        "22 to 28 December 2025",
    ]
    assert [days.describe() for days in find_days("month", date(2026, 1, 1), "monday")] == ["December 2025", "November 2025"]
    assert Days(date(2026, 3, 1), date(2026, 4, 30)).describe() == "1 March to 30 April 2026"
    with pytest.raises(EventsError, match="before 1970"):
        find_days("month", date(1970, 2, 1), "monday")


def test_a_list_without_events_has_a_report_that_says_so(shop: Path) -> None:
    """With zeros, and no tables of nothing."""
    with EventTracking(shop) as tracking:
        tracking.directory.ensure_list(3, "New")
        lines = plain(shop, list_id=3).splitlines()
    assert lines[4] == "Nothing happened in this week."
    assert ["Page", "views", "0", "0", "0.0%"] in [line.split() for line in lines]
    assert "Days" not in lines


def test_a_table_has_ten_rows_and_says_how_many_there_are(shop: Path) -> None:
    """The first by their numbers, then by name; tables and columns that would be empty are left out."""
    with EventTracking(shop) as tracking:
        tracking.directory.ensure_list(4, "Many")
        for number in range(12):
            for views in range(1 + (number > 9)):
                tracking.track(
                    *(4, "pageView"),
                    email=f"v{views}@example.com",
                    timestamp="2026-03-03T10:00:00Z",
                    properties={"url": f"https://shop.example/{number:02}"},
                )
        lines = plain(shop, list_id=4).splitlines()
    start = lines.index("Pages: the first 10 of 12")
    assert [line.split()[:4] for line in lines[start + 2 : start + 13]] == [
        ["views", "change", "people"],
        ["/10", "2", "new", "2"],
        ["/11", "2", "new", "2"],
        *([f"/{number:02}", "1", "new", "1"] for number in range(8)),
    ]
    assert not {"Sources", "Campaigns"} & set(lines)
    assert "Events" in lines
    assert sum("evenue" in line for line in lines) == 1


def test_numbers_that_are_left_out_are_noted(shop: Path) -> None:
    """What a question warns of stands below the tables, once."""
    with EventTracking(shop) as tracking:
        tracking.directory.ensure_list(5, "Shop")
        for number in ("1", "2"):
            order = {"conversion-id": number, "conversion-name": "order", "conversion-value": 1e308}
            tracking.track(5, "conversion", email="ada@example.com", properties=order, timestamp="2026-03-03T10:00:00Z")
        text = plain(shop, list_id=5)
    assert text.count("Revenue is beyond the range of a double in 1 row; it is left out there.\n") == 1


def test_a_message_has_both_forms_and_the_headers_of_a_report(shop: Path) -> None:
    """Plain text as a dry run prints it, HTML with the same rows, and headers that keep away-notes and loops from it."""
    with taking_mail() as server:
        done = run(shop, url=near(server), to=("Ada <ada@example.com>", "bob@example.com", "ada@example.com"))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("reports@example.com", ["ada@example.com", "bob@example.com"])
    message = mail.message
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["Subject"] == "Shop (list 1): 2 to 8 March 2026"
    assert message["From"] == SENDER
    assert message["To"] == "Ada <ada@example.com>, bob@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Id"] == "<list-1.week.falcon-events.example.com>"
    assert re.fullmatch(r"<[^@<>\s]+@example\.com>", message["Message-ID"])
    assert abs((message["Date"].datetime - datetime.now(UTC)).total_seconds()) < 3600
    assert mail.part("plain") == WEEK
    rows = [line.rstrip("# ").split() for line in WEEK.splitlines() if "  " in line]
    assert [" ".join(row).split() for row in Tables(mail.part("html")).rows] == rows
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998


def test_the_html_loads_nothing_and_runs_nothing(shop: Path, tmp_path: Path) -> None:
    """No images, no scripts, no links; styles are inline."""
    done = run(shop, "--dry-run", "--html", str(tmp_path / "report.html"), to=())
    assert done.stdout.decode() == WEEK
    page = (tmp_path / "report.html").read_text()
    tables = Tables(page)
    assert tables.tags <= {
        *("html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"),
    }
    assert not tables.attributes & {"src", "href", "background", "action"}
    assert "url(" not in page
    assert "@import" not in page
    assert not (tmp_path / "report.html").stat().st_mode & 0o077


def test_html_is_not_written_over_another_file(shop: Path, tmp_path: Path) -> None:
    """Without --force; and never over a store."""
    target = tmp_path / "report.html"
    target.write_text("mine")
    assert "exists already" in refusal(run(shop, "--dry-run", "--html", str(target), to=()))
    assert target.read_text() == "mine"
    assert run(shop, "--dry-run", "--html", str(target), "--force", to=()).returncode == 0
    assert target.read_text().startswith("<!doctype html>")
    assert str(shop) in refusal(run(shop, "--dry-run", "--html", str(shop), "--force", to=()))


def test_hostile_names_are_text_in_both_forms_and_in_the_subject(shop: Path) -> None:
    """Of lists, events, pages and campaigns: no markup, no header, no characters that a terminal interprets, nothing endless."""
    names = ["<img src=x onerror=alert(1)>", "\x1b[2Jnew", "a\nSubject: x", "{{ 7 * 7 }}{% raw %}", "\u202etxt", "x" * 200]
    with EventTracking(shop) as tracking:
        tracking.directory.ensure_list(6, HOSTILE)
        for name in names:
            tracking.track(6, name, email="a@example.com", timestamp="2026-03-03T10:00:00Z")
        for path in ("/<script>alert(2)</script>", "/" + "y" * 10_000, "/&amp;\"'"):
            tracking.track(
                *(6, "pageView"),
                email="a@example.com",
                timestamp="2026-03-03T10:00:00Z",
                properties={"url": f"https://shop.example{path}?utm_campaign=<b>&utm_source=</td>"},
            )
        with taking_mail() as server:
            assert run(shop, list_id=6, url=near(server)).returncode == 0
            (mail,) = server.mails
    headers = [name.lower() for name in mail.message]
    assert sorted(headers) == sorted(
        ["subject", "from", "to", "date", "message-id", "auto-submitted", "list-id", "mime-version", "content-type"]
    )
    head = mail.content.split(b"\r\n\r\n")[0].decode()
    assert not re.search("^(bcc|subject: x)", head, re.IGNORECASE | re.MULTILINE)
    assert mail.recipients == ["ada@example.com"]
    subject = mail.message["Subject"]
    assert subject.isprintable()
    assert subject.startswith("\\r\\nBcc: eve@example.com\\r\\n\\r\\n<script>")
    assert subject.endswith("(list 6): 2 to 8 March 2026")
    text, page = mail.part("plain"), mail.part("html")
    assert "".join(text.splitlines()).isprintable()
    assert max(map(len, text.splitlines())) < 130
    tables = Tables(page)
    assert not tables.tags & {"script", "img", "b"}
    assert "onerror" not in tables.attributes
    cells = {row[0] for row in tables.rows}
    assert {"<img src=x onerror=alert(1)>", "\\x1b[2Jnew", "a\\nSubject: x", "{{ 7 * 7 }}{% raw %}", "\\u202etxt"} <= cells
    assert {"/<script>alert(2)</script>", "<b>", "</td>"} <= cells
    assert max(map(len, cells)) <= 121


def test_a_refused_recipient_does_not_keep_the_report_from_the_others(written: Path) -> None:
    """They get theirs; the line names who did not and why, and the exit code is 2."""
    with taking_mail({"RCPT TO:<bob@": "550 5.1.1 no such\tuser"}) as server:
        said = refusal(run(written, url=near(server), to=("ada@example.com", "bob@example.com", "cid@example.com")))
        (mail,) = server.mails
    assert mail.recipients == ["ada@example.com", "cid@example.com"]
    assert said == (
        "The report was sent to ada@example.com, cid@example.com. The mail server refuses bob@example.com: 550 5.1.1 no such"
        " user."
    )


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"CONNECT": "554 go away"}, "replies 554 go away"),
        ({"EHLO": "550 no"}, "replies 502 what?"),
        ({"MAIL": "553 5.7.1 not you"}, "refuses the sender reports@example.com: 553 5.7.1 not you"),
        ({"RCPT": "550 nobody"}, "refuses every recipient (ada@example.com: 550 nobody; bob@example.com: 550 nobody)"),
        ({"RCPT TO:<bob@": "421 too busy"}, "refuses to go on at bob@example.com: 421 too busy"),
        ({"DATA": "451 later"}, "refuses the message: 451 later"),
        ({END_OF_DATA: "552 too large"}, "refuses the message: 552 too large"),
        ({END_OF_DATA: "552 " + "x" * 5_000}, "refuses the message: 552 " + "x" * 200 + "…"),
        ({END_OF_DATA: "552 \x1b[2J"}, "refuses the message: 552 \\x1b[2J"),
        *(({step: HANG_UP}, "has closed the connection") for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA")),
        *(({step: SILENCE}, "does not reply in time") for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA")),
    ],
)
def test_a_server_that_takes_nothing_is_told_in_one_line(written: Path, answers: dict[str, str], expected: str) -> None:
    """Whichever step it refuses, hangs up at or does not answer: nothing was sent, and that is what the line says."""
    with taking_mail(answers) as server:
        said = refusal(run(written, "--timeout", "1", url=near(server), to=("ada@example.com", "bob@example.com")))
        assert said == f"The mail server 127.0.0.1:{server.port} {expected}. Nothing was sent."
        assert server.mails == []


@pytest.mark.parametrize("answer", [HANG_UP, SILENCE])
def test_a_message_that_may_have_been_sent_is_told_as_such(written: Path, answer: str) -> None:
    """When the connection ends between the message's last line and the server's reply to it, nobody can know."""
    with taking_mail({END_OF_DATA: answer}) as server:
        said = refusal(run(written, "--timeout", "1", url=near(server)))
    assert said.endswith(
        "has not said whether it took the message. It may have been sent: ask a recipient before you send it again."
    )


def test_a_server_that_hangs_up_after_it_took_the_message_has_taken_it(written: Path) -> None:
    """It need not say goodbye."""
    with taking_mail({"QUIT": HANG_UP}) as server:
        assert run(written, url=near(server)).returncode == 0
        assert len(server.mails) == 1


def test_a_server_that_cannot_be_reached_is_told_in_one_line(written: Path) -> None:
    """Nobody listens on the port, or there is no such host."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        port = bound.getsockname()[1]
        said = refusal(run(written, url=f"smtp://127.0.0.1:{port}"))
        assert said == f"The mail server 127.0.0.1:{port} cannot be reached (Connection refused). Nothing was sent."
    said = refusal(run(written, url="smtp://no-such-host.invalid:25"))
    assert said.startswith("The mail server no-such-host.invalid:25 cannot be reached (")
    assert "cannot be reached" in refusal(run(written, url=f"smtp://{'a' * 70}.example:25"))


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN", "plain", "CRAM-MD5 LOGIN"])
def test_a_login_takes_any_password(written: Path, mechanisms: str) -> None:
    """By PLAIN or LOGIN, with characters that have escapes in the URL."""
    with taking_mail(users=USERS, mechanisms=mechanisms) as server:
        done = run(written, url=near(server, LOGIN))
        assert done.returncode == 0, done.stderr
        assert server.mails[0].user == "ada"


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("answer", ["535 5.7.8 bad", "535 no, {line}", f"535 not {PASSWORD}", "454 later"])
def test_a_refused_login_is_told_without_the_password(written: Path, mechanisms: str, answer: str) -> None:
    """Even if the server repeats what was sent to it."""
    with taking_mail({"AUTH": answer}, users=USERS, mechanisms=mechanisms) as server:
        said = refusal(run(written, url=near(server, LOGIN)))
        assert f"refuses the login: {answer[:3]} " in said
        sent = [line.rpartition(" ")[2] for line in server.lines if line.startswith("AUTH PLAIN")]
        assert not any(secret in said for secret in sent)
        assert server.mails == []


def test_a_server_without_a_login_is_told(written: Path) -> None:
    """When there is a user in the URL: nothing is sent as somebody else."""
    for options in ({}, {"users": USERS, "mechanisms": "CRAM-MD5"}):
        with taking_mail(**options) as server:  # type: ignore[arg-type]
            assert "offers no login by PLAIN or LOGIN" in refusal(run(written, url=near(server, LOGIN)))
            assert server.mails == []


@pytest.mark.usefixtures("far")
def test_another_machine_gets_nothing_without_encryption(written: Path) -> None:
    """If it offers no STARTTLS: neither the password nor the report; unless the URL says smtp+insecure."""
    with taking_mail(users=USERS) as server:
        said = refusal(run(written, url=f"smtp://{LOGIN}{HOST}:{server.port}"))
        assert said.startswith(f"The mail server {HOST}:{server.port} offers no encryption (STARTTLS); use smtps://")
        assert not any(line.startswith(("AUTH", "MAIL")) for line in server.lines)
        assert run(written, url=f"smtp+insecure://{LOGIN}{HOST}:{server.port}").returncode == 0
        assert [(mail.encrypted, mail.user) for mail in server.mails] == [(False, "ada")]


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_another_machine_gets_the_report_encrypted(written: Path, certificate: Certificate, scheme: str) -> None:
    """If its certificate can be trusted and is its own; else it gets neither the password nor the report."""
    trusted = {"SSL_CERT_FILE": str(certificate.path)}
    with taking_mail(certificate=certificate, users=USERS, starts_with_tls=scheme == "smtps") as server:
        place = f"{scheme}://{LOGIN}{HOST}:{server.port}"
        assert run(written, url=place, **trusted).returncode == 0
        assert [(mail.encrypted, mail.user) for mail in server.mails] == [(True, "ada")]
        server.lines.clear()
        for url, env in ((place, {}), (place.replace(HOST, "other.example.com"), trusted)):
            said = refusal(run(written, url=url, **env))
            assert "has a certificate that cannot be trusted (" in said
            assert said.endswith(" Nothing was sent.")
        assert not any(line.startswith(("AUTH", "MAIL")) for line in server.lines)
        assert len(server.mails) == 1


def test_this_machine_may_have_a_certificate_of_its_own(written: Path, certificate: Certificate) -> None:
    """STARTTLS is used where it is offered, as mail servers of Debian do with a certificate that nobody vouches for."""
    for url in ("smtp://127.0.0.1", "smtp://localhost", "smtp+insecure://127.0.0.1"):
        with taking_mail(certificate=certificate) as server:
            assert run(written, url=f"{url}:{server.port}").returncode == 0
            assert server.mails[0].encrypted


def test_tls_where_there_is_none_is_told(written: Path) -> None:
    """A port for STARTTLS with smtps, which is often mistaken."""
    with taking_mail() as server:
        assert "does not begin TLS (" in refusal(run(written, url=f"smtps://127.0.0.1:{server.port}"))


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "ada@", "@example.com", "a b@example.com", "ada@example.com, bob@example.com", "<ada@example.com"),
        *("ada@example.com\r\nBcc: eve@example.com", "Ada\r\nBcc: eve@example.com <ada@example.com>", "ada@exa\nmple.com"),
        *(
            "ada@example..com",
            "ada@-example.com",
            ".ada@example.com",
            "ada@example.com>",
            "ädä@example.com",
            "ada@example.com\x01",
        ),
        *("a" * 65 + "@example.com", "ada@" + "a" * 300, "ada@example.com>\r\nDATA", "ada@ex ample.com", "eve@a@example.com"),
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(shop: Path, address: str) -> None:
    """As a recipient and as the sender, in one line that names it."""
    with taking_mail() as server:
        assert refusal(run(shop, url=near(server), to=("bob@example.com", address))).startswith("--to ")
        said = refusal(run(shop, url=near(server), sender=address))
        assert said.startswith("mail_from is not set" if not address else "mail_from=")
        assert server.lines == []


def test_names_and_domains_may_have_any_letters(written: Path) -> None:
    """The name is encoded in the header, the domain in the way of DNS; a name that looks encoded is not decoded."""
    with taking_mail() as server:
        to = ("Ada, Gräfin <ada@bücher.example>", "=?utf-8?q?x=0D=0ABcc:_eve@example.com?= <bob@example.com>")
        assert run(written, url=near(server), to=to, sender="Bücher <reports@bücher.example>").returncode == 0
        (mail,) = server.mails
    assert (mail.sender, mail.recipients[0]) == ("reports@xn--bcher-kva.example", "ada@xn--bcher-kva.example")
    assert mail.message["To"].addresses[0].display_name == "Ada, Gräfin"
    assert mail.message["From"].addresses[0].display_name == "Bücher"
    assert "Bcc" not in mail.message
    assert not re.search(rb"^bcc", mail.content, re.IGNORECASE | re.MULTILINE)
    assert str(parse_address('"Ada" <ada@example.com>')) == "Ada <ada@example.com>"


@pytest.mark.parametrize(
    "url",
    [
        *("http://ada:hunter2@example.com", "ada:hunter2@example.com", "smtp://ada:hunter2@", "smtp://ada:hunter2@example.com:x"),
        *("smtp://hunter2@example.com", "smtp://ada:hun ter2@example.com", "smtp://ada:hunter2@example.com/path", "smtp://"),
        *("smtp://ada:hunter2@example.com:0", "smtp://ada:hunter2@example.com:65536", "smtp://ada:hunter2%00@example.com"),
    ],
)
def test_a_url_that_is_none_is_told_without_the_password(shop: Path, url: str) -> None:
    """By the setting's name, in one line."""
    said = refusal(run(shop, url=url))
    assert said.startswith("smtp_url: expected ")
    assert "hunter2" not in said


def test_the_password_is_not_shown_with_the_settings() -> None:
    """Nor where a value has the wrong type."""
    assert "hunter2" not in repr(Settings(smtp_url="smtp://ada:hunter2@example.com"))
    with pytest.raises(SettingError, match="smtp_url: expected") as refused:
        Settings(smtp_url=b"smtp://ada:hunter2@example.com")  # type: ignore[arg-type]
    assert "hunter2" not in str(refused.value)


def test_what_is_missing_is_named_before_anything_is_asked(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipient, the settings, a list, a valid day, and Jinja2."""
    assert refusal(run(shop, to=())).startswith("--to is needed")
    assert refusal(run(shop)).startswith("smtp_url is not set: set FALCON_EVENTS_SMTP_URL ")
    assert refusal(run(shop, url="smtp://localhost", sender="")).startswith("mail_from is not set: set FALCON_EVENTS_MAIL_FROM ")
    assert refusal(run(shop, "--date", "2026-02-30", "--dry-run")).startswith(
        "--date 2026-02-30: a day such as 2026-11-01 is needed"
    )
    missing = command("report", "--list", "7", "--dry-run", "--db", str(shop))
    assert refusal(missing) == "--list 7: there is no such list."
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert refusal(run(shop, "--dry-run")) == "Reports need Jinja2: pip install 'falcon-events[dashboard]'."
