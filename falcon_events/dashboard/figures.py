"""Figures at the top of a page: metrics without dimensions, each with its change and the link to its persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from falcon_events.dashboard.context import Context
from falcon_events.dashboard.exact_totals import list_inexact, replace_numbers
from falcon_events.dashboard.tables import FORMS, METRICS, link_to_people, narrow_to_counted
from falcon_events.model.answers import QueryResult
from falcon_events.runtime.steps import Steps

LESS_IS_BETTER = frozenset({"bounce_rate"})


def ask_figures(
    context: Context, metrics: Sequence[str], shown: str, more: Mapping[str, Any] | None = None
) -> Steps[list[dict[str, Any]]]:
    """Ask for some metrics of the range of time. Return the figures.

    Args:
        context: the page.
        metrics: the metrics.
        shown: the one that the page's trend shows.
        more: more arguments of the question, such as filters.
    """
    arguments = context.view.question(metrics=list(metrics), compare=context.view.compare, **(more or {}))
    answered = yield from context.ask("query", QueryResult, arguments)
    (row,) = answered.result.rows
    if inexact := list_inexact(answered.result, metrics):
        exact = yield from context.ask("query", QueryResult, {**arguments, "metrics": inexact})
        row = replace_numbers(row, metrics, exact.result.rows[0], inexact)
    return [
        {
            "metric": metric,
            "name": METRICS[metric],
            "form": FORMS.get(metric, "number"),
            "value": row.metrics[place],
            "before": None if row.compared is None else row.compared[place],
            "is_shown": metric == shown,
            "people": link_to_people(context.links, narrow_to_counted(arguments, metric), Row={"Dimensions": []}),
            "less_is_better": metric in LESS_IS_BETTER,
        }
        for place, metric in enumerate(metrics)
    ]
