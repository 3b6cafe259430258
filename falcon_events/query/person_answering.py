"""Answer questions about persons: who meets conditions or is counted by a number, and what one person did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from falcon_events.errors import Failure
from falcon_events.model.reports import QueryAnswer
from falcon_events.query import compiler, names, person_compiler
from falcon_events.query.codes import DIMENSIONS, LIMITS, PAGE, PERSON
from falcon_events.query.cursors import Cursor, digest_question, read_cursor, write_cursor
from falcon_events.query.expressions import Parameters
from falcon_events.query.funnel import compile_step_people
from falcon_events.query.question import (
    Counted,
    PeopleQuestion,
    PeriodOfRetention,
    Question,
    RowOfQuery,
    StepOfFunnel,
    TimelineQuestion,
)
from falcon_events.query.ranges import render_moment
from falcon_events.query.relations import QuestionScope
from falcon_events.query.retention import express_cohort_people
from falcon_events.query.source import Extent, Source
from falcon_events.query.statements import Run
from falcon_events.query.trends import list_buckets

WRONG_CURSOR = "Cursor: it must be the NextCursor of an answer to the same request."


class MakeSource(Protocol):
    """Returns the relations, up to a seq and of some visitors if these are given."""

    def __call__(self, as_of: int | None, visitors: Sequence[str] | None = None) -> Source:
        """Return the relations."""


class _Refused(Exception):
    """A question cannot be answered, for the reason in `failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def answer_people(
    question: PeopleQuestion, make_source: MakeSource, extent: Extent, session_gap_us: int, run: Run
) -> QueryAnswer:
    """Answer website_events.people. The arguments are those of answer_question()."""
    try:
        cursor = _find_cursor(question, question.cursor)
        as_of, now_us = _fix_moment(question, extent, cursor)
        scope = _make_scope(question, make_source(None if cursor is None else as_of), extent, session_gap_us, now_us)
        parameters = Parameters(scope.source.parameters)
        among = None if question.of is None else _express_counted(question.of, scope, parameters)
    except _Refused as refused:
        return QueryAnswer(failures=[refused.failure])
    limit = question.limit + 1
    rows = run(person_compiler.compile_people(scope, parameters, among, question.order_by, limit, cursor))
    total, found = rows[0][0], [row[1:] for row in rows if row[1] is not None]
    page = found[: question.limit]
    following = None
    if len(found) > len(page):
        following = write_cursor(Cursor(digest_question(question), now_us, as_of, page[-1][5], page[-1][0]))
    persons = [row[0] for row in page]
    visitors = _find_visitors(scope.source, persons, run)
    details = _describe_persons(make_source(None if cursor is None else as_of, visitors), persons, run)
    people = [_render_person(row[1], row[2:5], details(row[0])) for row in page]
    return QueryAnswer(body=msgspec.json.encode({"People": people, "Count": total, "NextCursor": following}))


def answer_timeline(
    question: TimelineQuestion, make_source: MakeSource, extent: Extent, session_gap_us: int, run: Run
) -> QueryAnswer:
    """Answer website_events.timeline. The arguments are those of answer_question()."""
    try:
        cursor = _find_cursor(question, question.cursor)
    except _Refused as refused:
        return QueryAnswer(failures=[refused.failure])
    as_of, now_us = _fix_moment(question, extent, cursor)
    until = None if cursor is None else as_of
    every = make_source(until)
    visitors = [one for (one,) in run(person_compiler.compile_visitors(every, question.named_by, [question.name]))]
    named = run(person_compiler.compile_named(make_source(until, visitors), question.named_by, question.name))
    if not named:
        text = f"{question.named_by}: the list has no events of {question.name[:60]!r}."
        return QueryAnswer(failures=[Failure(PERSON, text)])
    ((person,),) = named
    # Whatever is asked about a person follows from the events of the person's visitors.
    own = _find_visitors(every, [person], run)
    source = make_source(until, own)
    scope = _make_scope(question, source, extent, session_gap_us, now_us)
    details = _describe_persons(source, [person], run)(person)
    profile = run(person_compiler.compile_profile(scope, person))
    address, *seen = profile[0] if profile else (None if person in own else person, None, None, 0)
    rows = run(person_compiler.compile_timeline(scope, question, person, cursor))
    page = rows[: question.limit]
    following = None
    if len(rows) > len(page):
        following = write_cursor(Cursor(digest_question(question), now_us, as_of, page[-1][2], page[-1][7]))
    rendered = _render_person(address, seen, details)
    events = [_render_event(row) for row in page]
    return QueryAnswer(body=msgspec.json.encode({"Person": rendered, "Events": events, "NextCursor": following}))


def _find_cursor(question: PeopleQuestion | TimelineQuestion, text: str | None) -> Cursor | None:
    cursor = None if text is None else read_cursor(text, question)
    if text is not None and cursor is None:
        raise _Refused(Failure(PAGE, WRONG_CURSOR))
    return cursor


def _fix_moment(question: PeopleQuestion | TimelineQuestion, extent: Extent, cursor: Cursor | None) -> tuple[int, int]:
    """Return the newest seq that is looked at and the time of the question: on later pages, those of the first one."""
    return (extent.newest_seq or 0, question.base.now_us) if cursor is None else (cursor.as_of, cursor.now_us)


def _make_scope(
    question: PeopleQuestion | TimelineQuestion, source: Source, extent: Extent, session_gap_us: int, now_us: int
) -> QuestionScope[Any]:
    """Return the scope. Where a number's persons are asked for, the events count that the number looks at."""
    of = question.of if isinstance(question, PeopleQuestion) else None
    about = question.base if of is None else msgspec.structs.replace(of.question, people=[])
    return QuestionScope(msgspec.structs.replace(about, now_us=now_us), source, session_gap_us, extent.limits)


def _express_counted(of: Counted, scope: QuestionScope[Any], parameters: Parameters) -> str:
    """Return the SELECT of the persons whom a number counts."""
    scope = msgspec.structs.replace(scope, question=msgspec.structs.replace(of.question, now_us=scope.question.now_us))
    match of:
        case RowOfQuery():
            return _express_row(of, scope, parameters)
        case StepOfFunnel():
            return compile_step_people(scope, scope.resolve(of.question.date_range), of, parameters)
        case PeriodOfRetention():
            found = express_cohort_people(scope, of, parameters)
            if isinstance(found, Failure):
                raise _Refused(found)
            return found
    raise TypeError(of)


def _express_row(of: RowOfQuery, scope: QuestionScope[Question], parameters: Parameters) -> str:
    counting = scope.question
    period = scope.resolve(counting.date_range)
    buckets = list_buckets(counting, period)
    if len(buckets) > names.MAX_BUCKETS:
        text = f"Of.DateRange: more than {names.MAX_BUCKETS} {counting.time_unit}s, which is the limit."
        raise _Refused(Failure(LIMITS, text))
    key: list[str | int | None] = []
    for number, (name, value) in enumerate(zip(counting.dimensions, of.row, strict=True)):
        if name.startswith("time:"):
            place = next((place for place, bucket in enumerate(buckets) if bucket.label == value), None)
            if place is None:
                text = f"Of.Row.Dimensions[{number}]: {str(value)[:60]!r} is no {name[5:]} of the range."
                raise _Refused(Failure(DIMENSIONS, text))
            key.append(place)
        else:
            key.append(value)
    return compiler.compile_row_people(scope, period, buckets, key, parameters)


def _find_visitors(source: Source, persons: Sequence[str], run: Run) -> list[str]:
    """Return all visitors that events of persons have: those with the person's address, or the person's own."""
    found = [("Email", persons), ("UUID", persons)]
    return [one for by, keys in found for (one,) in run(person_compiler.compile_visitors(source, by, keys))] if persons else []


def _describe_persons(source: Source, persons: Sequence[str], run: Run) -> Callable[[str], dict[str, Any]]:
    """Find the ids, visitors and traits of persons; return a function that tells those of one."""
    if not persons:
        return lambda person: {}
    found = run(person_compiler.compile_identities(source, persons))
    identities: dict[str, tuple[list[str], list[str]]] = {person: (ids, visitors) for person, ids, visitors in found}
    traits: dict[str, dict[str, msgspec.Raw]] = {}
    for person, bound in run(person_compiler.compile_traits(source, persons)):
        traits.setdefault(person, {}).update(msgspec.json.decode(bound, type=dict[str, msgspec.Raw]))
    return lambda person: {
        "IDs": identities[person][0],
        "UUIDs": identities[person][1],
        "Traits": traits.get(person, {}),
    }


def _render_person(address: str | None, seen: Sequence[Any], details: dict[str, Any]) -> dict[str, Any]:
    first, last, events = seen
    return {
        "Email": address,
        "IDs": details["IDs"],
        "UUIDs": details["UUIDs"],
        "FirstSeen": None if first is None else render_moment(first),
        "LastSeen": None if last is None else render_moment(last),
        "Events": events,
        "Traits": details["Traits"],
    }


def _render_event(row: Sequence[Any]) -> dict[str, Any]:
    event_id, event, occurred, received, visitor, properties, session, _ = row
    return {
        "EventID": event_id,
        "Event": event,
        "OccurredAt": render_moment(occurred),
        "ReceivedAt": render_moment(received),
        "UUID": visitor,
        "Properties": msgspec.Raw(properties.encode()),
        "Session": session,
    }
