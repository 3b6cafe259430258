"""Numbers of days whose events a list's rule has deleted, where they are asked for beside numbers that need these events."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from falcon_events.model.answers import QueryResult, QueryRow
from falcon_events.query.deletion import EVENTS_DELETED

ADDED_UP = ("events", "views", "conversions", "revenue")
"""Metrics that totals of days give exactly, unless others are asked for beside them."""


def list_inexact(result: QueryResult, metrics: Sequence[str]) -> list[str]:
    """Return which metrics of an answer lack deleted events, and would be exact in a question of their own."""
    lacks_events = any(one["Code"] == EVENTS_DELETED for one in result.meta.get("Warnings", []))
    return [metric for metric in metrics if metric in ADDED_UP] if lacks_events else []


def replace_numbers(row: QueryRow, metrics: Sequence[str], better: QueryRow, replaced: Sequence[str]) -> QueryRow:
    """Return a row with some of its numbers from another row, which has these alone.

    Args:
        row: the row.
        metrics: its metrics.
        better: the other row.
        replaced: the metrics of the other row.
    """

    def replace(numbers: Sequence[int | float | None], others: Sequence[int | float | None]) -> list[int | float | None]:
        return [*(dict(zip(metrics, numbers, strict=True)) | dict(zip(replaced, others, strict=True))).values()]

    compared = None if row.compared is None or better.compared is None else replace(row.compared, better.compared)
    return msgspec.structs.replace(row, metrics=replace(row.metrics, better.metrics), compared=compared)
