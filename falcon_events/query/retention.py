"""Answer website_events.retention: how many of those who started in a period came back in the periods that follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query import names
from falcon_events.query.buckets import Bucket, list_ended, make_buckets
from falcon_events.query.codes import STEPS
from falcon_events.query.deletion import knows_starts, list_deletion_warnings
from falcon_events.query.expressions import CTE, PLACE, Parameters, express_all
from falcon_events.query.question import PeriodOfRetention, RetentionQuestion, render_question
from falcon_events.query.ranges import Period
from falcon_events.query.relations import ENRICHED, QuestionScope, build_events, express_all_shown, express_kind, express_period
from falcon_events.query.source import Extent
from falcon_events.query.starts import join_starts
from falcon_events.query.statements import (
    QuestionRefused,
    Run,
    Statement,
    choose_people,
    join_relations,
    limit_buckets,
    list_warnings,
)

_UNITS = {"people": "person_key", "visitors": "visitor_key"}
_STARTED = """
select unit, min(place) as place, min(moment) as moment
from {starting} where is_start and {within} group by unit
"""
# An anti join with the starts before takes less time than the first start of everybody.
_STARTED_EVER = """
select * from started_in_range
anti join (select unit from {starting} where is_start and occurred_at < make_timestamp({since})) using (unit)
"""
_KEPT = """(
    select unit, occurred_at, place, moment, is_start from looked
    union all
    select {columns} from (select * from ({firsts}) where {shown}) where {filters}{chosen}
)"""
"""The events that are left, and the first ones of those that were deleted because of their age."""
_COHORTS = """
select unit, place, moment, starts.number as cohort
from started {starts}
"""
_CALENDAR = """
select distinct cohorts.unit, cohort, ended.number - cohort as period
from looked join cohorts on looked.unit = cohorts.unit and looked.place >= cohorts.place
    {ended}
where is_return and {within}
"""
_ROLLING = """
select distinct cohorts.unit, cohort, (looked.moment - cohorts.moment) // {length} as period
from looked join cohorts on looked.unit = cohorts.unit and looked.place >= cohorts.place
where is_return and looked.occurred_at >= make_timestamp({since})
"""
_COUNTED = """
select cohort, -1 as period, count(*) as units from cohorts group by cohort
union all
select cohort, period, count(*) as units from returned where period < {periods} group by cohort, period
"""


def answer_retention(scope: QuestionScope[RetentionQuestion], extent: Extent, run: Run) -> QueryAnswer:
    """Answer a question of website_events.retention.

    Args:
        scope: the question.
        extent: what the list has.
        run: runs a statement and returns its rows.
    """
    question = scope.question
    period = scope.resolve(question.date_range)
    cohorts, ended = _list_periods(question, period)
    counts = {(cohort, number): units for cohort, number, units in run(_compile(scope, period, cohorts, ended))}
    answer = {
        "Cohorts": [
            {
                "Cohort": cohort.label,
                "Size": counts.get((place, -1), 0),
                "Returned": [
                    counts.get((place, number), 0)
                    if _is_over(question, cohort, place + number, number, ended)
                    and not _is_deleted(scope, cohort, place + number, number, ended)
                    else None
                    for number in range(question.periods)
                ],
            }
            for place, cohort in enumerate(cohorts)
        ],
        "Meta": {"AsOf": extent.as_of, "Warnings": [*list_warnings(scope, None, run), *_list_deletion_warnings(scope, period)]},
        "Query": render_question(scope.resolve_question(period)),
    }
    return QueryAnswer(body=msgspec.json.encode(answer))


def _is_over(question: RetentionQuestion, cohort: Bucket, place: int, number: int, ended: Sequence[tuple[int, int]]) -> bool:
    """Return whether a period is over for everybody who may be in a cohort."""
    if question.mode == "calendar":
        return place < len(ended)
    return cohort.until + (number + 1) * names.RETENTION_UNITS[question.unit] <= question.now_us


def _is_deleted(
    scope: QuestionScope[RetentionQuestion], cohort: Bucket, place: int, number: int, ended: Sequence[tuple[int, int]]
) -> bool:
    """Return whether events of a period of a cohort were deleted because of their age. Call it for periods that are over."""
    if scope.deletion is None:
        return False
    if scope.question.mode == "calendar":
        return ended[place][0] < scope.deletion.before
    return cohort.since + number * names.RETENTION_UNITS[scope.question.unit] < scope.deletion.before


def _list_deletion_warnings(scope: QuestionScope[RetentionQuestion], period: Period) -> list[dict[str, Any]]:
    is_sure = scope.question.first == "in_range" or knows_starts(scope.question)
    return list_deletion_warnings(scope.question, [period if is_sure else None], scope.deletion)


def _compile(
    scope: QuestionScope[RetentionQuestion], period: Period, cohorts: Sequence[Bucket], ended: Sequence[tuple[int, int]]
) -> Statement:
    """Return the SELECT of the numbers of each cohort and period, and of the cohorts' sizes as period -1."""
    parameters = Parameters(scope.source)
    relations = _build(scope, period, cohorts, ended, parameters)
    select = _COUNTED.format(periods=parameters.add(scope.question.periods))
    return Statement(join_relations(relations, select), parameters.values)


def compile_cohort_people(scope: QuestionScope[RetentionQuestion], of: PeriodOfRetention, parameters: Parameters) -> str:
    """Return the SELECT of the keys of the persons of a cohort who came back in a period, for use within another statement.

    Raises:
        QuestionRefused: there is no such cohort, or the period is not over.
    """
    question = scope.question
    period = scope.resolve(question.date_range)
    cohorts, ended = _list_periods(question, period)
    place = next((place for place, one in enumerate(cohorts) if one.label == of.cohort), None)
    if place is None:
        raise QuestionRefused(STEPS, f"Cohort: {of.cohort[:60]!r} is no {question.unit} of the range.")
    relations = _build(scope, period, cohorts, ended, parameters)
    cohort = parameters.add(place)
    if of.period is None:
        return join_relations(relations, f"select unit from cohorts where cohort = {cohort}")
    if not _is_over(question, cohorts[place], place + of.period, of.period, ended):
        raise QuestionRefused(STEPS, f"Period: period {of.period} of this cohort is not over.")
    if _is_deleted(scope, cohorts[place], place + of.period, of.period, ended):
        raise QuestionRefused(STEPS, f"Period: events of period {of.period} of this cohort were deleted because of their age.")
    number = parameters.add(of.period)
    return join_relations(relations, f"select unit from returned where cohort = {cohort} and period = {number}")


def _list_periods(question: RetentionQuestion, period: Period) -> tuple[list[Bucket], list[tuple[int, int]]]:
    """Return the cohorts of a range, and the periods that are over. Raises QuestionRefused if there are too many cohorts."""
    zone, week_start, now = question.zone, question.week_start, question.now_us
    cohorts = make_buckets(period, question.unit, zone, week_start, now, names.MAX_BUCKETS + 1)
    limit_buckets(cohorts, question.unit)
    return cohorts, list_ended(period, question.unit, zone, week_start, now, len(cohorts) + question.periods)


def _build(
    scope: QuestionScope[RetentionQuestion],
    period: Period,
    cohorts: Sequence[Bucket],
    ended: Sequence[tuple[int, int]],
    parameters: Parameters,
) -> list[CTE]:
    """Return the relations up to `cohorts`, who started when, and `returned`, who came back in which periods."""
    question = scope.question
    relations = build_events(scope, parameters, sessions=False, orders=False)
    start, returned = (express_kind(question, kind, parameters) for kind in question.kinds)
    filters = express_all(question.filters, parameters)
    chosen = choose_people(scope, parameters, relations)
    columns = (
        f"{_UNITS[question.by]} as unit, occurred_at, {PLACE} as place, epoch_us(occurred_at) as moment, {start} as is_start"
    )
    looked = f"select {columns}, {returned} as is_return from {ENRICHED} where is_shown and {filters}{chosen}"
    relations.append(("looked", looked))
    starting = "looked"
    if scope.source.firsts and knows_starts(question):
        shown = " or ".join(express_all_shown(question))
        starting = _KEPT.format(columns=columns, firsts=scope.source.firsts, shown=f"({shown})", filters=filters, chosen=chosen)
    since = parameters.add(period.since)
    in_range = _STARTED.format(starting=starting, within=express_period(period, parameters))
    if question.first == "in_range":
        relations.append(("started", in_range))
    else:
        relations += [("started_in_range", in_range), ("started", _STARTED_EVER.format(starting=starting, since=since))]
    starts, joined = join_starts("starts", [(one.since, one.until) for one in cohorts], "started.moment", parameters)
    relations += [starts, ("cohorts", _COHORTS.format(starts=joined))]
    if question.mode == "calendar":
        periods, joined = join_starts("ended", ended, "looked.moment", parameters)
        relations.append(periods)
        over = Period(period.since, ended[-1][1] if ended else period.since)
        body = _CALENDAR.format(ended=joined, within=express_period(over, parameters))
    else:
        body = _ROLLING.format(since=since, length=parameters.add(names.RETENTION_UNITS[question.unit]))
    relations.append(("returned", body))
    return relations
