"""Retention: how many of those who started in a day, week or month came back in the ones that follow."""

from __future__ import annotations

from typing import Any

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.cohort_table import build_cohorts
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.event_kinds import (
    ChosenKind,
    list_form_fields,
    read_form,
    read_kind,
    write_conditions,
    write_event,
    write_fields,
)
from falcon_events.dashboard.replies import redirect
from falcon_events.errors import EventsError
from falcon_events.model.answers import RetentionResult
from falcon_events.query.names import MAX_PERIODS
from falcon_events.runtime.steps import Steps

UNITS = {"day": "days", "week": "weeks", "month": "months"}
FIRSTS = {"ever": "the first time ever", "in_range": "the first time in this range"}
MODES = {"calendar": "of the calendar", "rolling": "from each one's own start"}
COUNTED = {"people": "People", "visitors": "Visitors (browsers)"}
SHOWN = {"percent": "Percentages", "count": "Counts"}
KINDS = (("start", "start_where"), ("return", "return_where"))
"""The parameters of the start and of the return: the event and its conditions."""
CHOICES = {"unit": "", "periods": "", "first": "ever", "mode": "calendar", "by": "people", "as": "percent"}
"""The other parameters, with what they are when the URL does not say; the unit and the periods then fit the range."""
_UNITS_OF_RANGES = {"today": "day", "yesterday": "day", "7d": "day", "year": "month", "365d": "month", "all": "month"}
_PERIODS = {"day": 8, "week": 8, "month": 12}


def show_retention(context: Context) -> Steps[Reply]:
    """Show the form and the retention. The form's buttons lead to the address of what they make."""
    if "do" in context.request.query:
        return redirect(_act(context))
    kinds, _ = _read_kinds(context)
    unit, periods = _choose(context)
    own = {name for names in KINDS for name in names} | CHOICES.keys() | list_form_fields(context.request).keys()
    return context.render(
        "retention.html",
        title="Retention",
        kinds_of_events=[("Start", kinds[0]), ("Return", kinds[1])],
        written=[write_fields(kind) for kind in kinds],
        own=sorted(own),
        unit=unit,
        periods=periods,
        most=MAX_PERIODS,
        units=UNITS,
        firsts=FIRSTS,
        modes=MODES,
        counted=COUNTED,
        shown=SHOWN,
    )
    yield


def show_cohorts(context: Context) -> Steps[Reply]:
    """Show the table of cohorts."""
    kinds, faults = _read_kinds(context)
    if faults:
        return context.refuse(faults)
    request = context.request
    unit, periods = _choose(context)
    arguments = context.view.question(
        start=kinds[0].write() or None,
        return_=kinds[1].write() or None,
        unit=unit,
        periods=int(periods) if periods.isascii() and periods.isdigit() and len(periods) < 10 else periods,
        first=request.get("first") or None,
        mode=request.get("mode") or None,
        by=request.get("by") or None,
    )
    answered = yield from context.ask("retention", RetentionResult, arguments)
    result = answered.result
    if context.wants_csv:
        header = ("cohort", "size", *(f"{unit}_{number}" for number in range(result.query["Periods"])))
        return context.csv("retention", header, [(row.cohort, row.size, *row.returned) for row in result.rows])
    return context.render(
        "retention_cohorts.html",
        title="Retention",
        table=build_cohorts(context, arguments, result),
        unit=unit,
        by=result.query["By"],
        is_percent=request.get("as", "percent") != "count",
        shown=SHOWN,
        start=kinds[0],
        returned=kinds[1],
    )


def _choose(context: Context) -> tuple[str, str]:
    """Return the unit and the periods that the URL names, or those that fit the range."""
    unit = context.request.get("unit") or _UNITS_OF_RANGES.get(context.view.range_text, "week")
    return unit, context.request.get("periods") or str(_PERIODS.get(unit, 8))


def _read_kinds(context: Context) -> tuple[list[ChosenKind], list[str]]:
    """Return the start and the return that the URL names, and a message for each that cannot be read."""
    kinds, faults = [], []
    for event, where in KINDS:
        text = context.request.get(event)
        try:
            kinds.append(read_kind(context.request, text, where))
        except EventsError as error:
            kinds.append(read_kind(context.request, text, ""))
            faults.append(str(error))
    return kinds, faults


def _act(context: Context) -> str:
    """Return the address of the retention that a button of the form makes."""
    request = context.request
    kinds = [*read_form(request), ChosenKind(), ChosenKind()][: len(KINDS)]
    action, _, rest = request.get("do").partition("-")
    place, _, dropped = rest.partition("-")
    changes: dict[str, Any] = dict(list_form_fields(request))
    for number, (kind, (event, where)) in enumerate(zip(kinds, KINDS, strict=True), 1):
        conditions = write_conditions(kind)
        if action == "drop" and place == str(number):
            conditions = [one for at, one in enumerate(conditions) if str(at) != dropped]
        changes |= {event: write_event(kind.event) or None, where: conditions}
    for name, default in CHOICES.items():
        given = request.get(name).strip()
        changes[name] = None if given in ("", default) else given
    return context.links.here("retention", **changes)


PAGES = {"retention": Page(show_retention), "retention.cohorts": Page(show_cohorts)}
