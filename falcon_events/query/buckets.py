"""Buckets of a time dimension: their limits and labels, from the time zone's rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from itertools import islice, takewhile

import msgspec

from falcon_events.query.ranges import Period, find_change, find_week, localize, move_year, start_of_day

_SECONDS = {"minute": 60, "hour": 3600}


class Bucket(msgspec.Struct, frozen=True):
    """A bucket, in microseconds since 1970, cut to the question's range; `until` is excluded.

    `partial` is whether the range cuts it, or it has not ended yet.
    """

    label: str
    since: int
    until: int
    partial: bool


def make_buckets(period: Period, unit: str, zone: tzinfo, week_start: str, now_us: int, most: int) -> list[Bucket]:
    """Return the buckets of a range in order, at most `most` of them."""
    found = _list_clock(period, unit, zone) if unit in _SECONDS else _list_calendar(period, unit, zone, week_start)
    return [
        Bucket(
            label,
            max(since, period.since),
            min(until, period.until),
            since < period.since or until > period.until or until > now_us,
        )
        for label, since, until in islice(found, most)
    ]


def pair_buckets(
    buckets: Sequence[Bucket], others: Sequence[Bucket], unit: str, period: Period, other: Period, zone: tzinfo
) -> list[int | None]:
    """Return which bucket of another range each bucket is compared with; None: the other range has none for it.

    Days are paired by the calendar where the other range is a year earlier, and hours and minutes by local time, so that neither
    a leap day nor a change of the clock shifts what follows. All others are paired in order.

    Args:
        buckets: the buckets of `period`.
        others: the buckets of `other`.
        unit: the unit of both.
        period: the range.
        other: the range to compare with.
        zone: the time zone of local days.
    """
    in_order = [number if number < len(others) else None for number in range(len(buckets))]
    is_year = move_year(period, zone) == other
    if unit in ("week", "month") or (unit == "day" and not is_year):
        return in_order
    if not is_year and (period.days is None or other.days is None):
        return in_order
    days = timedelta() if period.days is None or other.days is None else other.days[0] - period.days[0]

    def move(local: str) -> str | None:
        moment = datetime.fromisoformat(local)
        if not is_year:
            return (moment + days).isoformat()
        try:
            return moment.replace(year=moment.year - 1).isoformat()
        except ValueError:  # 29 February
            return None

    places: dict[tuple[str | None, int], int] = {one: number for number, one in enumerate(_list_local(others))}
    return [places.get((move(local), repeat)) for local, repeat in _list_local(buckets)]


def _list_local(buckets: Sequence[Bucket]) -> list[tuple[str, int]]:
    """Return the local time at which each bucket begins by its label, and how often it has been there before."""
    seen: Counter[str] = Counter()
    found = []
    for bucket in buckets:
        local = datetime.fromisoformat(bucket.label).replace(tzinfo=None).isoformat()
        found.append((local, seen[local]))
        seen[local] += 1
    return found


def list_ended(period: Period, unit: str, zone: tzinfo, week_start: str, now_us: int, most: int) -> list[tuple[int, int]]:
    """Return the limits of the days, weeks or months that are over, from the one in which a range begins.

    They are not cut, and at most `most`.
    """
    limits = ((since, until) for _, since, until in _list_calendar(period, unit, zone, week_start, endless=True))
    return list(takewhile(lambda one: one[1] <= now_us, islice(limits, most)))


def _list_calendar(
    period: Period, unit: str, zone: tzinfo, week_start: str, *, endless: bool = False
) -> Iterator[tuple[str, int, int]]:
    """Yield the label and the limits of days, weeks or months. A day that the time zone skips has the same limit twice.

    `endless` is whether to go on after the range.
    """
    day = localize(period.since, zone).date() if period.days is None else period.days[0]
    day = find_week(day, week_start) if unit == "week" else day.replace(day=1) if unit == "month" else day
    since = start_of_day(day, zone)
    while endless or since < period.until:
        following = _find_next(day, unit)
        until = start_of_day(following, zone)
        yield day.isoformat()[:7] if unit == "month" else day.isoformat(), since, until
        day, since = following, until


def _find_next(day: date, unit: str) -> date:
    if unit == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if unit == "week" else 1)


def _list_clock(period: Period, unit: str, zone: tzinfo) -> Iterator[tuple[str, int, int]]:
    """Yield the label and the limits of local hours or minutes. A change of the offset ends a bucket."""
    length = _SECONDS[unit] * 1_000_000
    moment = period.since
    while moment < period.until:
        local = localize(moment, zone)
        floor = _floor(local, unit)
        into = (local.replace(tzinfo=floor.tzinfo) - floor) // timedelta(microseconds=1)
        until = moment - into + length
        if localize(until - 1, zone).utcoffset() != local.utcoffset():
            until = find_change(moment, until - 1, zone)
        since = moment - into
        if into and localize(since, zone).utcoffset() != local.utcoffset():
            since = find_change(since, moment, zone)
        yield floor.isoformat(timespec="seconds"), since, until
        moment = until


def _floor(local: datetime, unit: str) -> datetime:
    """Return the beginning of a local hour or minute, with the offset of this moment."""
    offset = local.utcoffset()
    assert offset is not None
    fixed = local.replace(tzinfo=timezone(offset), fold=0)
    return fixed.replace(second=0, microsecond=0) if unit == "minute" else fixed.replace(minute=0, second=0, microsecond=0)
