"""Answer website_events.query: the rows, what to compare them with, totals and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query import compiler, names
from falcon_events.query.buckets import Bucket, make_buckets, pair_buckets
from falcon_events.query.deletion import list_deletion_warnings
from falcon_events.query.question import Question, render_question
from falcon_events.query.ranges import Period, render_moment
from falcon_events.query.relations import QuestionScope
from falcon_events.query.source import Extent
from falcon_events.query.statements import Run, limit_buckets, list_computed, list_warnings, render_warnings


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
    computed = list_computed(question)
    page = compiler.read_rows(scope, period, buckets, computed, run)
    rows = page.rows
    width = len(question.dimensions)
    comparison: list[list[int | float | None] | None] = []
    if compared is not None and rows:
        keys = [row[:width] for row in rows]
        if (place := question.time_place) is not None and question.time_unit is not None:
            pairs = pair_buckets(buckets, compared_buckets, question.time_unit, period, compared, question.zone)
            keys = [(*key[:place], pairs[key[place]], *key[place + 1 :]) for key in keys]
        comparison = _compare(scope, compared, compared_buckets, keys, run)
    results = []
    for number, row in enumerate(rows):
        result = {"Dimensions": _label(question, buckets, row[:width]), "Metrics": _simplify(row[width:])}
        if compared is not None:
            result["Compared"] = comparison[number]
        results.append(result)
    answer: dict[str, Any] = {
        "Results": results,
        "Meta": _describe(scope, period, buckets, compared, page.total, extent, run),
        "Query": render_question(msgspec.structs.replace(scope.resolve_question(period, compared), order_by=question.order)),
    }
    warnings = render_warnings(computed, page.no_numbers) if computed else list_warnings(scope, period, run)
    ranges = [period] if compared is None else [period, compared]
    warnings += list_deletion_warnings(question, ranges, scope.deletion) + _list_too_large(question, rows)
    answer["Meta"]["Warnings"] = warnings
    return QueryAnswer(body=msgspec.json.encode(answer))


def list_buckets(question: Question, period: Period) -> list[Bucket]:
    """Return the buckets of the question's time dimension in a range. Raises QuestionRefused if there are too many."""
    unit = question.time_unit
    if unit is None:
        return []
    buckets = make_buckets(period, unit, question.zone, question.week_start, question.now_us, names.MAX_BUCKETS + 1)
    limit_buckets(buckets, unit)
    return buckets


def _label(question: Question, buckets: Sequence[Bucket], values: Sequence[Any]) -> list[str | None]:
    return [
        buckets[value].label if name.startswith("time:") else value
        for name, value in zip(question.dimensions, values, strict=True)
    ]


def _simplify(metrics: Sequence[Any]) -> list[int | float | None]:
    """Return metrics as JSON can hold them: what is beyond the range of a double is null."""
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in metrics]


def _compare(
    scope: QuestionScope[Question], compared: Period, buckets: Sequence[Bucket], keys: list[tuple[Any, ...]], run: Run
) -> list[list[int | float | None] | None]:
    """Return the metrics of the rows in the other range; None for a bucket that it does not have."""
    if not scope.question.dimensions:
        return [_simplify(compiler.read_totals(scope, compared, run))]
    rows = run(compiler.compile_comparison(scope, compared, buckets, keys))
    place = scope.question.time_place
    return [_simplify(row) if place is None or key[place] is not None else None for key, row in zip(keys, rows, strict=True)]


def _describe(
    scope: QuestionScope[Question],
    period: Period,
    buckets: Sequence[Bucket],
    compared: Period | None,
    total: int,
    extent: Extent,
    run: Run,
) -> dict[str, Any]:
    """Return the answer's `Meta`, without its warnings."""
    include = scope.question.include
    meta: dict[str, Any] = {"AsOf": extent.as_of}
    if "totals" in include:
        meta["Totals"] = _simplify(compiler.read_totals(scope, period, run))
        if compared is not None:
            meta["ComparedTotals"] = _simplify(compiler.read_totals(scope, compared, run))
    if "total_rows" in include:
        meta["TotalRows"] = total
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
