"""Questions about events that a list's rule has deleted because of their age: which can be answered, and the warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from falcon_events.model.time_zones import find_time_zone
from falcon_events.query import names
from falcon_events.query.expressions import asks_for_bots, asks_for_identify
from falcon_events.query.question import (
    AnyQuestion,
    Condition,
    FunnelQuestion,
    Question,
    RetentionQuestion,
    ValueCondition,
    walk,
)
from falcon_events.query.ranges import Period, localize, start_of_day
from falcon_events.query.source import Deletion

DAILY_TOTALS, EVENTS_DELETED = "daily_totals", "events_deleted"
"""The codes of warnings: the answer has totals of days whose events were deleted, or only what is left."""
METRICS = frozenset({"events", "visitors", "people", "conversions", "revenue", "views"})
DISTINCT = frozenset({"visitors", "people"})
"""Metrics that do not add up: somebody may come on two days, or send two types of events."""
DIMENSIONS = frozenset({"time:day", "time:week", "time:month", "event"})
SESSION_METRICS = frozenset({"sessions", "bounce_rate", "session_seconds", "views_per_session"})
DAY_US = 86_400_000_000
LONGEST_DAY_US = 30 * 3_600_000_000
"""Longer than any local day, those that a time zone repeats a part of included."""


def counts_once(question: Question, dimensions: Sequence[str], period: Period) -> bool:
    """Return whether each row is of one day, and of one event type or all, so that nobody is in two totals of it."""
    is_day = "time:day" in dimensions or (period.days is not None and period.days[0] == period.days[1])
    return is_day and (not question.filters or "event" in dimensions or _is_one_type(question.filters))


def uses_types(question: Question, dimensions: Sequence[str]) -> bool:
    """Return whether totals of single event types are needed."""
    return "event" in dimensions or bool(question.filters)


def has_totals(question: Question, period: Period, deletion: Deletion | None) -> bool:
    """Return whether a range begins before some events were deleted, and the totals of their days answer the question exactly."""
    if deletion is None or period.since >= deletion.before:
        return False
    metrics = {metric if isinstance(metric, str) else "" for metric in question.metrics}
    if metrics - METRICS or set(question.dimensions) - DIMENSIONS:
        return False
    if question.people or not _is_about_types(question.filters):
        return False
    if metrics & DISTINCT and not counts_once(question, question.dimensions, period):
        return False
    return _is_of_days(question, period, deletion)


def knows_starts(question: RetentionQuestion) -> bool:
    """Return whether the first events that are kept tell when everybody started: the first time ever, by event types alone."""
    conditions = [*question.filters, *question.start.filters]
    return question.first == "ever" and all(_is_of_type(one) for one in walk(conditions)) and not asks_for_bots(conditions)


def list_deletion_warnings(
    question: AnyQuestion, periods: Sequence[Period | None], deletion: Deletion | None
) -> list[dict[str, Any]]:
    """Return the warnings of an answer that lacks deleted events, or has totals in their place.

    Args:
        question: the question.
        periods: the ranges that it looks at. None: all times.
        deletion: which events were deleted; None: none were.
    """
    if deletion is None:
        return []
    codes = []
    for period in periods:
        if isinstance(question, Question) and period is not None and has_totals(question, period, deletion):
            codes.append(DAILY_TOTALS)
        elif period is None or _looks_back_to(question, period) < deletion.before:
            codes.append(EVENTS_DELETED)
    return [{"Code": code, "EventsFrom": deletion.day} for code in dict.fromkeys(codes)]


def _looks_back_to(question: AnyQuestion, period: Period) -> int:
    """Return from when on events matter to a question about a range: sessions may have begun before, and campaigns."""
    used = question.list_dimensions()
    if question.people:
        return 0
    if used.intersection(names.CAMPAIGN_DIMENSIONS):
        return period.since - 30 * DAY_US
    metrics = question.metrics if isinstance(question, Question) else []
    of_sessions = SESSION_METRICS.intersection(metric for metric in metrics if isinstance(metric, str))
    by_session = isinstance(question, FunnelQuestion) and question.by == "sessions"
    if of_sessions or by_session or used.intersection(names.SESSION_DIMENSIONS):
        return period.since - DAY_US
    return period.since


def _is_about_types(filters: Sequence[Condition]) -> bool:
    """Return whether conditions are on event types alone, and leave out what totals do not count."""
    return all(_is_of_type(one) for one in walk(filters)) and not asks_for_identify(filters)


def _is_of_type(condition: Condition) -> bool:
    return isinstance(condition, ValueCondition) and condition.dimension == "event"


def _is_one_type(filters: Sequence[Condition]) -> bool:
    """Return whether conditions let one event type through."""
    if len(filters) != 1 or not isinstance(filters[0], ValueCondition):
        return False
    only = filters[0]
    return only.operator == "is" and only.case_sensitive and len(only.values) == 1 and isinstance(only.values[0], str)


def _is_of_days(question: Question, period: Period, deletion: Deletion) -> bool:
    """Return whether a range consists of days that have totals, in the question's time zone."""
    for name, first, last in deletion.zones:
        if name != question.time_zone and period.since < last + LONGEST_DAY_US and period.until > first:
            return False
    zone = find_time_zone(question.time_zone)
    if zone is None:
        return False
    if period.days is not None:
        return True
    limits = [limit for limit in (period.since, period.until) if limit < deletion.before]
    return all(start_of_day(localize(limit, zone).date(), zone) == limit for limit in limits)
