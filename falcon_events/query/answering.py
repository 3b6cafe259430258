"""Answer a question: resolve its ranges, run its statements with a function that the store gives, and build the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query import compiler, names
from falcon_events.query.buckets import Bucket, make_buckets
from falcon_events.query.compiler import Statement
from falcon_events.query.question import (
    AllConditions,
    AnyCondition,
    Asked,
    Condition,
    DoneCondition,
    NotCondition,
    PeopleQuestion,
    Question,
    ValueCondition,
    ValuesQuestion,
    find_base,
    render_question,
    walk_deeply,
)
from falcon_events.query.ranges import Period, render_moment, resolve_comparison
from falcon_events.query.relations import QuestionScope
from falcon_events.query.source import Source

FILTERS, PEOPLE, LIMITS = 8, 12, 13
Run = Callable[[Statement], list[tuple[Any, ...]]]


class Extent(msgspec.Struct, frozen=True):
    """When a list's first and last events happened, in microseconds since 1970, and the highest `seq`; None: no events."""

    first: int | None
    last: int | None
    newest_seq: int | None


def list_patterns(asked: Asked) -> list[tuple[int, str, str]]:
    """Return the regular expressions of a question, each with the code and the place of its condition.

    Only the database can check them.
    """
    base = find_base(asked)
    groups = [(FILTERS, "", base.filters), (PEOPLE, "", base.people)]
    if isinstance(asked, PeopleQuestion) and asked.of is not None:  # the filters of `base` are those of the query
        counted = asked.of.question
        groups = [(FILTERS, "Of.", counted.filters), (PEOPLE, "Of.", counted.people)]
    return [
        (code, prefix + one.place, str(pattern))
        for code, prefix, conditions in groups
        for one in walk_deeply(conditions)
        if isinstance(one, ValueCondition) and one.operator in ("matches", "matches_not")
        for pattern in one.values
    ]


def answer_question(question: Question, source: Source, extent: Extent, session_gap_us: int, run: Run) -> QueryAnswer:
    """Answer a question.

    Args:
        question: the question.
        source: the relations that it reads.
        extent: what the list has.
        session_gap_us: the time without an event that ends a session, in microseconds.
        run: runs a statement and returns its rows.
    """
    limits = None if extent.first is None or extent.last is None else (extent.first, extent.last)
    scope = QuestionScope(question, source, session_gap_us, limits)
    period = scope.resolve(question.date_range)
    compared = None
    if question.compare is not None:
        zone, now = question.zone, question.now_us
        compared = resolve_comparison(question.compare, period, zone, question.week_start, now, limits)
    buckets = list_buckets(question, period)
    compared_buckets = [] if compared is None else list_buckets(question, compared)
    if max(len(buckets), len(compared_buckets)) > names.MAX_BUCKETS:
        text = f"DateRange: more than {names.MAX_BUCKETS} {question.time_unit}s, which is the limit. Give a shorter range."
        return QueryAnswer(failures=[(LIMITS, text)])
    rows = run(compiler.compile_rows(scope, period, buckets))
    width = len(question.dimensions)
    comparison = _compare(scope, compared, compared_buckets, [row[:width] for row in rows], run)
    results = []
    for number, row in enumerate(rows):
        told = {"Dimensions": _label(question, buckets, row[:width]), "Metrics": _simplify(row[width:])}
        if compared is not None:
            told["Compared"] = comparison[number]
        results.append(told)
    answer = {
        "Results": results,
        "Meta": _describe(scope, period, buckets, compared, extent, run),
        "Query": render_question(_resolve(scope, period, compared)),
    }
    return QueryAnswer(body=msgspec.json.encode(answer))


def answer_values(asked: ValuesQuestion, source: Source, extent: Extent, session_gap_us: int, run: Run) -> QueryAnswer:
    """Answer website_events.values. The other arguments are those of answer_question()."""
    limits = None if extent.first is None or extent.last is None else (extent.first, extent.last)
    scope = QuestionScope(asked.base, source, session_gap_us, limits)
    rows = run(compiler.compile_values(scope, scope.resolve(asked.base.date_range), asked.prefix, asked.limit))
    values = [{"Value": value, "Events": events} for value, events in rows]
    return QueryAnswer(body=msgspec.json.encode({"Values": values, "Meta": {"AsOf": extent.newest_seq or 0}}))


def list_buckets(question: Question, period: Period) -> list[Bucket]:
    """Return the buckets of the question's time dimension in a range; one more than the limit if there are too many."""
    unit = question.time_unit
    if unit is None:
        return []
    return make_buckets(period, unit, question.zone, question.week_start, question.now_us, names.MAX_BUCKETS + 1)


def _label(question: Question, buckets: Sequence[Bucket], values: Sequence[Any]) -> list[str | None]:
    return [
        buckets[value].label if name.startswith("time:") else value
        for name, value in zip(question.dimensions, values, strict=True)
    ]


def _simplify(metrics: Sequence[Any]) -> list[int | float | None]:
    """Return metrics as JSON can hold them: what is beyond the range of a double is null."""
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in metrics]


def _compare(
    scope: QuestionScope, compared: Period | None, buckets: Sequence[Bucket], keys: list[tuple[Any, ...]], run: Run
) -> list[list[int | float | None] | None]:
    """Return the metrics of the rows in the other range; None for a bucket that it does not have."""
    if compared is None or not keys:
        return []
    rows = run(compiler.compile_comparison(scope, compared, buckets, keys))
    place = next((place for place, name in enumerate(scope.question.dimensions) if name.startswith("time:")), None)
    return [_simplify(row) if place is None or key[place] < len(buckets) else None for key, row in zip(keys, rows, strict=True)]


def _describe(
    scope: QuestionScope, period: Period, buckets: Sequence[Bucket], compared: Period | None, extent: Extent, run: Run
) -> dict[str, Any]:
    """Return the answer's `Meta`."""
    include = scope.question.include
    meta: dict[str, Any] = {"AsOf": extent.newest_seq or 0}
    if "totals" in include:
        meta["Totals"] = _simplify(run(compiler.compile_totals(scope, period))[0])
        if compared is not None:
            meta["ComparedTotals"] = _simplify(run(compiler.compile_totals(scope, compared))[0])
    if "total_rows" in include:
        ((meta["TotalRows"],),) = run(compiler.compile_total_rows(scope, period, buckets))
    if "time_labels" in include:
        meta["TimeLabels"] = [
            {
                "Label": bucket.label,
                "From": render_moment(bucket.since),
                "To": render_moment(bucket.until),
                "Partial": bucket.partial,
            }
            for bucket in buckets
        ]
    dimensions, statement = compiler.compile_warnings(scope, period)
    counts = run(statement)[0] if statement is not None else ()
    meta["Warnings"] = [
        {"Code": "not_a_number", "Name": name, "Events": events}
        for name, events in zip(dimensions, counts, strict=True)
        if events
    ]
    return meta


def _resolve(scope: QuestionScope, period: Period, compared: Period | None) -> Question:
    """Return the question with every relative range resolved."""
    question = scope.question
    return msgspec.structs.replace(
        question,
        date_range=period.render(),
        compare=None if compared is None else compared.render(),
        people=[_resolve_condition(scope, one) for one in question.people],
        order_by=question.order_by or _name_order(question),
    )


def _name_order(question: Question) -> list[tuple[str | list[str], str]]:
    if question.time_unit is not None:
        return [(f"time:{question.time_unit}", "asc")]
    return [(question.metrics[0], "desc")]


def _resolve_condition(scope: QuestionScope, condition: Condition) -> Condition:
    match condition:
        case NotCondition(inner):
            return NotCondition(_resolve_condition(scope, inner))
        case AllConditions(parts):
            return AllConditions([_resolve_condition(scope, one) for one in parts])
        case AnyCondition(parts):
            return AnyCondition([_resolve_condition(scope, one) for one in parts])
        case DoneCondition() if condition.within is not None:
            return msgspec.structs.replace(condition, within=scope.resolve(condition.within).render())
    return condition
