"""Read the parameters of website_events.saved, .save and .forget: names, and the queries and segments to save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from falcon_events.errors import Failure
from falcon_events.query.codes import LIMITS, NO_SAVED, PEOPLE
from falcon_events.query.conditions_reading import ConditionReader, Failures, show
from falcon_events.query.question import Forgetting, Question, SavedQuestion, Saving
from falcon_events.query.reading import QUERY_PARAMETERS, read_question
from falcon_events.query.rules_reading import read_rules
from falcon_events.query.segments import QUERY, SEGMENT

MAX_NAME = 200
MAX_DEFINITION_BYTES = 65_536
CONTENTS = ("Query", "People", "RulesJson")
_NOT_SAVED = ("listid", "apikey", "sessionid")


def read_saved_question(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> SavedQuestion:
    """Return the question about what a list has saved, which has no parameters of its own."""
    return SavedQuestion(base=Question(list_id=list_id, now_us=now_us, time_zone=default_zone))


def read_saving(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> Saving | list[Failure]:
    """Read what to save, and under which name: a query, or a segment as People or RulesJson."""
    failures = Failures()
    given = {name: value for name, value in params.items() if value is not None}
    name = _read_name(given.get("Name"), failures)
    contents = [content for content in CONTENTS if content in given]
    if len(contents) != 1:
        failures.add(PEOPLE, f"{contents[1] if contents else 'People'}: give one of {', '.join(CONTENTS)}.")
        return failures.found
    (content,) = contents
    base = Question(list_id=list_id, now_us=now_us, time_zone=default_zone)
    value = given[content]
    if content == "Query":
        if isinstance(value, dict):
            value = {name: one for name, one in value.items() if name.lower() not in _NOT_SAVED}
        base = _read_query(value, base, default_zone, failures)
    elif content == "RulesJson":
        value = _decode(value)
        base = msgspec.structs.replace(base, people=read_rules(content, value, failures))
    else:
        reader = ConditionReader(failures)
        base = msgspec.structs.replace(base, people=reader.read_people(content, value, PEOPLE))
        reader.check_limits("People")
    definition = msgspec.json.encode({content: value})
    if len(definition) > MAX_DEFINITION_BYTES:
        failures.add(
            LIMITS, f"{content}: {len(definition)} bytes of JSON are more than {MAX_DEFINITION_BYTES}, which is the limit."
        )
    kind = QUERY if content == "Query" else SEGMENT
    return failures.found or Saving(base=base, name=name, kind=kind, definition=definition.decode())


def read_forgetting(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> Forgetting | list[Failure]:
    """Read the name of what is to be forgotten."""
    failures = Failures()
    name = _read_name(params.get("Name"), failures)
    base = Question(list_id=list_id, now_us=now_us, time_zone=default_zone)
    return failures.found or Forgetting(base=base, name=name)


def _read_name(given: object, failures: Failures) -> str:
    if isinstance(given, str) and 0 < len(given) <= MAX_NAME:
        return given
    failures.add(NO_SAVED, f"Name: {show(given)} must be text of 1 to {MAX_NAME} characters.")
    return ""


def _read_query(given: object, base: Question, default_zone: str, failures: Failures) -> Question:
    known = {name.lower(): name for name in QUERY_PARAMETERS}
    if not isinstance(given, dict):
        failures.add(PEOPLE, f"Query: {show(given)} must be an object with the parameters of website_events.query.")
        return base
    if unknown := [name for name in given if name.lower() not in known]:
        failures.add(PEOPLE, f"Query: {show(min(unknown))} must be one of {', '.join(QUERY_PARAMETERS)}.")
        return base
    question = read_question(
        {known[name.lower()]: value for name, value in given.items()}, base.list_id, default_zone, base.now_us
    )
    if isinstance(question, Question):
        return question
    for failure in question:
        failures.add(failure.code, f"Query.{failure.message}")
    return base


def _decode(given: object) -> Any:
    """Return RulesJson as JSON where it is text; an invalid text is refused when it is read."""
    if not isinstance(given, str):
        return given
    try:
        return msgspec.json.decode(given)
    except msgspec.DecodeError:
        return given
