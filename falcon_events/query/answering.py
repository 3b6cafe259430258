"""Answer a question of any kind: what can be refused before, and which module answers it."""

from __future__ import annotations

from falcon_events.errors import Failure
from falcon_events.model.reports import QueryAnswer
from falcon_events.query import names
from falcon_events.query.funnel import answer_funnel
from falcon_events.query.question import (
    AnyQuestion,
    FunnelQuestion,
    Question,
    RetentionQuestion,
    SegmentCondition,
    ValueCondition,
    walk,
)
from falcon_events.query.relations import QuestionScope
from falcon_events.query.retention import answer_retention
from falcon_events.query.source import Extent, Source
from falcon_events.query.statements import Run
from falcon_events.query.trends import answer_trends


def find_unanswerable(question: AnyQuestion) -> list[Failure]:
    """Return the failures that only the store can find: saved segments that do not exist."""
    return [
        Failure(names.NO_SAVED, f"{one.place}: there is no saved segment {one.name[:60]!r}.")
        for one in walk(question.people)
        if isinstance(one, SegmentCondition)
    ]


def list_patterns(question: AnyQuestion) -> list[tuple[ValueCondition, str]]:
    """Return the regular expressions of a question, each with its condition. Only the database can check them."""
    return [
        (one, str(pattern))
        for one in question.list_conditions()
        if isinstance(one, ValueCondition) and one.operator in ("matches", "matches_not")
        for pattern in one.values
    ]


def answer_question(question: AnyQuestion, source: Source, extent: Extent, session_gap_us: int, run: Run) -> QueryAnswer:
    """Answer a question.

    Args:
        question: the question.
        source: the relations that it reads.
        extent: what the list has.
        session_gap_us: the time without an event that ends a session, in microseconds.
        run: runs a statement and returns its rows.
    """
    match question:
        case Question():
            return answer_trends(QuestionScope(question, source, session_gap_us, extent.limits), extent, run)
        case FunnelQuestion():
            return answer_funnel(QuestionScope(question, source, session_gap_us, extent.limits), extent, run)
        case RetentionQuestion():
            return answer_retention(QuestionScope(question, source, session_gap_us, extent.limits), extent, run)
    raise TypeError(question)
