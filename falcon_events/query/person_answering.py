"""Answer questions about persons: who meets conditions or is counted by a number, and what one person did."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

import msgspec

from falcon_events.model.reports import QueryAnswer
from falcon_events.query import person_compiler
from falcon_events.query.codes import DIMENSIONS, PAGE, PERSON
from falcon_events.query.compiler import compile_row_people
from falcon_events.query.cursors import Cursor, digest_question, read_cursor, write_cursor
from falcon_events.query.expressions import Parameters
from falcon_events.query.funnel import compile_step_people
from falcon_events.query.narrowing import compile_candidates
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
from falcon_events.query.retention import compile_cohort_people
from falcon_events.query.source import Extent, Source
from falcon_events.query.statements import QuestionRefused, Run
from falcon_events.query.trends import list_buckets

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WRONG_CURSOR = "Cursor: it must be the NextCursor of an answer to the same request."


class MakeSource(Protocol):
    """Returns the relations, up to a seq, and of some visitors or persons if these are given."""

    def __call__(self, as_of: int | None, visitors: Sequence[str] | None = None, among: str | None = None) -> Source:
        """Return the relations. `among` is a SELECT of the keys of persons."""


class _Page(msgspec.Struct, frozen=True):
    """A page of an answer: where it begins, the newest seq that is looked at, and the time of the question.

    The last two are those of the first page.
    """

    question: PeopleQuestion | TimelineQuestion
    cursor: Cursor | None
    as_of: int
    now_us: int

    @property
    def until(self) -> int | None:
        """The newest seq that the relations have; None: all that there are, as on a first page."""
        return None if self.cursor is None else self.as_of

    def cut(self, rows: Sequence[Any], key: int, tie: int) -> tuple[Sequence[Any], str | None]:
        """Return the rows of the page, and the cursor of the next one if there are more; None: it is the last page.

        Args:
            rows: the rows, one more than the page has where there is another page.
            key: the column by which they are ordered.
            tie: the column by which those are ordered that have the same key.
        """
        page = rows[: self.question.limit]
        if len(page) == len(rows):
            return page, None
        last = page[-1]
        return page, write_cursor(Cursor(digest_question(self.question), self.now_us, self.as_of, last[key], last[tie]))


def answer_people(
    question: PeopleQuestion, make_source: MakeSource, extent: Extent, session_gap_us: int, run: Run
) -> QueryAnswer:
    """Answer website_events.people. The arguments are those of answer_question()."""
    page = _find_page(question, extent)
    source = make_source(page.until)
    scope = _make_scope(page, source, extent, session_gap_us)
    parameters = Parameters(source)
    if question.of is None and (candidates := compile_candidates(scope, parameters, run)) is not None:
        scope = msgspec.structs.replace(scope, source=make_source(page.until, None, candidates))
    among = None if question.of is None else _compile_counted(question.of, scope, parameters)
    limit = question.limit + 1
    found = run(person_compiler.compile_people(scope, parameters, among, question.order_by, limit, page.cursor))
    rows, following = page.cut([row[1:] for row in found if row[1] is not None], key=5, tie=0)
    persons = [row[0] for row in rows]
    details = _describe_persons(make_source(page.until, _find_visitors(source, persons, run)), persons, run)
    people = [_render_person(row[1], row[2:5], details(row[0])) for row in rows]
    return QueryAnswer(body=msgspec.json.encode({"People": people, "Count": found[0][0], "NextCursor": following}))


def answer_timeline(
    question: TimelineQuestion, make_source: MakeSource, extent: Extent, session_gap_us: int, run: Run
) -> QueryAnswer:
    """Answer website_events.timeline. The arguments are those of answer_question()."""
    page = _find_page(question, extent)
    every = make_source(page.until)
    visitors = [one for (one,) in run(person_compiler.compile_visitors(every, question.named_by, [question.name]))]
    person, own = question.name, visitors
    if question.named_by != "Email":
        found = run(person_compiler.compile_named(make_source(page.until, visitors), question.named_by, question.name))
        ((person,),) = found or _refuse_unknown(question)
        own = _find_visitors(every, [person], run)
    # Whatever is asked about a person follows from the events of the person's visitors.
    source = make_source(page.until, own)
    scope = _make_scope(page, source, extent, session_gap_us)
    found = run(person_compiler.compile_timeline(scope, question, person, page.cursor)) or _refuse_unknown(question)
    ids, known, *seen = found[0][:5]
    address = None if person in own else person
    rows, following = page.cut([row[5:] for row in found if row[5] is not None], key=2, tie=7)
    rendered = _render_person(address, seen, _render_identity(ids, known, _read_traits(source, [person], run).get(person, {})))
    events = [_render_event(row) for row in rows]
    return QueryAnswer(body=msgspec.json.encode({"Person": rendered, "Events": events, "NextCursor": following}))


def _refuse_unknown(question: TimelineQuestion) -> NoReturn:
    raise QuestionRefused(PERSON, f"{question.named_by}: the list has no events of {question.name[:60]!r}.")


def _find_page(question: PeopleQuestion | TimelineQuestion, extent: Extent) -> _Page:
    if question.cursor is None:
        return _Page(question, None, extent.as_of, question.base.now_us)
    cursor = read_cursor(question.cursor, question)
    if cursor is None:
        raise QuestionRefused(PAGE, WRONG_CURSOR)
    return _Page(question, cursor, cursor.as_of, cursor.now_us)


def _make_scope(page: _Page, source: Source, extent: Extent, session_gap_us: int) -> QuestionScope[Any]:
    """Return the scope. Where a number's persons are asked for, the events count that the number looks at."""
    question = page.question
    of = question.of if isinstance(question, PeopleQuestion) else None
    about = question.base if of is None else msgspec.structs.replace(of.question, people=[])
    return QuestionScope(
        msgspec.structs.replace(about, now_us=page.now_us), source, session_gap_us, extent.limits, extent.deletion
    )


def _compile_counted(of: Counted, scope: QuestionScope[Any], parameters: Parameters) -> str:
    """Return the SELECT of the persons whom a number counts."""
    scope = msgspec.structs.replace(scope, question=msgspec.structs.replace(of.question, now_us=scope.question.now_us))
    try:
        match of:
            case RowOfQuery():
                return _compile_row(of, scope, parameters)
            case StepOfFunnel():
                return compile_step_people(scope, scope.resolve(of.question.date_range), of, parameters)
            case PeriodOfRetention():
                return compile_cohort_people(scope, of, parameters)
    except QuestionRefused as refused:
        code, message = refused.failure
        raise QuestionRefused(code, f"Of.{message}") from None
    raise TypeError(of)


def _compile_row(of: RowOfQuery, scope: QuestionScope[Question], parameters: Parameters) -> str:
    counting = scope.question
    period = scope.resolve(counting.date_range)
    buckets = list_buckets(counting, period)
    key: list[str | int | None] = [*of.row]
    if (number := counting.time_place) is not None:
        label = of.row[number]
        place = next((place for place, bucket in enumerate(buckets) if bucket.label == label), None)
        if place is None:
            text = f"{str(label)[:60]!r} is no {counting.time_unit} of the range."
            raise QuestionRefused(DIMENSIONS, f"Row.Dimensions[{number}]: {text}")
        key[number] = place
    return compile_row_people(scope, period, buckets, key, parameters)


def _find_visitors(source: Source, persons: Sequence[str], run: Run) -> list[str]:
    """Return all visitors that events of persons have: those with the person's address, or the person's own."""
    given = {"Email": persons, "UUID": [person for person in persons if _UUID.fullmatch(person)]}
    statements = [person_compiler.compile_visitors(source, by, some) for by, some in given.items() if some]
    return [visitor for statement in statements for (visitor,) in run(statement)]


def _describe_persons(source: Source, persons: Sequence[str], run: Run) -> Callable[[str], dict[str, Any]]:
    """Find the ids, visitors and traits of persons; return a function that tells those of one."""
    if not persons:
        return lambda person: {}
    found = run(person_compiler.compile_identities(source, persons))
    identities: dict[str, tuple[list[str], list[str]]] = {person: (ids, visitors) for person, ids, visitors in found}
    traits = _read_traits(source, persons, run)
    return lambda person: _render_identity(*identities[person], traits.get(person, {}))


def _read_traits(source: Source, persons: Sequence[str], run: Run) -> dict[str, dict[str, msgspec.Raw]]:
    """Return the traits of persons that have any."""
    traits: dict[str, dict[str, msgspec.Raw]] = {}
    for person, bound in run(person_compiler.compile_traits(source, persons)):
        traits.setdefault(person, {}).update(msgspec.json.decode(bound, type=dict[str, msgspec.Raw]))
    return traits


def _render_identity(ids: list[str], visitors: list[str], traits: dict[str, msgspec.Raw]) -> dict[str, Any]:
    return {"IDs": ids, "UUIDs": visitors, "Traits": traits}


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
