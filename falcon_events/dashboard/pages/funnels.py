"""Funnels: how many came through steps, one after the other, and where the others stopped."""

from __future__ import annotations

from typing import Any

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.event_kinds import (
    ChosenKind,
    list_form_fields,
    read_form,
    read_kind,
    read_length,
    write_conditions,
    write_event,
    write_fields,
)
from falcon_events.dashboard.funnel_table import build_funnel, build_groups, find_group, tell_partial
from falcon_events.dashboard.replies import redirect
from falcon_events.errors import EventsError
from falcon_events.model.answers import FunnelResult, ValuesResult
from falcon_events.query.names import MAX_STEPS, MIN_STEPS
from falcon_events.runtime.steps import Steps

WINDOW = (7, "d")
WINDOW_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
ORDERS = {"sequential": "anything may happen", "strict": "nothing else may happen"}
UNITS = {"people": "People", "visitors": "Visitors (browsers)", "sessions": "Sessions"}
OWN = ("step", "window", "order", "by", "breakdown", "group")
"""The parameters of the page, beside the conditions of steps: `where1` has those of the first step."""
COMMON_EVENTS = frozenset({"pageView", "identify", "conversion"})
"""Events that most lists have. Examples put the list's own ones beside them."""


def show_funnels(context: Context) -> Steps[Reply]:
    """Show the form and, once there are steps, the funnel. The form's buttons lead to the address of what they make."""
    if "do" in context.request.query:
        return redirect(_act(context))
    steps, faults = _read_steps(context)
    padded = [*steps, *[ChosenKind()] * (MIN_STEPS - len(steps))]
    number, unit = read_length(context.request.get("window"), WINDOW)
    wheres = [name for name in context.request.query if name.startswith("where")]
    return context.render(
        "funnels.html",
        title="Funnels",
        steps=padded,
        written=[write_fields(step) for step in padded],
        is_asked=bool(steps) or bool(faults),
        own=(*OWN, *wheres, *list_form_fields(context.request)),
        most=MAX_STEPS,
        least=MIN_STEPS,
        window=(number, unit),
        window_units=WINDOW_UNITS,
        orders=ORDERS,
        units=UNITS,
    )
    yield


def show_result(context: Context) -> Steps[Reply]:
    """Show how many reached each step, and how many did not come further."""
    steps, faults = _read_steps(context)
    if faults:
        return context.refuse(faults)
    request = context.request
    arguments = {"steps": [step.write() for step in steps]} | context.view.question(
        window=request.get("window") or None,
        order=request.get("order") or None,
        by=request.get("by") or None,
        breakdown=request.get("breakdown").strip() or None,
        compare=context.view.compare,
    )
    answered = yield from context.ask("funnel", FunnelResult, arguments)
    result = answered.result
    if context.wants_csv:
        columns = result.list_columns()
        rows = zip(*(column.values for column in columns), strict=True)
        return context.csv("funnel", [column.name for column in columns], [tuple(row) for row in rows])
    group = find_group(result, request.get("group"))
    return context.render(
        "funnels_result.html",
        title="Funnel",
        funnel=build_funnel(context, arguments, steps, result, group),
        groups=build_groups(context, arguments, result),
        group=group,
        by=arguments.get("by", "people"),
        kinds=steps,
        partial=tell_partial(result, group),
    )


def show_examples(context: Context) -> Steps[Reply]:
    """Show funnels of the events that the list has."""
    arguments = context.view.question(dimension="event", limit=50)
    answered = yield from context.ask("values", ValuesResult, arguments)
    examples = [
        {"steps": example, "link": context.links.to("funnels", step=[write_event(event) for event in example])}
        for example in list_examples([row.value for row in answered.result.rows])
    ]
    return context.render("funnels_examples.html", title="Examples", examples=examples)


def list_examples(events: list[str]) -> list[list[str]]:
    """Return the steps of funnels that may tell something.

    Args:
        events: the events of the list, the most frequent first: of two, the rarer one mostly comes later.
    """
    own = [event for event in events if event not in COMMON_EVENTS]
    view, bought = ([event] if event in events else [] for event in ("pageView", "conversion"))
    candidates = [[*view, *own[:1], *bought], [*own[:2], *bought], [*view, *own[1:2]]]
    examples = [one for place, one in enumerate(candidates) if len(one) > 1 and one not in candidates[:place]]
    return examples or [[event, event] for event in events[:1]]


def _read_steps(context: Context) -> tuple[list[ChosenKind], list[str]]:
    """Return the steps that the URL names, and a message for each that cannot be read."""
    steps, faults = [], []
    for number, event in enumerate(context.request.query.get("step", []), 1):
        try:
            steps.append(read_kind(context.request, event, f"where{number}"))
        except EventsError as error:
            steps.append(read_kind(context.request, event, ""))
            faults.append(str(error))
    return steps, faults


def _act(context: Context) -> str:
    """Return the address of the funnel that a button of the form makes. An address with `do` can be shared, too."""
    request = context.request
    steps = read_form(request)
    action, _, rest = request.get("do").partition("-")
    place, _, condition = rest.partition("-")
    number = int(place) if place.isascii() and place.isdigit() and len(place) < 4 else 0
    focus = ""
    if action == "add" and len(steps) < MAX_STEPS:
        steps.append(ChosenKind())
        focus = f"#step-{len(steps)}"
    elif 0 < number <= len(steps):
        focus = f"#step-{_change(steps, action, number, condition)}"
    within = f"{request.get('within').strip()}{request.get('within_unit', 'd')}"
    changes: dict[str, Any] = {name: None for name in request.query if name.startswith("where")} | list_form_fields(request)
    changes |= {"step": [write_event(step.event) for step in steps], "group": None}
    for at, step in enumerate(steps, 1):
        changes[f"where{at}"] = write_conditions(step)
    changes["window"] = None if within in ("d", f"{WINDOW[0]}{WINDOW[1]}") else within
    for name, default in (("order", "sequential"), ("by", "people"), ("breakdown", "")):
        given = request.get(name).strip()
        changes[name] = None if given in ("", default) else given
    return context.links.here("funnels", **changes) + focus


def _change(steps: list[ChosenKind], action: str, number: int, condition: str) -> int:
    """Move or remove a step, or remove one of its conditions, counted from 0. Return the number of the step to go on with."""
    index = number - 1
    if action == "remove" and len(steps) > MIN_STEPS:
        steps.pop(index)
        return max(number - 1, 1)
    other = index - 1 if action == "up" else index + 1
    if action in ("up", "down") and 0 <= other < len(steps):
        steps[index], steps[other] = steps[other], steps[index]
        return other + 1
    if action == "drop":
        kept = tuple(one for place, one in enumerate(steps[index].filters) if str(place) != condition)
        steps[index] = ChosenKind(steps[index].event, kept)
    return number


PAGES = {
    "funnels": Page(show_funnels),
    "funnels.result": Page(show_result),
    "funnels.examples": Page(show_examples),
}
