"""The regular expressions of a question, and the limits on them. Only the database can tell whether one is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from falcon_events.errors import Failure
from falcon_events.query import names
from falcon_events.query.codes import FILTERS, LIMITS, PEOPLE, STEPS
from falcon_events.query.question import Asked, PeopleQuestion, Saving, ValueCondition, find_base
from falcon_events.query.segments import QUERY

CODES = {"Filters": FILTERS, "Steps": STEPS, "Start": STEPS, "Return": STEPS}
"""The codes of the parameters that have conditions on events. That of the others, whose conditions are on persons, is PEOPLE."""


class Pattern(NamedTuple):
    """A regular expression, with the code and the place of its condition."""

    code: int
    place: str
    text: str
    case_sensitive: bool


def list_patterns(asked: Asked) -> list[Pattern]:
    """Return the regular expressions of a question."""
    counted = asked.of if isinstance(asked, PeopleQuestion) else None
    question, prefix = (find_base(asked), "") if counted is None else (counted.question, "Of.")
    if isinstance(asked, Saving) and asked.kind == QUERY:
        prefix = "Query."
    return [
        Pattern(_find_code(one.place), prefix + one.place, str(pattern), one.case_sensitive)
        for one in question.list_conditions()
        if isinstance(one, ValueCondition) and one.operator in ("matches", "matches_not")
        for pattern in one.values
    ]


def find_excess(patterns: Sequence[Pattern]) -> list[Failure]:
    """Return a failure if there are too many regular expressions, or one is too long."""
    if len(patterns) > names.MAX_PATTERNS:
        text = f"{len(patterns)} regular expressions are more than {names.MAX_PATTERNS}, which is the limit of a question."
        return [Failure(LIMITS, f"{patterns[names.MAX_PATTERNS].place}: {text}")]
    for pattern in patterns:
        if len(pattern.text) > names.MAX_PATTERN_CHARS:
            text = f"a regular expression of {len(pattern.text)} characters is longer than {names.MAX_PATTERN_CHARS}"
            return [Failure(LIMITS, f"{pattern.place}: {text}, which is the limit.")]
    return []


def join_patterns(patterns: Sequence[Pattern]) -> str:
    r"""Return a regular expression that is as large as all of them together. `\Q\E` ends a `\Q` that has no end."""
    return "".join(f"(?{'' if one.case_sensitive else 'i'}:{one.text}\\Q\\E)" for one in patterns)


def _find_code(place: str) -> int:
    return CODES.get(place.partition("[")[0].partition(".")[0], PEOPLE)
