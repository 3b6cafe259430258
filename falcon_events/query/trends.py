"""Answer website_events.query: the rows, what to compare them with, totals and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query import codes, compiler, names
from falcon_events.query.buckets import Bucket, make_buckets, pair_buckets
from falcon_events.query.question import Question, render_question
from falcon_events.query.ranges import Period, render_moment
from falcon_events.query.relations import QuestionScope
from falcon_events.query.source import Extent
from falcon_events.query.statements import Run, list_warnings


def answer_trends(scope: QuestionScope[Question], extent: Extent, run: Run) -> QueryAnswer:
    """Answer a question of website_events.query.

    Args:
        scope: the question.
        extent: what the list has.
        run: runs a statement and returns its rows.
    """
    question = scope.question
    period = scope.resolve(question.date_range)
    compared = scope.resolve_comparison(question.compare, period)
    buckets = list_buckets(question, period)
    compared_buckets = [] if compared is None else list_buckets(question, compared)
    if max(len(buckets), len(compared_buckets)) > names.MAX_BUCKETS:
        text = f"DateRange: more than {names.MAX_BUCKETS} {question.time_unit}s, which is the limit. Give a shorter range."
        return QueryAnswer(failures=[(codes.LIMITS, text)])
    rows = run(compiler.compile_rows(scope, period, buckets))
    width = len(question.dimensions)
    comparison: list[list[int | float | None] | None] = []
    if compared is not None and rows:
        keys = [row[:width] for row in rows]
        if question.time_unit is not None:
            pairs = pair_buckets(buckets, compared_buckets, question.time_unit, period, compared, question.zone)
            keys = _replace_times(question, keys, pairs)
        comparison = _compare(scope, compared, compared_buckets, keys, run)
    results = []
    for number, row in enumerate(rows):
        result = {"Dimensions": _label(question, buckets, row[:width]), "Metrics": _simplify(row[width:])}
        if compared is not None:
            result["Compared"] = comparison[number]
        results.append(result)
    answer = {
        "Results": results,
        "Meta": _describe(scope, period, buckets, compared, extent, run, rows),
        "Query": render_question(_resolve(scope, period, compared)),
    }
    return QueryAnswer(body=msgspec.json.encode(answer))


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


def _replace_times(question: Question, keys: list[tuple[Any, ...]], pairs: Sequence[int | None]) -> list[tuple[Any, ...]]:
    """Return the keys with the buckets of the other range in the place of the range's own; None where it has none."""
    place = next(place for place, name in enumerate(question.dimensions) if name.startswith("time:"))
    return [(*key[:place], pairs[key[place]], *key[place + 1 :]) for key in keys]


def _compare(
    scope: QuestionScope[Question], compared: Period, buckets: Sequence[Bucket], keys: list[tuple[Any, ...]], run: Run
) -> list[list[int | float | None] | None]:
    """Return the metrics of the rows in the other range; None for a bucket that it does not have."""
    rows = run(compiler.compile_comparison(scope, compared, buckets, keys))
    place = next((place for place, name in enumerate(scope.question.dimensions) if name.startswith("time:")), None)
    return [_simplify(row) if place is None or key[place] is not None else None for key, row in zip(keys, rows, strict=True)]


def _describe(
    scope: QuestionScope[Question],
    period: Period,
    buckets: Sequence[Bucket],
    compared: Period | None,
    extent: Extent,
    run: Run,
    rows: Sequence[tuple[Any, ...]],
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
    meta["Warnings"] = [*list_warnings(scope, period, run), *_list_too_large(scope.question, rows)]
    return meta


def _list_too_large(question: Question, rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return a warning for each metric that is beyond the range of a double in some rows, where it is null."""
    warnings = []
    for number, metric in enumerate(question.metrics, len(question.dimensions)):
        beyond = len([row for row in rows if isinstance(row[number], float) and not math.isfinite(row[number])])
        if beyond:
            warnings.append(
                {"Code": "too_large", "Name": metric if isinstance(metric, str) else " ".join(metric), "Rows": beyond}
            )
    return warnings


def _resolve(scope: QuestionScope[Question], period: Period, compared: Period | None) -> Question:
    """Return the question with every relative range resolved."""
    question = scope.question
    return msgspec.structs.replace(
        question,
        date_range=period.render(),
        compare=None if compared is None else compared.render(),
        people=scope.resolve_people(),
        order_by=question.order_by or _name_order(question),
    )


def _name_order(question: Question) -> list[tuple[str | list[str], str]]:
    if question.time_unit is not None:
        return [(f"time:{question.time_unit}", "asc")]
    return [(question.metrics[0], "desc")]
