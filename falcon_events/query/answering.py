"""Answer a question: choose the statements of its kind, and make the answer from their rows. Runs no statement itself."""

from __future__ import annotations

from typing import Any

import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query.compiler import compile_values
from falcon_events.query.deletion import list_deletion_warnings
from falcon_events.query.funnel import answer_funnel
from falcon_events.query.person_answering import MakeSource, answer_people, answer_timeline
from falcon_events.query.question import (
    Asked,
    FunnelQuestion,
    PeopleQuestion,
    Question,
    RetentionQuestion,
    TimelineQuestion,
    ValuesQuestion,
)
from falcon_events.query.relations import Q, QuestionScope
from falcon_events.query.retention import answer_retention
from falcon_events.query.source import Extent
from falcon_events.query.statements import QuestionRefused, Run
from falcon_events.query.trends import answer_trends


def answer_question(asked: Asked, make_source: MakeSource, extent: Extent, session_gap_us: int, run: Run) -> QueryAnswer:
    """Answer a question about the events of a list.

    Args:
        asked: the question.
        make_source: returns the relations that it reads.
        extent: what the list has.
        session_gap_us: the time without an event that ends a session, in microseconds.
        run: runs a statement and returns its rows.
    """

    def scope(question: Q) -> QuestionScope[Q]:
        return QuestionScope(question, make_source(None), session_gap_us, extent.limits, extent.deletion)

    try:
        match asked:
            case Question():
                return answer_trends(scope(asked), extent, run)
            case FunnelQuestion():
                return answer_funnel(scope(asked), extent, run)
            case RetentionQuestion():
                return answer_retention(scope(asked), extent, run)
            case PeopleQuestion():
                return answer_people(asked, make_source, extent, session_gap_us, run)
            case TimelineQuestion():
                return answer_timeline(asked, make_source, extent, session_gap_us, run)
            case ValuesQuestion():
                return _answer_values(asked, scope(asked.base), extent, run)
    except QuestionRefused as refused:
        return QueryAnswer(failures=[refused.failure])
    raise TypeError(asked)


def _answer_values(asked: ValuesQuestion, scope: QuestionScope[Question], extent: Extent, run: Run) -> QueryAnswer:
    rows = run(compile_values(scope, scope.resolve(asked.base.date_range), asked.prefix, asked.limit))
    values = [{"Value": value, "Events": events} for value, events in rows]
    meta: dict[str, Any] = {"AsOf": extent.as_of}
    if warnings := list_deletion_warnings(asked.base, [scope.resolve(asked.base.date_range)], extent.deletion):
        meta["Warnings"] = warnings
    return QueryAnswer(body=msgspec.json.encode({"Values": values, "Meta": meta}))
