"""Read the parameters of website_events.saved, .save and .forget: names, and the queries and segments to save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from falcon_events.contract.body import decode_text
from falcon_events.errors import Failure
from falcon_events.query.codes import LIMITS, NO_SAVED, PEOPLE
from falcon_events.query.conditions_reading import Failures, show
from falcon_events.query.question import Forgetting, Question, SavedQuestion, Saving
from falcon_events.query.reading import QUERY_PARAMETERS, Reading, match_names, read_question
from falcon_events.query.rules_reading import read_rules
from falcon_events.query.segments import QUERY, SEGMENT

MAX_NAME = 200
MAX_DEFINITION_BYTES = 65_536
CONTENTS = ("Query", "People", "RulesJson")
_NOT_SAVED = ("listid", "apikey", "sessionid")


def read_saved_question(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> SavedQuestion:
    """Return the question about what a list has saved, which has no parameters of its own."""
    return SavedQuestion(base=Question(**Reading(params, list_id, default_zone, now_us).fixed))


def read_saving(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> Saving | list[Failure]:
    """Read what to save, and under which name: a query, or a segment as People or RulesJson."""
    reading = Reading(params, list_id, default_zone, now_us)
    given, failures = reading.given, reading.failures
    name = _read_name(given.get("Name"), failures)
    contents = [content for content in CONTENTS if content in given]
    if len(contents) != 1:
        failures.add(PEOPLE, f"{contents[1] if contents else 'People'}: give one of {', '.join(CONTENTS)}.")
        return failures.found
    (content,) = contents
    base = Question(**reading.fixed)
    value = given[content]
    if content == "Query":
        if isinstance(value, dict):
            value = {name: one for name, one in value.items() if name.lower() not in _NOT_SAVED}
        base = _read_query(value, base, default_zone, failures)
    elif content == "RulesJson":
        value = _decode(value)
        base = msgspec.structs.replace(base, people=read_rules(content, value, failures))
    else:
        base = msgspec.structs.replace(base, people=reading.conditions.read_people(content, value, PEOPLE))
        reading.conditions.check_limits("People")
    definition = msgspec.json.encode({content: value})
    if len(definition) > MAX_DEFINITION_BYTES:
        failures.add(
            LIMITS, f"{content}: {len(definition)} bytes of JSON are more than {MAX_DEFINITION_BYTES}, which is the limit."
        )
    kind = QUERY if content == "Query" else SEGMENT
    return failures.found or Saving(base=base, name=name, kind=kind, definition=definition.decode())


def find_fault(list_id: int, name: str, kind: str, definition: str, saved_at: int) -> str | None:
    """Return why what a list saved at a time, in microseconds since 1970, cannot be read; None if it can."""
    try:
        given = msgspec.json.decode(definition)
    except msgspec.DecodeError as error:
        return f"its definition is no JSON: {error}"
    if not isinstance(given, dict):
        return "its definition is no JSON object"
    saving = read_saving({**given, "Name": name}, list_id, "UTC", saved_at)
    if isinstance(saving, Saving):
        return None if saving.kind == kind else f"it is saved as {kind!r}, and has the content of a {saving.kind}"
    return next((failure.message for failure in saving if failure.code != LIMITS), None)


def read_forgetting(params: Mapping[str, Any], list_id: int, default_zone: str, now_us: int) -> Forgetting | list[Failure]:
    """Read the name of what is to be forgotten."""
    reading = Reading(params, list_id, default_zone, now_us)
    name = _read_name(reading.given.get("Name"), reading.failures)
    return reading.failures.found or Forgetting(base=Question(**reading.fixed), name=name)


def _read_name(given: object, failures: Failures) -> str:
    if isinstance(given, str) and 0 < len(given) <= MAX_NAME:
        return given
    failures.add(NO_SAVED, f"Name: {show(given)} must be text of 1 to {MAX_NAME} characters.")
    return ""


def _read_query(given: object, base: Question, default_zone: str, failures: Failures) -> Question:
    if not isinstance(given, dict):
        failures.add(PEOPLE, f"Query: {show(given)} must be an object with the parameters of website_events.query.")
        return base
    params, unknown = match_names(given, QUERY_PARAMETERS)
    if unknown:
        failures.add(PEOPLE, f"Query: {show(min(unknown))} must be one of {', '.join(QUERY_PARAMETERS)}.")
        return base
    question = read_question(params, base.list_id, default_zone, base.now_us)
    if isinstance(question, Question):
        return question
    failures.add_nested("Query", question)
    return base


def _decode(given: object) -> Any:
    """Return RulesJson as JSON where it is text; an invalid text is refused when it is read."""
    if not isinstance(given, str):
        return given
    try:
        return decode_text(given)
    except msgspec.DecodeError:
        return given
