"""Find the few persons who can meet the conditions of a question about persons, so that only their events are read.

A condition that somebody has done something a number of times reads the events of that kind alone. If these are few, the persons
who have enough of them are found first. All others fail that condition, also when only some of their events are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from falcon_events.query import names
from falcon_events.query.expressions import Parameters
from falcon_events.query.question import AllConditions, Condition, DoneCondition
from falcon_events.query.relations import ENRICHED, QuestionScope, build_events, express_done
from falcon_events.query.statements import Run, Statement, join_relations

LEAST_EVENTS = 100_000
"""With fewer events in the list, all of them are read in no time."""
MOST_SHARE = 4
"""At most every fourth event is of the kind that is counted first."""


def compile_candidates(scope: QuestionScope[Any], parameters: Parameters, run: Run) -> str | None:
    """Return the SELECT of the keys of all persons who can meet the conditions; None: it does not pay to look for them.

    Args:
        scope: has the conditions on persons.
        parameters: receives the parameters of the SELECT.
        run: runs a statement and returns its rows.
    """
    needed = list(_list_needed(scope.question.people))
    if not needed or scope.question.list_dimensions() & {*names.SESSION_DIMENSIONS, *names.CAMPAIGN_DIMENSIONS}:
        return None
    ((*counts, events),) = run(_compile_counts(scope, needed))
    if events < LEAST_EVENTS or min(counts) * MOST_SHARE > events:
        return None
    done = needed[counts.index(min(counts))]
    relations = build_events(scope, parameters, sessions=False, orders=False)
    enough = f"count(*) {names.COUNT_OPERATORS[done.operator]} {parameters.add(done.count)}"
    counted = f"from {ENRICHED} where {express_done(scope, done, parameters)} group by person_key having {enough}"
    return join_relations(relations, f"select person_key {counted}")


def _list_needed(conditions: Sequence[Condition]) -> Iterator[DoneCondition]:
    """Yield the conditions that nobody can do without, and that nobody meets with fewer events."""
    for condition in conditions:
        match condition:
            case AllConditions():
                yield from _list_needed(condition.parts)
            case DoneCondition(negative=False, operator=">=") if condition.count >= 1:
                yield condition
            case DoneCondition(negative=False, operator=">"):
                yield condition


def _compile_counts(scope: QuestionScope[Any], needed: Sequence[DoneCondition]) -> Statement:
    """Return the SELECT of how many events each condition counts, and of how many there are."""
    parameters = Parameters(scope.source)
    relations = build_events(scope, parameters, sessions=False, orders=False)
    counts = ", ".join(f"count(*) filter (where {express_done(scope, one, parameters)})" for one in needed)
    return Statement(join_relations(relations, f"select {counts}, count(*) from {ENRICHED}"), parameters.values)
