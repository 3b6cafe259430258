"""Saved queries and segments: put a segment's conditions where a question names it, and check what is to be saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from falcon_events.query import names
from falcon_events.query.codes import LIMITS, NO_SAVED, PEOPLE
from falcon_events.query.conditions_reading import ConditionReader, Failures
from falcon_events.query.question import (
    Asked,
    Condition,
    DoneCondition,
    PeopleQuestion,
    SegmentCondition,
    find_base,
    replace_leaves,
    replace_people,
    walk,
)
from falcon_events.query.rules_reading import read_rules

SEGMENT, QUERY = "segment", "query"
"""The kinds of what is saved."""
MAX_EXPANSIONS = 100
Saved = Mapping[str, tuple[str, str]]
"""The kind and the definition of each saved query and segment of a list, by name."""


def names_segments(asked: Asked) -> bool:
    """Return whether a question names a saved segment."""
    conditions = [*find_base(asked).people]
    if isinstance(asked, PeopleQuestion) and asked.of is not None:
        conditions += asked.of.question.people
    return any(isinstance(one, SegmentCondition) for one in walk(conditions))


def expand_segments(asked: Asked, saved: Saved, failures: Failures, within: str | None = None) -> Asked:
    """Return the question with the conditions of the segments that it names, and add a failure for each that cannot be used.

    Args:
        asked: the question.
        saved: what the list has saved.
        failures: where failures are added.
        within: the name of the segment whose conditions these are; None: they are a question's own.
    """
    base = find_base(asked)
    expanded = _Expansion(saved, failures, () if within is None else (within,)).expand(base.people)
    asked = replace_people(asked, expanded)
    if isinstance(asked, PeopleQuestion) and asked.of is not None:
        counted = asked.of.question
        people = _Expansion(saved, failures).expand(counted.people)
        of = msgspec.structs.replace(asked.of, question=msgspec.structs.replace(counted, people=people))
        return msgspec.structs.replace(asked, of=of)
    return asked


def read_segment(place: str, definition: str, failures: Failures) -> list[Condition]:
    """Read the conditions of a saved segment."""
    given: dict[str, Any] = msgspec.json.decode(definition)
    if "RulesJson" in given:
        return read_rules(place, given["RulesJson"], failures)
    return ConditionReader(failures).read_people(place, given["People"], PEOPLE)


class _Expansion:
    """Finds the conditions of segments, also of segments within segments."""

    def __init__(self, saved: Saved, failures: Failures, within: tuple[str, ...] = ()) -> None:
        self._saved = saved
        self._within = within
        self._failures = failures
        self._expansions = 0

    def expand(self, conditions: Sequence[Condition]) -> list[Condition]:
        """Return the conditions with those of their segments, if these exceed no limit."""
        expanded = self._expand_all(conditions, self._within)
        if self._expansions:
            found = list(walk(expanded))
            done = len([one for one in found if isinstance(one, DoneCondition)])
            for what, number, limit in (
                ("conditions", len(found), names.MAX_CONDITIONS),
                ("has_done and has_not_done conditions", done, names.MAX_DONE),
            ):
                if number > limit:
                    text = f"People: with those of the saved segments, {number} {what} are more than {limit}, which is the limit."
                    self._failures.add(LIMITS, text)
        return expanded

    def _expand(self, condition: Condition, within: tuple[str, ...]) -> Condition:
        if not isinstance(condition, SegmentCondition):
            return condition
        name, place = condition.name, condition.place
        return SegmentCondition(name, place, self._expand_all(self._find(name, place, within), (*within, name)))

    def _expand_all(self, conditions: Sequence[Condition], within: tuple[str, ...]) -> list[Condition]:
        return [replace_leaves(one, lambda leaf: self._expand(leaf, within)) for one in conditions]

    def _find(self, name: str, place: str, within: tuple[str, ...]) -> list[Condition]:
        self._expansions += 1
        kind, definition = self._saved.get(name, (None, ""))
        if self._expansions > MAX_EXPANSIONS:
            if self._expansions == MAX_EXPANSIONS + 1:
                text = f"{place}: saved segments name each other more than {MAX_EXPANSIONS} times, which is the limit."
                self._failures.add(LIMITS, text)
        elif kind is None:
            self._failures.add(NO_SAVED, f"{place}: there is no saved segment {name[:60]!r}.")
        elif kind != SEGMENT:
            self._failures.add(NO_SAVED, f"{place}: {name[:60]!r} is a saved query. Give the name of a saved segment.")
        elif name in within:
            self._failures.add(NO_SAVED, f"{place}: the saved segment {name[:60]!r} names itself, also through other segments.")
        else:
            return read_segment(f"{place} ({name[:60]})", definition, self._failures)
        return []
