"""Answers to questions, as the Python API returns them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from falcon_events.model.frames import COUNT, DAY, MOMENT, NUMBER, TEXT, TEXTS, Column, Columnar

COUNTS = frozenset({"events", "visitors", "people", "sessions", "conversions", "views"})


def is_count(metric: str | Sequence[str]) -> bool:
    """Return whether a metric is a count: an integer, and 0 over nothing. Others are doubles, and null over nothing."""
    return metric in COUNTS if isinstance(metric, str) else metric[0] == "distinct"


class QueryRow(msgspec.Struct, frozen=True, rename="pascal"):
    """One row of an answer: the values of the dimensions, the metrics, and the metrics in the range to compare with."""

    dimensions: list[str | None]
    metrics: list[int | float | None]
    compared: list[int | float | None] | None = None


class QueryResult(msgspec.Struct, Columnar, frozen=True):
    """The answer to tracking.query(). `meta` and `query` are as in the HTTP answer."""

    rows: list[QueryRow] = msgspec.field(name="Results")
    meta: dict[str, Any] = msgspec.field(name="Meta")
    query: dict[str, Any] = msgspec.field(name="Query")

    def list_columns(self) -> list[Column]:
        """Return the dimensions, the metrics and, as `compared people`, the metrics in the range to compare with."""
        dimensions, metrics = self.query["Dimensions"], self.query["Metrics"]
        columns = [
            _build_dimension(name, [row.dimensions[number] for row in self.rows], self.query["TimeZone"])
            for number, name in enumerate(dimensions)
        ]
        columns += _build_metrics(metrics, [row.metrics for row in self.rows])
        if self.query["Compare"] is not None:
            columns += _build_metrics(metrics, [row.compared for row in self.rows], "compared ")
        return columns


class StepCounts(msgspec.Struct, frozen=True, rename="pascal"):
    """The number of those who reached a step of a funnel, their shares, and the median seconds from the step before."""

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


class FunnelResult(msgspec.Struct, Columnar, frozen=True):
    """The answer to tracking.funnel(): the steps, and one group for each value of a breakdown."""

    rows: list[FunnelStep] = msgspec.field(name="Steps")
    meta: dict[str, Any] = msgspec.field(name="Meta")
    query: dict[str, Any] = msgspec.field(name="Query")
    breakdown: list[FunnelGroup] | None = msgspec.field(name="Breakdown", default=None)

    def list_columns(self) -> list[Column]:
        """Return the numbers, events and counts of the steps. With a breakdown, the steps of each value follow each other."""
        groups = [FunnelGroup(None, self.rows)] if self.breakdown is None else self.breakdown
        steps = [step for group in groups for step in group.steps]
        columns = [
            Column("step", COUNT, [number for group in groups for number, _ in enumerate(group.steps, 1)]),
            Column("event", TEXT, [step.event for step in steps]),
            *_build_counts(steps),
        ]
        if self.query["Compare"] is not None:
            columns += _build_counts([step.compared for step in steps], "compared ")
        if self.query["Breakdown"] is not None:
            columns.insert(0, Column(self.query["Breakdown"], TEXT, [group.value for group in groups for _ in group.steps]))
        return columns


class RetentionCohort(msgspec.Struct, frozen=True, rename="pascal"):
    """The number of those who started in one period, and of those who came back in each period; None: it is not over."""

    cohort: str
    size: int
    returned: list[int | None]


class RetentionResult(msgspec.Struct, Columnar, frozen=True):
    """The answer to tracking.retention()."""

    rows: list[RetentionCohort] = msgspec.field(name="Cohorts")
    meta: dict[str, Any] = msgspec.field(name="Meta")
    query: dict[str, Any] = msgspec.field(name="Query")

    def list_columns(self) -> list[Column]:
        """Return a row for each cohort and period: the cohort's first day, its size, the period from 0 on, who came back."""
        cells = [(row, period, returned) for row in self.rows for period, returned in enumerate(row.returned)]
        return [
            Column("cohort", DAY, [_read_day(row.cohort) for row, _, _ in cells]),
            Column("size", COUNT, [row.size for row, _, _ in cells]),
            Column("period", COUNT, [period for _, period, _ in cells]),
            Column("returned", COUNT, [returned for _, _, returned in cells]),
        ]


class PersonRow(msgspec.Struct, frozen=True):
    """A person: the address, the senders' ids, the visitors, when the person was seen first and last, events and traits.

    `email` is None for a visitor without an address.
    """

    email: str | None = msgspec.field(name="Email")
    ids: list[str] = msgspec.field(name="IDs")
    uuids: list[str] = msgspec.field(name="UUIDs")
    first_seen: datetime | None = msgspec.field(name="FirstSeen")
    last_seen: datetime | None = msgspec.field(name="LastSeen")
    events: int = msgspec.field(name="Events")
    traits: dict[str, Any] = msgspec.field(name="Traits")


class PeopleResult(msgspec.Struct, Columnar, frozen=True):
    """The answer to tracking.people(): a page of persons, how many there are on all pages, and the cursor of the next page."""

    rows: list[PersonRow] = msgspec.field(name="People")
    count: int = msgspec.field(name="Count")
    next_cursor: str | None = msgspec.field(name="NextCursor")

    @property
    def meta(self) -> dict[str, Any]:
        """The parts of the answer that are no rows, named as in the HTTP answer."""
        return {"Count": self.count, "NextCursor": self.next_cursor}

    def list_columns(self) -> list[Column]:
        """Return the fields of the rows; traits are JSON text."""
        return [
            Column("email", TEXT, [row.email for row in self.rows]),
            Column("ids", TEXTS, [row.ids for row in self.rows]),
            Column("uuids", TEXTS, [row.uuids for row in self.rows]),
            Column("first_seen", MOMENT, [row.first_seen for row in self.rows]),
            Column("last_seen", MOMENT, [row.last_seen for row in self.rows]),
            Column("events", COUNT, [row.events for row in self.rows]),
            _build_json("traits", [row.traits for row in self.rows]),
        ]


class TimelineRow(msgspec.Struct, frozen=True):
    """An event of a person. Events of one session have the same `session`, the id of its first event."""

    event_id: str = msgspec.field(name="EventID")
    event: str = msgspec.field(name="Event")
    occurred_at: datetime = msgspec.field(name="OccurredAt")
    received_at: datetime = msgspec.field(name="ReceivedAt")
    uuid: str = msgspec.field(name="UUID")
    properties: dict[str, Any] = msgspec.field(name="Properties")
    session: str = msgspec.field(name="Session")


class TimelineResult(msgspec.Struct, Columnar, frozen=True):
    """The answer to tracking.timeline(): the person, a page of events, the latest first, and the cursor of the next page."""

    person: PersonRow = msgspec.field(name="Person")
    rows: list[TimelineRow] = msgspec.field(name="Events")
    next_cursor: str | None = msgspec.field(name="NextCursor")

    @property
    def meta(self) -> dict[str, Any]:
        """The parts of the answer that are no rows and no person, named as in the HTTP answer."""
        return {"NextCursor": self.next_cursor}

    def list_columns(self) -> list[Column]:
        """Return the fields of the rows; properties are JSON text."""
        return [
            Column("event_id", TEXT, [row.event_id for row in self.rows]),
            Column("event", TEXT, [row.event for row in self.rows]),
            Column("occurred_at", MOMENT, [row.occurred_at for row in self.rows]),
            Column("received_at", MOMENT, [row.received_at for row in self.rows]),
            Column("uuid", TEXT, [row.uuid for row in self.rows]),
            _build_json("properties", [row.properties for row in self.rows]),
            Column("session", TEXT, [row.session for row in self.rows]),
        ]


class ValueRow(msgspec.Struct, frozen=True, rename="pascal"):
    """A value of a dimension, and how many events have it."""

    value: str
    events: int


class ValuesResult(msgspec.Struct, Columnar, frozen=True):
    """The answer to tracking.values(). `meta` is as in the HTTP answer."""

    rows: list[ValueRow] = msgspec.field(name="Values")
    meta: dict[str, Any] = msgspec.field(name="Meta")

    def list_columns(self) -> list[Column]:
        """Return the values and how many events have them."""
        return [
            Column("value", TEXT, [row.value for row in self.rows]),
            Column("events", COUNT, [row.events for row in self.rows]),
        ]


class SavedRow(msgspec.Struct, frozen=True):
    """A saved query or segment: `kind` is `query` or `segment`, and one of the last three fields is not None."""

    name: str = msgspec.field(name="Name")
    kind: str = msgspec.field(name="Kind")
    saved_at: datetime = msgspec.field(name="SavedAt")
    query: dict[str, Any] | None = msgspec.field(name="Query", default=None)
    people: list[Any] | None = msgspec.field(name="People", default=None)
    rules_json: list[Any] | None = msgspec.field(name="RulesJson", default=None)


class SavedResult(msgspec.Struct, Columnar, frozen=True):
    """The answer to tracking.saved()."""

    rows: list[SavedRow] = msgspec.field(name="Saved")

    @property
    def meta(self) -> dict[str, Any]:
        """Empty, because the answer has nothing beside its rows."""
        return {}

    def list_columns(self) -> list[Column]:
        """Return the fields of the rows; queries, conditions and rules are JSON text."""
        return [
            Column("name", TEXT, [row.name for row in self.rows]),
            Column("kind", TEXT, [row.kind for row in self.rows]),
            Column("saved_at", MOMENT, [row.saved_at for row in self.rows]),
            _build_json("query", [row.query for row in self.rows]),
            _build_json("people", [row.people for row in self.rows]),
            _build_json("rules_json", [row.rules_json for row in self.rows]),
        ]


class SaveResult(msgspec.Struct, frozen=True):
    """The answer to tracking.save()."""

    saved: SavedRow = msgspec.field(name="Saved")


class ForgetResult(msgspec.Struct, frozen=True):
    """The answer to tracking.forget()."""

    forgotten: str = msgspec.field(name="Forgotten")


def _build_dimension(name: str, labels: Sequence[str | None], zone: str) -> Column:
    """Return the column of a dimension: text, but hours and minutes as instants, longer times as their first day."""
    if name in ("time:hour", "time:minute"):
        return Column(name, MOMENT, [None if label is None else datetime.fromisoformat(label) for label in labels], zone)
    if name.startswith("time:"):
        return Column(name, DAY, [None if label is None else _read_day(label) for label in labels])
    return Column(name, TEXT, labels)


def _build_metrics(
    metrics: Sequence[str | list[str]], rows: Sequence[Sequence[Any] | None], prefix: str = ""
) -> Iterable[Column]:
    """Yield the columns of metrics. An aggregate is named as in `sum property:price`."""
    for number, metric in enumerate(metrics):
        name = metric if isinstance(metric, str) else " ".join(metric)
        values = [None if row is None else row[number] for row in rows]
        if not is_count(metric):  # an integer beyond 2^53 is no double for Arrow
            values = [None if value is None else float(value) for value in values]
        yield Column(prefix + name, COUNT if is_count(metric) else NUMBER, values)


def _build_counts(steps: Sequence[StepCounts | None], prefix: str = "") -> list[Column]:
    return [
        Column(prefix + name, type_, [None if step is None else getattr(step, name) for step in steps])
        for name, type_ in (("people", COUNT), ("of_first", NUMBER), ("of_previous", NUMBER), ("median_seconds", NUMBER))
    ]


def _build_json(name: str, values: Sequence[Any]) -> Column:
    return Column(name, TEXT, [None if value is None else msgspec.json.encode(value).decode() for value in values])


def _read_day(label: str) -> date:
    """Return the first day that a label such as 2026-03-29 or 2026-03 names."""
    return date.fromisoformat(label if len(label) > 7 else f"{label}-01")
