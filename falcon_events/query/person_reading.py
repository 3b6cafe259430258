"""Read the parameters of questions about persons: website_events.people and website_events.timeline."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from falcon_events.errors import Failure
from falcon_events.query.codes import DIMENSIONS, FILTERS, LIMITS, ORDER, PAGE, PEOPLE, PERSON, STEPS
from falcon_events.query.conditions_reading import Failures, show
from falcon_events.query.question import (
    Condition,
    Counted,
    FunnelQuestion,
    PeopleQuestion,
    PeriodOfRetention,
    Question,
    RetentionQuestion,
    RowOfQuery,
    StepOfFunnel,
    TimelineQuestion,
)
from falcon_events.query.reading import (
    FUNNEL_PARAMETERS,
    QUERY_PARAMETERS,
    RETENTION_PARAMETERS,
    Reading,
    match_names,
    read_funnel,
    read_number,
    read_question,
    read_retention,
)
from falcon_events.query.rules_reading import read_rules

ORDERS = {"last_seen": "desc", "first_seen": "desc", "events": "desc", "email": "asc"}
"""The names that persons can be ordered by, with the direction that each has by default."""
NAMED_BY = ("Email", "ID", "UUID")
MAX_PEOPLE = 1_000
MAX_EVENTS = 1_000
MAX_CURSOR = 4_096
"""How many characters a cursor may have: an address is in some."""


def read_people_question(
    params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int
) -> PeopleQuestion | list[Failure]:
    """Read the parameters of website_events.people, as read_question() does."""
    reading = Reading(params, list_id, default_zone, now_us)
    given, failures = reading.given, reading.failures
    contents = [name for name in ("People", "RulesJson", "Of") if name in given]
    if len(contents) > 1:
        failures.add(PEOPLE, f"{contents[1]}: give either {' or '.join(contents)}.")
        return failures.found
    people: list[Condition] = []
    of: Counted | None = None
    if "Of" in given:
        of = _read_of(given["Of"], list_id, default_zone, now_us, failures)
    elif "RulesJson" in given:
        people = read_rules("RulesJson", given["RulesJson"], failures)
    else:
        people = reading.conditions.read_people("People", given.get("People", []), PEOPLE)
    question = PeopleQuestion(
        base=Question(**reading.read_days(), people=people),
        of=of,
        order_by=_read_order(given.get("OrderBy", "last_seen"), failures),
        limit=read_number("Limit", given.get("Limit", 100), 1, MAX_PEOPLE, failures, over=LIMITS),
        cursor=_read_cursor(given.get("Cursor"), failures),
    )
    return reading.finish(question, "People")


def read_timeline_question(
    params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int
) -> TimelineQuestion | list[Failure]:
    """Read the parameters of website_events.timeline, as read_question() does."""
    reading = Reading(params, list_id, default_zone, now_us)
    given, failures = reading.given, reading.failures
    names = [name for name in NAMED_BY if name in given]
    named_by, name = "Email", ""
    if len(names) != 1:
        failures.add(PERSON, f"{names[1] if names else 'Email'}: give one of Email, ID and UUID.")
    else:
        (named_by,) = names
        name = _read_name(named_by, given[named_by], failures)
    question = TimelineQuestion(
        base=Question(**reading.fixed, filters=reading.conditions.read_filters("Filters", given.get("Filters", []), FILTERS)),
        named_by=named_by,
        name=name,
        limit=read_number("Limit", given.get("Limit", 100), 1, MAX_EVENTS, failures, over=LIMITS),
        cursor=_read_cursor(given.get("Cursor"), failures),
    )
    return reading.finish(question, "Filters")


def _read_name(named_by: str, given: object, failures: Failures) -> str:
    if named_by == "ID" and isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str) or not given:
        failures.add(PERSON, f"{named_by}: {show(given)} must be text.")
        return ""
    if named_by == "UUID":
        try:
            return str(uuid.UUID(given)) if len(given) == 36 else _refuse_uuid(given, failures)
        except ValueError:
            return _refuse_uuid(given, failures)
    return given.lower() if named_by == "Email" else given


def _refuse_uuid(given: str, failures: Failures) -> str:
    failures.add(PERSON, f"UUID: {show(given)} must be a UUID in the 36-character form.")
    return ""


def _read_order(given: object, failures: Failures) -> tuple[str, str]:
    name, direction = given if isinstance(given, list) and len(given) == 2 else (given, None)
    if isinstance(name, str) and name in ORDERS and direction in (None, "asc", "desc"):
        return name, direction or ORDERS[name]
    failures.add(ORDER, f'OrderBy: {show(given)} must be {", ".join(ORDERS)}, or such as ["events", "asc"].')
    return "last_seen", "desc"


def _read_cursor(given: object, failures: Failures) -> str | None:
    if given is None or (isinstance(given, str) and 0 < len(given) <= MAX_CURSOR):
        return given
    failures.add(PAGE, f"Cursor: {show(given)} must be the NextCursor of an answer.")
    return None


def _read_of(given: object, list_id: int, default_zone: str, now_us: int, failures: Failures) -> Counted | None:
    """Read a request and which of its numbers is meant: a row of a query, a step of a funnel or a period of a retention."""
    members = {name.lower() for name in given} if isinstance(given, dict) else set()
    number = next((name for name in ("Step", "Cohort") if name.lower() in members), "Row")
    question, reads, parameters, read_counted = _COUNTED[number]
    if not isinstance(given, dict):
        failures.add(PEOPLE, f"Of: {show(given)} must be the parameters of another question, with Row, Step or Cohort.")
        return None
    params, unknown = match_names(given, (*parameters, "ListID"))
    if unknown:
        failures.add(PEOPLE, f"Of: {show(min(unknown))} is no parameter of website_events.{question} or {number}.")
        return None
    if params.get("ListID") is not None and str(params["ListID"]) != str(list_id):
        failures.add(PEOPLE, "Of.ListID: it must be the same list as that of the request.")
    read = reads(params, list_id, default_zone, now_us)
    if isinstance(read, list):
        failures.add_nested("Of", read)
        return None
    if getattr(read, "by", "people") != "people":
        failures.add(PEOPLE, f'Of.By: {show(read.by)} must be "people": only these can be listed.')
        return None
    return read_counted(read, params, failures)


def _read_row(question: Question, params: dict[str, Any], failures: Failures) -> Counted | None:
    """Read which row of a query is meant."""
    values = _read_values(params, len(question.dimensions), failures)
    question = msgspec.structs.replace(question, metrics=["people"], order_by=[], compare=None, include=[])
    return None if values is None else RowOfQuery(question, values)


def _read_step(question: FunnelQuestion, params: dict[str, Any], failures: Failures) -> Counted | None:
    """Read which step of a funnel is meant, and of which value of its breakdown."""
    step, dropped = params.get("Step"), params.get("Dropped")
    if not isinstance(dropped, bool | None):
        failures.add(STEPS, f"Of.Dropped: {show(dropped)} must be true or false.")
        return None
    first = 2 if dropped else 1
    if not isinstance(step, int) or isinstance(step, bool) or not first <= step <= len(question.steps):
        failures.add(STEPS, f"Of.Step: {show(step)} must be an integer from {first} to {len(question.steps)}.")
        return None
    values = None
    if params.get("Row") is not None:
        values = _read_values(params, 0 if question.breakdown is None else 1, failures)
        if values is None:
            return None
    return StepOfFunnel(msgspec.structs.replace(question, compare=None), step, bool(dropped), values or None)


def _read_period(question: RetentionQuestion, params: dict[str, Any], failures: Failures) -> Counted | None:
    """Read which cohort and which period of a retention are meant."""
    cohort, period = params.get("Cohort"), params.get("Period")
    if not isinstance(cohort, str):
        failures.add(STEPS, f'Of.Cohort: {show(cohort)} must be the label of a cohort, such as "2026-03-23".')
        return None
    if period is not None and (not isinstance(period, int) or isinstance(period, bool) or not 0 <= period < question.periods):
        failures.add(STEPS, f"Of.Period: {show(period)} must be an integer from 0 to {question.periods - 1}.")
        return None
    return PeriodOfRetention(question, cohort, period)


def _read_values(params: dict[str, Any], number: int, failures: Failures) -> list[str | None] | None:
    """Read the values of a row's dimensions."""
    row = params.get("Row")
    row = {name.lower(): value for name, value in row.items()} if isinstance(row, dict) else None
    values = row.get("dimensions", []) if row is not None and row.keys() <= {"dimensions", "metrics", "compared"} else None
    if not isinstance(values, list) or not all(one is None or isinstance(one, str) for one in values):
        failures.add(PEOPLE, f'Of.Row: {show(params.get("Row"))} must be such as {{"Dimensions": ["2026-03-29"]}}.')
        return None
    if len(values) != number:
        failures.add(DIMENSIONS, f"Of.Row.Dimensions: {len(values)} values must be {number}, one of each dimension.")
        return None
    return values


_COUNTED: dict[str, tuple[str, Callable[..., Any], tuple[str, ...], Callable[..., Counted | None]]] = {
    "Row": ("query", read_question, (*QUERY_PARAMETERS, "Row"), _read_row),
    "Step": ("funnel", read_funnel, (*FUNNEL_PARAMETERS, "Step", "Dropped", "Row"), _read_step),
    "Cohort": ("retention", read_retention, (*RETENTION_PARAMETERS, "Cohort", "Period"), _read_period),
}
"""The numbers that can be meant, by the parameter that names them: the question, its reader, its parameters, their reader."""
