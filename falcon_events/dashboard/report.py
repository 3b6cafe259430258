"""The report of a week or a month: which questions it asks, and their answers as plain text and as HTML for a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from rich.cells import cell_len

from falcon_events.dashboard.exact_totals import list_inexact, replace_numbers
from falcon_events.errors import EventsError
from falcon_events.model.answers import QueryResult
from falcon_events.query.calls import QuestionCalls
from falcon_events.query.formats import (
    describe_warnings,
    escape,
    format_change,
    format_numbers,
    format_seconds,
    format_share,
    show_value,
)
from falcon_events.query.ranges import find_week

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "markup"
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TOP = 10
"""How many rows the tables of pages, sources and the like have."""
MAX_NAME = 80
"""How many characters of the list's name the subject has."""
MAX_VALUE, MAX_HTML_VALUE = 36, 120
"""How many columns of a name or path the plain text shows, and how many the HTML."""
WIDTH = 76
"""The width of the plain text, bars included."""
MAX_BAR = 30
_FIRST_DAY = date(1970, 1, 1)
_ELLIPSIS = "…"


class Metric(NamedTuple):
    """A row of the first table: its heading, and how its numbers and their change are formatted."""

    name: str
    heading: str
    format: Callable[[Any], str]
    format_change: Callable[[Any, Any], str] = format_change


def _format_count(value: float | None) -> str:
    return format_numbers([value])[0]


def _format_points(now: float | None, before: float | None) -> str:
    """Format the change of a share. In percent, it could be mistaken for the share itself."""
    return "-" if now is None or before is None else f"{(now - before) * 100:+.1f} points"


METRICS = (
    Metric("people", "People", _format_count),
    Metric("sessions", "Sessions", _format_count),
    Metric("views", "Page views", _format_count),
    Metric("bounce_rate", "Bounce rate", format_share, _format_points),
    Metric("session_seconds", "Time per session", format_seconds),
    Metric("conversions", "Conversions", _format_count),
    Metric("revenue", "Revenue", _format_count),
)


class TopTable(NamedTuple):
    """A table of the values that a dimension has most often, by the first of its metrics."""

    title: str
    dimension: str
    metrics: dict[str, str]
    filters: tuple[Any, ...] = ()


TOP_TABLES = (
    TopTable("Pages", "path", {"views": "views", "people": "people"}, (("is", "event", ("pageView",)),)),
    TopTable("Sources", "source", {"people": "people", "conversions": "conversions", "revenue": "revenue"}),
    TopTable("Campaigns", "campaign", {"people": "people", "conversions": "conversions", "revenue": "revenue"}),
    TopTable("Events", "event", {"events": "events", "people": "people"}),
)


class Days(NamedTuple):
    """Days that follow each other, the first and the last included."""

    first: date
    last: date

    def describe(self) -> str:
        """Return them in words."""
        first, last = self
        if first.day == 1 and (last + timedelta(days=1)).day == 1 and first.month == last.month:
            return f"{MONTHS[first.month - 1]} {first.year}"
        start = f"{first.day}"
        if first.month != last.month:
            start += f" {MONTHS[first.month - 1]}"
        if first.year != last.year:
            start += f" {first.year}"
        return f"{start} to {last.day} {MONTHS[last.month - 1]} {last.year}"

    def to_range(self) -> list[str]:
        """Return them as a DateRange."""
        return [self.first.isoformat(), self.last.isoformat()]


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of a report. Its first column is text, the others are numbers; `shares` are the lengths of bars, from 0 to 1."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    shares: list[float]


@dataclass(frozen=True, slots=True)
class Report:
    """A report: whose events it is about, when they happened, its tables, and what is missing in its numbers."""

    list_name: str
    list_id: int
    period: str
    days: str
    before: str
    time_zone: str
    has_events: bool
    tables: list[ReportTable]
    notes: list[str]

    @property
    def subject(self) -> str:
        """The subject of its message."""
        name = escape(self.list_name)
        return f"{name if len(name) <= MAX_NAME else name[:MAX_NAME] + _ELLIPSIS} (list {self.list_id}): {self.days}"


def find_days(period: Literal["week", "month"], today: date, week_start: str) -> tuple[Days, Days]:
    """Return the last week or month that is over on a day, and the one before it.

    Raises:
        EventsError: they begin before 1970.
    """
    end = find_week(today, week_start) if period == "week" else today.replace(day=1)
    found = []
    for _ in range(2):
        last = end - timedelta(days=1)
        end = end - timedelta(days=7) if period == "week" else last.replace(day=1)
        found.append(Days(end, last))
    if end < _FIRST_DAY:
        raise EventsError(f"{today}: there are no events before 1970; give a later day.")
    return found[0], found[1]


def make_report(
    calls: QuestionCalls, list_id: int, list_name: str, time_zone: str, period: Literal["week", "month"], days: tuple[Days, Days]
) -> Report:
    """Ask about a period, and return the answers as a report.

    Args:
        calls: answers questions.
        list_id: the list.
        list_name: its name.
        time_zone: the time zone of the days.
        period: what the days are.
        days: the days of the report, and those to compare with.

    Raises:
        QueryTooLong, StoreUnavailable: as the methods of QuestionCalls do.
    """
    now, before = days
    answers = []

    def ask(**arguments: Any) -> QueryResult:
        answer = calls.query(list_id, date_range=now.to_range(), time_zone=time_zone, **arguments)
        answers.append(answer)
        return answer

    compared = before.to_range()
    names = [*(metric.name for metric in METRICS), "events"]
    totals = ask(metrics=names, compare=compared)
    if inexact := list_inexact(totals, names):
        exact = ask(metrics=inexact, compare=compared)
        totals = msgspec.structs.replace(totals, rows=[replace_numbers(totals.rows[0], names, exact.rows[0], inexact)])
    trend = ask(metrics=["people", "views", "revenue"], dimensions=["time:day"])
    tops = [
        ask(
            metrics=list(top.metrics),
            dimensions=[top.dimension],
            filters=top.filters,
            limit=TOP,
            include=["total_rows"],
            compare=compared,
        )
        for top in TOP_TABLES
    ]
    has_events = bool(totals.rows[0].metrics[-1])
    tables = [_tabulate_totals(totals, period)]
    if has_events:
        tables.append(_tabulate_days(trend))
        tables += [_tabulate_top(top, answer) for top, answer in zip(TOP_TABLES, tops, strict=True) if _has_values(answer)]
    warnings = [one for answer in answers for one in answer.meta.get("Warnings", ())]
    notes = [f"{text[0].upper()}{text[1:]}." for text in describe_warnings(warnings)]
    return Report(list_name, list_id, period, now.describe(), before.describe(), time_zone, has_events, tables, notes)


def render_report(report: Report) -> tuple[str, str]:
    """Return a report as plain text and as HTML.

    Raises:
        EventsError: Jinja2 is not installed.
    """
    environment = _make_environment()
    values = {"report": report, "subject": report.subject}
    plain, html = (environment.get_template(f"report.{form}").render(values) for form in ("txt", "html"))
    return plain, html


def check_templates() -> None:
    """Raise EventsError if Jinja2, which render_report() needs, is not installed."""
    _make_environment()


def _make_environment() -> jinja2.Environment:
    try:
        import jinja2
    except ImportError:
        raise EventsError("Reports need Jinja2: pip install 'falcon-events[dashboard]'.") from None
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"], default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["align"] = _align
    made.filters["show"] = lambda text: _shorten(text, MAX_HTML_VALUE)
    return made


def _tabulate_totals(answer: QueryResult, period: str) -> ReportTable:
    row = answer.rows[0]
    assert row.compared is not None
    rows = [
        [metric.heading, metric.format(now), metric.format(before), metric.format_change(now, before)]
        for metric, now, before in zip(METRICS, row.metrics, row.compared, strict=False)
    ]
    return ReportTable("", ["", f"this {period}", f"{period} before", "change"], rows, [])


def _tabulate_days(answer: QueryResult) -> ReportTable:
    days = [date.fromisoformat(str(row.dimensions[0])) for row in answer.rows]
    labels = [f"{WEEKDAYS[day.weekday()]} {day.day:2} {MONTHS[day.month - 1][:3]}" for day in days]
    return _tabulate("Days", ["people", "views", "revenue"], labels, answer)


def _tabulate_top(top: TopTable, answer: QueryResult) -> ReportTable:
    count = answer.meta["TotalRows"]
    title = top.title if count <= len(answer.rows) else f"{top.title}: the first {len(answer.rows)} of {count:,}"
    table = _tabulate(title, list(top.metrics.values()), [show_value(row.dimensions[0]) for row in answer.rows], answer)
    table.headings.insert(2, "change")
    for cells, row in zip(table.rows, answer.rows, strict=True):
        before = 0 if row.compared is None else row.compared[0]
        cells.insert(2, format_change(row.metrics[0], before))
    return table


def _tabulate(title: str, headings: list[str], labels: Sequence[str], answer: QueryResult) -> ReportTable:
    """Return a table of an answer's metrics, with bars for the first of them. Revenue that nothing has brought is left out."""
    shown = [
        number
        for number, name in enumerate(headings)
        if name != "revenue" or any(row.metrics[number] is not None for row in answer.rows)
    ]
    columns = [format_numbers([row.metrics[number] for row in answer.rows]) for number in shown]
    rows = [[label, *cells] for label, *cells in zip(labels, *columns, strict=True)]
    lengths = [float(row.metrics[0] or 0) for row in answer.rows]
    longest = max(lengths, default=0)
    shares = [length / longest if longest else 0.0 for length in lengths]
    return ReportTable(title, ["", *(headings[number] for number in shown)], rows, shares)


def _has_values(answer: QueryResult) -> bool:
    return any(row.dimensions[0] is not None for row in answer.rows)


def _align(table: ReportTable) -> str:
    """Return a table as lines of plain text, with bars where there is room."""
    rows = [[_shorten(row[0], MAX_VALUE), *row[1:]] for row in [table.headings, *table.rows]]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    room = min(MAX_BAR, WIDTH - sum(widths) - 2 * len(widths))
    lines = []
    for number, row in enumerate(rows):
        cells = [
            " " * (width - cell_len(cell)) + cell if column else cell + " " * (width - cell_len(cell))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        share = table.shares[number - 1] if number and table.shares else 0.0
        cells.append("#" * max(round(share * room), 1 if share > 0 and room > 0 else 0))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _shorten(text: str, columns: int) -> str:
    """Escape what a terminal or a browser would interpret, and cut what is too long."""
    found = escape(text[: columns + 1])
    if cell_len(found) <= columns and len(text) <= columns:
        return found
    while cell_len(found) >= columns:
        found = found[:-1]
    return found + _ELLIPSIS
