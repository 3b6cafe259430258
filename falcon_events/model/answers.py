"""Answers to questions, as the Python API returns them."""

from __future__ import annotations

from datetime import datetime
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


class PeopleResult(msgspec.Struct, frozen=True):
    """The answer to tracking.people(): a page of persons, how many there are on all pages, and the cursor of the next page."""

    rows: list[PersonRow] = msgspec.field(name="People")
    count: int = msgspec.field(name="Count")
    next_cursor: str | None = msgspec.field(name="NextCursor")

    @property
    def meta(self) -> dict[str, Any]:
        """The parts of the answer that are no rows, named as in the HTTP answer."""
        return {"Count": self.count, "NextCursor": self.next_cursor}


class TimelineRow(msgspec.Struct, frozen=True):
    """An event of a person. Events of one session have the same `session`, the id of its first event."""

    event_id: str = msgspec.field(name="EventID")
    event: str = msgspec.field(name="Event")
    occurred_at: datetime = msgspec.field(name="OccurredAt")
    received_at: datetime = msgspec.field(name="ReceivedAt")
    uuid: str = msgspec.field(name="UUID")
    properties: dict[str, Any] = msgspec.field(name="Properties")
    session: str = msgspec.field(name="Session")


class TimelineResult(msgspec.Struct, frozen=True):
    """The answer to tracking.timeline(): the person, a page of events, the latest first, and the cursor of the next page."""

    person: PersonRow = msgspec.field(name="Person")
    rows: list[TimelineRow] = msgspec.field(name="Events")
    next_cursor: str | None = msgspec.field(name="NextCursor")

    @property
    def meta(self) -> dict[str, Any]:
        """The parts of the answer that are no rows and no person, named as in the HTTP answer."""
        return {"NextCursor": self.next_cursor}


class ValueRow(msgspec.Struct, frozen=True, rename="pascal"):
    """A value of a dimension, and how many events have it."""

    value: str
    events: int


class ValuesResult(msgspec.Struct, frozen=True):
    """The answer to tracking.values(). `meta` is as in the HTTP answer."""

    rows: list[ValueRow] = msgspec.field(name="Values")
    meta: dict[str, Any] = msgspec.field(name="Meta")


class SavedRow(msgspec.Struct, frozen=True):
    """A saved query or segment: `kind` is `query` or `segment`, and one of the last three fields is not None."""

    name: str = msgspec.field(name="Name")
    kind: str = msgspec.field(name="Kind")
    saved_at: datetime = msgspec.field(name="SavedAt")
    query: dict[str, Any] | None = msgspec.field(name="Query", default=None)
    people: list[Any] | None = msgspec.field(name="People", default=None)
    rules_json: list[Any] | None = msgspec.field(name="RulesJson", default=None)


class SavedResult(msgspec.Struct, frozen=True):
    """The answer to tracking.saved()."""

    rows: list[SavedRow] = msgspec.field(name="Saved")


class SaveResult(msgspec.Struct, frozen=True):
    """The answer to tracking.save()."""

    saved: SavedRow = msgspec.field(name="Saved")


class ForgetResult(msgspec.Struct, frozen=True):
    """The answer to tracking.forget()."""

    forgotten: str = msgspec.field(name="Forgotten")
