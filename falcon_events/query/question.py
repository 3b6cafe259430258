"""Checked questions: their conditions, ranges and what they ask for, as the host sends them to the store's owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from falcon_events.model.time_zones import find_time_zone

GivenRange = str | list[str]
"""A range as it was given: `28d`, or two local days or date-times."""
Metric = str | list[str]
"""A metric's name, or an aggregate and the dimension whose values it aggregates."""
Value = str | int | float | bool | None
"""A value of a condition."""


class ValueCondition(msgspec.Struct, frozen=True, tag="value"):
    """Compares the value of a dimension, or of `email`, `first_seen` and `last_seen` where it is about persons.

    `place` is where it stands in the request, for messages.
    """

    operator: str
    dimension: str
    values: list[Value]
    case_sensitive: bool
    place: str


class DoneCondition(msgspec.Struct, frozen=True, tag="done"):
    """Counts the events of a person that match. `negative` is `has_not_done`."""

    negative: bool
    event: str | None
    filters: list[Condition]
    operator: str
    count: int
    within: GivenRange | None
    outside: bool = False
    """Whether events count that did not happen within `within`."""


class SegmentCondition(msgspec.Struct, frozen=True, tag="segment"):
    """Holds for the persons of a saved segment. `parts` are the segment's conditions, once the store has found them."""

    name: str
    place: str
    parts: list[Condition] | None = None


class NotCondition(msgspec.Struct, frozen=True, tag="not"):
    """The exact complement of a condition."""

    inner: Condition


class AllConditions(msgspec.Struct, frozen=True, tag="and"):
    """Holds where all parts do."""

    parts: list[Condition]


class AnyCondition(msgspec.Struct, frozen=True, tag="or"):
    """Holds where one of its parts does."""

    parts: list[Condition]


Condition = ValueCondition | DoneCondition | SegmentCondition | NotCondition | AllConditions | AnyCondition


class EventKind(msgspec.Struct, frozen=True):
    """The events of a type that meet conditions: a step of a funnel, the start or the return of a retention."""

    event: str | None = None
    filters: list[Condition] = []


class AnyQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that every question has. They are well-formed; ranges may be relative to `now_us`.

    Questions of other kinds have one as their `base`, for the list, the time zone, filters and conditions on persons.
    """

    list_id: int
    now_us: int
    """The time of the question, in microseconds since 1970."""
    time_zone: str = "UTC"
    week_start: str = "monday"
    date_range: GivenRange = "28d"
    filters: list[Condition] = []
    people: list[Condition] = []

    @property
    def zone(self) -> Any:
        """The time zone of local days. UTC where this machine does not know the name."""
        return find_time_zone(self.time_zone) or find_time_zone("UTC")

    @property
    def kinds(self) -> list[EventKind]:
        """The kinds of events that the question is about; each of them must also meet `filters`. Empty: all events."""
        return []

    def list_conditions(self) -> Iterator[ValueCondition | DoneCondition | SegmentCondition]:
        """Yield all conditions that are no combination of others."""
        of_kinds = [one for kind in self.kinds for one in kind.filters]
        return walk_deeply([*self.filters, *of_kinds, *self.people])

    def list_dimensions(self) -> set[str]:
        """Return the names of all dimensions that the question uses anywhere."""
        return {one.dimension for one in self.list_conditions() if isinstance(one, ValueCondition)}


class Question(AnyQuestion, frozen=True, kw_only=True, tag="query"):
    """A question of website_events.query."""

    metrics: list[Metric] = msgspec.field(default_factory=lambda: ["people", "events"])
    dimensions: list[str] = []
    order_by: list[tuple[Metric, str]] = []
    limit: int = 100
    offset: int = 0
    compare: GivenRange | None = None
    include: list[str] = []

    @property
    def time_place(self) -> int | None:
        """The place of the time dimension among the dimensions; None if there is none."""
        return next((place for place, name in enumerate(self.dimensions) if name.startswith("time:")), None)

    @property
    def time_unit(self) -> str | None:
        """The unit of the time dimension, such as `day`; None if there is no time dimension."""
        return None if self.time_place is None else self.dimensions[self.time_place].removeprefix("time:")

    @property
    def order(self) -> list[tuple[Metric, str]]:
        """The order that is asked for; else by time, else by the first metric, the highest first."""
        if self.order_by:
            return self.order_by
        return [(self.metrics[0], "desc")] if self.time_place is None else [(self.dimensions[self.time_place], "asc")]

    def list_dimensions(self) -> set[str]:
        """Return the names of all dimensions that the question uses anywhere."""
        aggregated = {metric[1] for metric in self.metrics if isinstance(metric, list)}
        return super().list_dimensions() | set(self.dimensions) | aggregated


class FunnelQuestion(AnyQuestion, frozen=True, kw_only=True, tag="funnel"):
    """A question of website_events.funnel. `window_us` is the given `window` in microseconds."""

    steps: list[EventKind]
    window: str = "7d"
    window_us: int = 7 * 86_400_000_000
    order: str = "sequential"
    by: str = "people"
    breakdown: str | None = None
    compare: GivenRange | None = None

    @property
    def kinds(self) -> list[EventKind]:
        """The steps."""
        return self.steps

    def list_dimensions(self) -> set[str]:
        """Return the names of all dimensions that the question uses anywhere."""
        return super().list_dimensions() | ({self.breakdown} if self.breakdown is not None else set())


class RetentionQuestion(AnyQuestion, frozen=True, kw_only=True, tag="retention"):
    """A question of website_events.retention. `return_` is the parameter Return."""

    start: EventKind = EventKind()
    return_: EventKind = EventKind()
    unit: str = "week"
    periods: int = 12
    first: str = "ever"
    mode: str = "calendar"
    by: str = "people"

    @property
    def kinds(self) -> list[EventKind]:
        """The start and the return."""
        return [self.start, self.return_]


class RowOfQuery(msgspec.Struct, frozen=True, tag="row"):
    """The persons whom a row of a query counts. `row` has the values of its dimensions, a time as its label."""

    question: Question
    row: list[str | None]


class StepOfFunnel(msgspec.Struct, frozen=True, tag="step"):
    """The persons who reached a step, counted from 1; if `dropped`, those who reached the step before it and not it.

    `row` has the value of the breakdown that they have at the first step; None: whatever it is.
    """

    question: FunnelQuestion
    step: int
    dropped: bool
    row: list[str | None] | None


class PeriodOfRetention(msgspec.Struct, frozen=True, tag="period"):
    """The persons of a cohort, given by its label, who came back in a period, counted from 0; None: the whole cohort."""

    question: RetentionQuestion
    cohort: str
    period: int | None


Counted = RowOfQuery | StepOfFunnel | PeriodOfRetention
"""The numbers of another answer that `Of` can name, whose persons are asked for."""


class PeopleQuestion(msgspec.Struct, frozen=True, kw_only=True, tag="people"):
    """A question of website_events.people. The conditions are those of `base`."""

    base: Question
    of: Counted | None = None
    order_by: tuple[str, str] = ("last_seen", "desc")
    limit: int = 100
    cursor: str | None = None


class TimelineQuestion(msgspec.Struct, frozen=True, kw_only=True, tag="timeline"):
    """A question of website_events.timeline. `named_by` is `Email`, `ID` or `UUID`; the filters are those of `base`."""

    base: Question
    named_by: str
    name: str
    limit: int = 100
    cursor: str | None = None


class ValuesQuestion(msgspec.Struct, frozen=True, kw_only=True, tag="values"):
    """A question of website_events.values. `base` has the dimension, the range and the conditions."""

    base: Question
    prefix: str = ""
    limit: int = 100


class SavedQuestion(msgspec.Struct, frozen=True, kw_only=True, tag="saved"):
    """The question which queries and segments of a list are saved."""

    base: Question


class Saving(msgspec.Struct, frozen=True, kw_only=True, tag="save"):
    """A query or segment to save. `base` has its conditions; `definition` is JSON in the form of the request."""

    base: Question
    name: str
    kind: str
    definition: str


class Forgetting(msgspec.Struct, frozen=True, kw_only=True, tag="forget"):
    """The name of a saved query or segment to forget."""

    base: Question
    name: str


OfPersons = PeopleQuestion | TimelineQuestion | ValuesQuestion | SavedQuestion | Saving | Forgetting
Asked = Question | FunnelQuestion | RetentionQuestion | OfPersons
"""All questions, as the host sends them to the store's owner."""


def find_base(asked: Asked) -> AnyQuestion:
    """Return the question that has the list, the time zone and the conditions."""
    return asked if isinstance(asked, AnyQuestion) else asked.base


def replace_people(asked: Asked, people: list[Condition]) -> Asked:
    """Return the question with other conditions on persons."""
    if isinstance(asked, AnyQuestion):
        return msgspec.structs.replace(asked, people=people)
    return msgspec.structs.replace(asked, base=msgspec.structs.replace(asked.base, people=people))


encode_question = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(Asked).decode


def walk(conditions: Sequence[Condition]) -> Iterator[ValueCondition | DoneCondition | SegmentCondition]:
    """Yield the conditions that are no combination of others. The filters within a DoneCondition are not walked."""
    for condition in conditions:
        match condition:
            case NotCondition(inner):
                yield from walk([inner])
            case AllConditions(parts) | AnyCondition(parts):
                yield from walk(parts)
            case SegmentCondition(parts=list() as parts):
                yield from walk(parts)
            case _:
                yield condition


def walk_deeply(conditions: Sequence[Condition]) -> Iterator[ValueCondition | DoneCondition | SegmentCondition]:
    """Yield the conditions that are no combination of others, with the filters within DoneConditions."""
    for condition in walk(conditions):
        yield condition
        if isinstance(condition, DoneCondition):
            yield from walk_deeply(condition.filters)


def replace_leaves(condition: Condition, replace: Callable[[Condition], Condition]) -> Condition:
    """Return a condition in which those that are no combination of others are replaced."""
    match condition:
        case NotCondition(inner):
            return NotCondition(replace_leaves(inner, replace))
        case AllConditions(parts):
            return AllConditions([replace_leaves(one, replace) for one in parts])
        case AnyCondition(parts):
            return AnyCondition([replace_leaves(one, replace) for one in parts])
    return replace(condition)


def render_condition(condition: Condition) -> list[Any]:
    """Return a condition in the form of the request."""
    match condition:
        case ValueCondition(operator, dimension, values, case_sensitive, _):
            given: list[Any] = [operator, dimension, values]
            return given if case_sensitive else [*given, {"case_sensitive": False}]
        case DoneCondition():
            counted: dict[str, Any] = {} if condition.event is None else {"Event": condition.event}
            if condition.filters:
                counted["Filters"] = [render_condition(one) for one in condition.filters]
            counted["Count"] = [condition.operator, condition.count]
            if condition.within is not None:
                counted["Within"] = condition.within
            return ["has_not_done" if condition.negative else "has_done", counted]
        case SegmentCondition(name):
            return ["in", name]
        case NotCondition(inner):
            return ["not", render_condition(inner)]
        case AllConditions(parts):
            return ["and", [render_condition(one) for one in parts]]
        case AnyCondition(parts):
            return ["or", [render_condition(one) for one in parts]]


def render_question(question: AnyQuestion) -> dict[str, Any]:
    """Return a question in the form of the request, without credentials."""
    rendered: dict[str, Any] = {
        "ListID": question.list_id,
        "DateRange": question.date_range,
        "TimeZone": question.time_zone,
        "WeekStart": question.week_start,
        "Filters": [render_condition(one) for one in question.filters],
        "People": [render_condition(one) for one in question.people],
    }
    match question:
        case Question():
            rendered |= {
                "Metrics": question.metrics,
                "Dimensions": question.dimensions,
                "OrderBy": [list(one) for one in question.order_by],
                "Limit": question.limit,
                "Offset": question.offset,
                "Compare": question.compare,
                "Include": question.include,
            }
        case FunnelQuestion():
            rendered |= {
                "Steps": [_render_kind(one) for one in question.steps],
                "Window": question.window,
                "Order": question.order,
                "By": question.by,
                "Breakdown": question.breakdown,
                "Compare": question.compare,
            }
        case RetentionQuestion():
            rendered |= {
                "Start": _render_kind(question.start),
                "Return": _render_kind(question.return_),
                "Unit": question.unit,
                "Periods": question.periods,
                "First": question.first,
                "Mode": question.mode,
                "By": question.by,
            }
    return rendered


def _render_kind(kind: EventKind) -> dict[str, Any]:
    rendered: dict[str, Any] = {} if kind.event is None else {"Event": kind.event}
    return rendered | ({"Filters": [render_condition(one) for one in kind.filters]} if kind.filters else {})
