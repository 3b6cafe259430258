"""The table of a funnel: each step with its numbers, its drop-outs and the links to their persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from falcon_events.dashboard.context import Context
from falcon_events.dashboard.event_kinds import ChosenKind
from falcon_events.dashboard.tables import link_to_people
from falcon_events.dashboard.templates import format_number, show_text
from falcon_events.model.answers import FunnelGroup, FunnelResult, FunnelStep, StepCounts

MAX_GROUPS = 25
"""How many values of a breakdown the page shows. The CSV file has all of them."""


class FunnelRow(msgspec.Struct, frozen=True):
    """A step of a funnel, as the page shows it.

    Attributes:
        kind: the events of the step.
        counts: its numbers.
        before: its numbers in the range to compare with; None: there is none.
        people: the page with the persons; None: they cannot be listed.
        dropped: how many reached the step before and not this one; None: it is the first step.
        dropped_before: the same in the range to compare with.
        dropped_people: the page with the persons who dropped out; None: they cannot be listed.
    """

    kind: ChosenKind
    counts: StepCounts
    before: StepCounts | None
    people: str | None
    dropped: int | None
    dropped_before: int | None
    dropped_people: str | None


class FunnelTable(msgspec.Struct, frozen=True):
    """A funnel: its rows, and in words what is to be seen in it."""

    rows: list[FunnelRow]
    summary: list[str]


class GroupCell(msgspec.Struct, frozen=True):
    """How many with a value reached a step, and the page with them; None: they cannot be listed."""

    people: int
    link: str | None


class GroupRow(msgspec.Struct, frozen=True):
    """A value of a breakdown: who reached each step, the share that came through, and the page with the value's own funnel."""

    value: str | None
    cells: list[GroupCell]
    share: float | None
    share_before: float | None
    link: str
    is_shown: bool


class GroupTable(msgspec.Struct, frozen=True):
    """The values of a breakdown: the dimension, the values that are shown, and how many others there are."""

    dimension: str
    rows: list[GroupRow]
    others: int


def build_funnel(
    context: Context,
    arguments: Mapping[str, Any],
    kinds: Sequence[ChosenKind],
    result: FunnelResult,
    group: FunnelGroup | None,
) -> FunnelTable:
    """Build the table of the steps.

    Args:
        context: the page.
        arguments: the arguments of the question.
        kinds: the steps that were asked for.
        result: the answer.
        group: the value of the breakdown that is shown; None: all of them.
    """
    steps = result.rows if group is None else group.steps
    counted: dict[str, Any] = {} if group is None else {"Row": {"Dimensions": [group.value]}}
    can_list = arguments.get("by", "people") == "people"
    rows = []
    for number, (kind, step) in enumerate(zip(kinds, steps, strict=True), 1):
        previous = steps[number - 2] if number > 1 else None
        dropped = dropped_before = None
        if previous is not None:
            dropped = previous.people - step.people
            if step.compared is not None and previous.compared is not None:
                dropped_before = previous.compared.people - step.compared.people
        rows.append(
            FunnelRow(
                kind,
                step,
                step.compared,
                link_to_people(context.links, arguments, Step=number, **counted) if can_list else None,
                dropped,
                dropped_before,
                link_to_people(context.links, arguments, Step=number, Dropped=True, **counted)
                if can_list and previous is not None
                else None,
            )
        )
    return FunnelTable(rows, summarize(kinds, steps, arguments.get("by", "people")))


def build_groups(context: Context, arguments: Mapping[str, Any], result: FunnelResult) -> GroupTable | None:
    """Build the table of the breakdown's values; None if there is no breakdown. The arguments are those of build_funnel()."""
    if result.breakdown is None:
        return None
    can_list = arguments.get("by", "people") == "people"
    chosen = context.request.get("group")
    rows = []
    for group in result.breakdown[:MAX_GROUPS]:
        row = {"Dimensions": [group.value]}
        cells = [
            GroupCell(step.people, link_to_people(context.links, arguments, Step=number, Row=row) if can_list else None)
            for number, step in enumerate(group.steps, 1)
        ]
        last, name = group.steps[-1], write_group(group.value)
        before = last.compared.of_first if last.compared is not None else None
        link = context.links.here("funnels", group=None if name == chosen else name)
        rows.append(GroupRow(group.value, cells, last.of_first, before, link, name == chosen))
    return GroupTable(arguments["breakdown"], rows, max(len(result.breakdown) - MAX_GROUPS, 0))


def write_group(value: str | None) -> str:
    """Return a value of the breakdown for a URL, so that a missing value is no text."""
    return msgspec.json.encode(value).decode()


def find_group(result: FunnelResult, text: str) -> FunnelGroup | None:
    """Return the value of the breakdown that the URL names; None if it names none."""
    return next((one for one in result.breakdown or () if text and write_group(one.value) == text), None)


def summarize(kinds: Sequence[ChosenKind], steps: Sequence[FunnelStep], by: str) -> list[str]:
    """Return in words how many came through, and where most of the others stopped."""
    first, last = steps[0].people, steps[-1].people
    if not first:
        return []
    share = f"{last / first * 100:.1f} %"
    which = "both" if len(steps) == 2 else f"all {len(steps)}"
    said = [f"{format_number(last)} of {format_number(first)} {by} came through {which} steps: {share}."]
    losses = [steps[number - 1].people - steps[number].people for number in range(1, len(steps))]
    if (most := max(losses)) > 0:
        place = losses.index(most)
        before, after = (show_text(kinds[one].name, 60) for one in (place, place + 1))
        lost = most / steps[place].people
        said.append(
            f"Most stop between step {place + 1} ({before}) and step {place + 2} ({after}): {format_number(most)} {by},"
            f" {lost * 100:.1f} % of those who came that far."
        )
    return said


def tell_partial(result: FunnelResult, group: FunnelGroup | None) -> list[str]:
    """Return in words how many may still go further. They are not counted by the value of a breakdown.

    Args:
        result: the answer.
        group: the value of the breakdown that is shown; None: all of them.
    """
    window, by = result.query["Window"], result.query["By"]
    length = window[:-1] + " " + {"d": "day", "h": "hour", "m": "minute"}[window[-1]] + ("" if window[:-1] == "1" else "s")
    told = []
    for name, where in (("Partial", ""), ("ComparedPartial", " in the time before")):
        if number := result.meta.get(name):
            those = f"{format_number(number)} of {'these' if group is None else 'all'} {by}{where}"
            told.append(f"{those} can still come further: less than {length} have passed since their first step.")
    return told
