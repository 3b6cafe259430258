"""Answers to questions, as the Python API returns them."""

from __future__ import annotations

from typing import Any

import msgspec


class QueryRow(msgspec.Struct, frozen=True, rename="pascal"):
    """One row of an answer: the values of the dimensions, the metrics, and the metrics in the range to compare with."""

    dimensions: list[str | None]
    metrics: list[int | float | None]
    compared: list[int | float | None] | None = None


class QueryResult(msgspec.Struct, frozen=True):
    """The answer to tracking.query(). `meta` and `query` are as in the HTTP answer."""

    rows: list[QueryRow] = msgspec.field(name="Results")
    meta: dict[str, Any] = msgspec.field(name="Meta")
    query: dict[str, Any] = msgspec.field(name="Query")


class StepCounts(msgspec.Struct, frozen=True, rename="pascal"):
    """How many reached a step of a funnel, their shares, and the median seconds from the step before."""

    people: int
    of_first: float | None
    of_previous: float | None
    median_seconds: float | None


class FunnelStep(StepCounts, frozen=True, rename="pascal"):
    """One step of a funnel. `event` is None for any event; `compared` is the step in the range to compare with."""

    event: str | None = None
    compared: StepCounts | None = None


class FunnelGroup(msgspec.Struct, frozen=True, rename="pascal"):
    """The funnel of those who have a value of the breakdown at their first step."""

    value: str | None
    steps: list[FunnelStep]


class FunnelResult(msgspec.Struct, frozen=True):
    """The answer to tracking.funnel(): the steps, and one group for each value of a breakdown."""

    rows: list[FunnelStep] = msgspec.field(name="Steps")
    meta: dict[str, Any] = msgspec.field(name="Meta")
    query: dict[str, Any] = msgspec.field(name="Query")
    breakdown: list[FunnelGroup] | None = msgspec.field(name="Breakdown", default=None)


class RetentionCohort(msgspec.Struct, frozen=True, rename="pascal"):
    """Those who started in one period, and how many came back in each period from it on; None: it is not over."""

    cohort: str
    size: int
    returned: list[int | None]


class RetentionResult(msgspec.Struct, frozen=True):
    """The answer to tracking.retention()."""

    rows: list[RetentionCohort] = msgspec.field(name="Cohorts")
    meta: dict[str, Any] = msgspec.field(name="Meta")
    query: dict[str, Any] = msgspec.field(name="Query")


read_result = msgspec.json.Decoder(QueryResult).decode
read_funnel_result = msgspec.json.Decoder(FunnelResult).decode
read_retention_result = msgspec.json.Decoder(RetentionResult).decode
