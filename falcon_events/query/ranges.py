"""Ranges of time: resolve `28d` and the like to local days or moments, and to a range to compare with."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

import msgspec

from falcon_events.model.timestamps import parse_timestamp
from falcon_events.query.question import GivenRange

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
NAMED = ("today", "yesterday", "week", "month", "year", "all")
EXPECTED = (
    'a DateRange is "today", "yesterday", "week", "month", "year", "all", a number of days or hours such as "28d" or "24h",'
    ' two days such as ["2026-03-01", "2026-03-31"], or two RFC 3339 date-times with an offset, the first before the second'
)
MAX_DAYS = 36_500
LATEST_US = 253_370_764_800_000_000
"""The end of the year 9998, in microseconds since 1970."""
_number = re.compile("([1-9][0-9]{0,6})([dh])").fullmatch
_length = re.compile("([1-9][0-9]{0,8})([mhd])").fullmatch
_day = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


class Period(msgspec.Struct, frozen=True):
    """A range of time, in microseconds since 1970; `until` is excluded. `days` are its first and last day if it is of days."""

    since: int
    until: int
    days: tuple[date, date] | None = None

    def render(self) -> list[str]:
        """Return the range in the form of the request, with nothing relative."""
        if self.days is not None:
            return [day.isoformat() for day in self.days]
        return [render_moment(self.since), render_moment(self.until)]


def parse_length(text: object) -> int | None:
    """Parse a length of time such as `7d`, `12h` or `30m` (minutes) into microseconds."""
    match = _length(text) if isinstance(text, str) else None
    if match is None:
        return None
    length = int(match[1]) * {"m": 60, "h": 3_600, "d": 86_400}[match[2]] * 1_000_000
    return length if length <= MAX_DAYS * 86_400_000_000 else None


def parse_day(text: object) -> date | None:
    """Parse a day such as `2026-03-29`, of the years 1970 to 9998."""
    if not isinstance(text, str) or not _day(text):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year <= 9998 else None


def parse_moment(text: object) -> int | None:
    """Parse an RFC 3339 date-time of the years 1970 to 9998 into microseconds since 1970."""
    moment = parse_timestamp(text) if isinstance(text, str) else None
    return moment if moment is not None and 0 <= moment < LATEST_US else None


def is_range(given: object) -> bool:
    """Return whether a value is a DateRange."""
    if isinstance(given, str):
        if (match := _number(given)) is None:
            return given in NAMED
        return int(match[1]) <= MAX_DAYS * (24 if match[2] == "h" else 1)
    if not isinstance(given, list) or len(given) != 2:
        return False
    days = [parse_day(text) for text in given]
    if days[0] is not None and days[1] is not None:
        return days[0] <= days[1]
    moments = [parse_moment(text) for text in given]
    return moments[0] is not None and moments[1] is not None and moments[0] < moments[1]


def resolve_range(given: GivenRange, zone: tzinfo, week_start: str, now_us: int, extent: tuple[int, int] | None) -> Period:
    """Resolve a valid DateRange.

    Args:
        given: the range.
        zone: the time zone of local days.
        week_start: `monday` or `sunday`.
        now_us: the present, in microseconds since 1970.
        extent: when the list's first and last events happened; None if it has none.
    """
    if isinstance(given, list):
        first, last = parse_day(given[0]), parse_day(given[1])
        if first is not None and last is not None:
            return make_days(first, last, zone)
        since, until = parse_moment(given[0]), parse_moment(given[1])
        assert since is not None
        assert until is not None
        return Period(since, until)
    today = localize(now_us, zone).date()
    if (match := _number(given)) is not None:
        count = int(match[1])
        if match[2] == "h":  # what happened in this very microsecond is in the range
            return Period(now_us + 1 - count * 3_600_000_000, now_us + 1)
        return make_days(today - timedelta(days=count - 1), today, zone)
    first = last = today
    if given == "yesterday":
        first = last = today - timedelta(days=1)
    elif given == "week":
        first = find_week(today, week_start)
    elif given == "month":
        first = today.replace(day=1)
    elif given == "year":
        first = today.replace(month=1, day=1)
    elif given == "all" and extent is not None:
        first = min(localize(extent[0], zone).date(), today)
        last = max(localize(extent[1], zone).date(), today)
    return make_days(first, last, zone)


def resolve_comparison(
    compare: GivenRange, period: Period, zone: tzinfo, week_start: str, now_us: int, extent: tuple[int, int] | None
) -> Period:
    """Resolve the parameter Compare: `previous`, `year`, or a range of its own."""
    if compare == "previous":
        if period.days is None:
            return Period(2 * period.since - period.until, period.since)
        first, last = period.days
        return make_days(first - (last - first) - timedelta(days=1), first - timedelta(days=1), zone)
    if compare == "year":
        return move_year(period, zone)
    return resolve_range(compare, zone, week_start, now_us, extent)


def move_year(period: Period, zone: tzinfo) -> Period:
    """Return the range that is a calendar year earlier."""
    if period.days is None:
        return Period(_move_year(period.since, zone), _move_year(period.until, zone))
    return make_days(_find_year_before(period.days[0]), _find_year_before(period.days[1]), zone)


def make_days(first: date, last: date, zone: tzinfo) -> Period:
    """Return the range of local days, both included."""
    return Period(start_of_day(first, zone), start_of_day(last + timedelta(days=1), zone), (first, last))


def localize(moment_us: int, zone: tzinfo) -> datetime:
    """Return a moment as local time."""
    return (EPOCH + timedelta(microseconds=moment_us)).astimezone(zone)


def to_microseconds(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment.astimezone(UTC) - EPOCH) // _MICROSECOND


def start_of_day(day: date, zone: tzinfo) -> int:
    """Return when a local day begins. A day whose midnight the clock skips begins where the clock is put forward."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    moment = to_microseconds(midnight)
    if localize(moment, zone).replace(tzinfo=None) != midnight.replace(tzinfo=None):
        return find_change(moment - 86_400_000_000, moment, zone)
    return moment


def find_change(before_us: int, after_us: int, zone: tzinfo) -> int:
    """Return the first moment that has the offset of `after_us`, if it changes once since `before_us`; else `after_us`."""
    offset = localize(after_us, zone).utcoffset()
    if localize(before_us, zone).utcoffset() == offset:
        return after_us
    low, high = before_us // 1_000_000, -(-after_us // 1_000_000)
    while high - low > 1:
        middle = (low + high) // 2
        if localize(middle * 1_000_000, zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high * 1_000_000


def find_week(day: date, week_start: str) -> date:
    """Return the first day of a day's week."""
    return day - timedelta(days=(day.weekday() if week_start == "monday" else day.isoweekday() % 7))


def render_moment(moment_us: int) -> str:
    """Return a moment as an RFC 3339 date-time in UTC."""
    return (EPOCH + timedelta(microseconds=moment_us)).isoformat().replace("+00:00", "Z")


def _find_year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28)


def _move_year(moment_us: int, zone: tzinfo) -> int:
    local = localize(moment_us, zone)
    day = _find_year_before(local.date())
    return to_microseconds(local.replace(year=day.year, day=day.day, fold=0))
