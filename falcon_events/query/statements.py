"""Statements that answers consist of: how they are put together, the choice of persons, and the warnings of any question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from falcon_events.errors import Failure
from falcon_events.query import names
from falcon_events.query.buckets import Bucket
from falcon_events.query.codes import LIMITS
from falcon_events.query.expressions import CTE, Parameters, express_all, express_dimension, express_number
from falcon_events.query.question import Condition, EventKind, Question, ValueCondition, walk
from falcon_events.query.ranges import Period
from falcon_events.query.relations import (
    CHOSEN,
    ENRICHED,
    QuestionScope,
    build_events,
    build_persons,
    express_kind,
    express_period,
)


class Statement(msgspec.Struct, frozen=True):
    """A SELECT and its parameters."""

    sql: str
    parameters: dict[str, Any]


class QuestionRefused(Exception):
    """A question cannot be answered, for the reason in `failure`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


Run = Callable[[Statement], list[tuple[Any, ...]]]
"""Runs a statement and returns its rows."""


def limit_buckets(buckets: Sequence[Bucket], unit: str | None) -> None:
    """Raise QuestionRefused if a range has more buckets than an answer may have."""
    if len(buckets) > names.MAX_BUCKETS:
        text = f"DateRange: more than {names.MAX_BUCKETS} {unit}s, which is the limit. Give a shorter range."
        raise QuestionRefused(LIMITS, text)


def join_relations(relations: Sequence[CTE], select: str, read_once: Sequence[str] = ()) -> str:
    """Return the text of a statement: common table expressions, and the SELECT that reads them.

    `read_once` has the names of small relations that several others read.
    """
    defined = [f"{name} as {'materialized ' if name in read_once else ''}({body})" for name, body in relations]
    return "with " + ",\n".join(defined) + "\n" + select


def choose_people(scope: QuestionScope[Any], parameters: Parameters, relations: list[CTE]) -> str:
    """Add the relations of the chosen persons, and return the condition that an event is of one of them."""
    if not scope.question.people:
        return ""
    relations += build_persons(scope, parameters, scope.question.people)
    return f" and person_key in (select person_key from {CHOSEN})"


def list_warnings(scope: QuestionScope[Any], period: Period | None, run: Run) -> list[dict[str, Any]]:
    """Return the warnings of an answer: how many events have a value that is compared or computed as a number and is none.

    An event counts if every filter holds for it that does not compare this dimension as a number.

    Args:
        scope: the question.
        period: when the events happened; None: at any time.
        run: runs a statement.
    """
    dimensions, statement = _compile_warnings(scope, period)
    return render_warnings(dimensions, run(statement)[0] if statement is not None else ())


def list_computed(question: Question) -> list[str]:
    """Return the dimensions that metrics compute with, if the events that these look at are those that warnings count."""
    return [] if _list_compared(question.filters) else _list_computed(question)


def render_warnings(dimensions: Sequence[str], counts: Sequence[int]) -> list[dict[str, Any]]:
    """Return the warnings about dimensions, of whose values so many are no numbers."""
    return [
        {"Code": "not_a_number", "Name": name, "Events": events}
        for name, events in zip(dimensions, counts, strict=True)
        if events
    ]


def _compile_warnings(scope: QuestionScope[Any], period: Period | None) -> tuple[list[str], Statement | None]:
    question = scope.question
    computed = _list_computed(question) if isinstance(question, Question) else []
    kinds = question.kinds or [EventKind()]
    compared = _list_compared([*question.filters, *(one for kind in kinds for one in kind.filters)])
    dimensions = list(dict.fromkeys([*computed, *compared]))
    if not dimensions:
        return [], None
    parameters = Parameters(scope.source)
    relations = build_events(scope, parameters, sessions=False, orders=False)
    in_general = {*computed, *_list_compared(question.filters)}
    counts = []
    for name in dimensions:
        text = express_dimension(name, parameters).text
        others = express_all(_list_others(question.filters, name), parameters)
        needed = [kind for kind in kinds if name in in_general or name in _list_compared(kind.filters)]
        of_kinds = [
            express_kind(question, msgspec.structs.replace(kind, filters=_list_others(kind.filters, name)), parameters)
            for kind in needed
        ]
        no_number = f"{text} is not null and {express_number(text)} is null"
        counts.append(f"count(*) filter (where {no_number} and {others} and ({' or '.join(of_kinds)}))")
    chosen = choose_people(scope, parameters, relations)
    when = "" if period is None else f" and {express_period(period, parameters)}"
    select = f"select {', '.join(counts)} from {ENRICHED} where is_shown{when}{chosen}"
    return dimensions, Statement(join_relations(relations, select), parameters.values)


def _list_computed(question: Question) -> list[str]:
    """Return the dimensions whose numbers metrics compute with."""
    return list(dict.fromkeys(one[1] for one in question.metrics if isinstance(one, list) and one[0] != "distinct"))


def _list_others(conditions: Sequence[Condition], dimension: str) -> list[Condition]:
    """Return the conditions that do not compare a dimension as a number."""
    return [one for one in conditions if dimension not in _list_compared([one])]


def _list_compared(conditions: Sequence[Condition]) -> list[str]:
    """Return the dimensions that conditions compare as numbers."""
    return [
        one.dimension for one in walk(conditions) if isinstance(one, ValueCondition) and one.operator in names.NUMBER_OPERATORS
    ]
