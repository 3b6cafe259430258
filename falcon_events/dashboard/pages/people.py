"""People: the persons whom a number counts, or a segment that is built by clicking, saved by name and copied."""

from __future__ import annotations

from typing import Any

import msgspec

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import MAX_CSV_ROWS, Context, Page
from falcon_events.dashboard.options import OPERATORS
from falcon_events.dashboard.replies import redirect
from falcon_events.dashboard.requests import decode_parameter
from falcon_events.dashboard.rules_writing import write_rules
from falcon_events.dashboard.segment_form import (
    COUNTED,
    FIELDS,
    WHO,
    WITHIN,
    Groups,
    add_condition,
    combine,
    open_saved,
    read_groups,
    remove_condition,
    write_groups,
)
from falcon_events.dashboard.wording import describe_counted, describe_groups, describe_person_condition
from falcon_events.errors import EventsError
from falcon_events.model.answers import ForgetResult, PeopleResult, PersonRow, SavedResult, SavedRow, SaveResult
from falcon_events.runtime.steps import Steps

SHOWN, CSV_PAGE = 50, 1_000
"""How many persons a page has, and how many are asked for at a time for a file."""
ORDERS = {"last_seen": "desc", "first_seen": "desc", "events": "desc", "email": "asc"}
"""The keys by which persons can be ordered, and the direction that each has at first."""
COLUMNS = ("email", "ids", "uuids", "first_seen", "last_seen", "events", "traits")
TEXT_OPERATORS = {name: words for name, words in OPERATORS.items() if name not in (">", ">=", "<", "<=")}


def show_people(context: Context) -> Steps[Reply]:
    """Show the persons whom a number counts, or the segment that the URL describes."""
    request, links = context.request, context.links
    if request.get("of"):
        of = _read_of(context)
        return context.render("people.html", title=describe_counted(of), of=of)
    groups = read_groups(request.query.get(WHO, []))
    if request.get("add"):
        added = write_groups(add_condition(groups, request))
        return redirect(links.here("people", **{**dict.fromkeys((*FIELDS, "next")), WHO: added}))
    answered = yield from context.ask("saved", SavedResult, {})
    saved = [row for row in answered.result.rows if row.kind == "segment"]
    rules, no_rules = None, ""
    if groups:
        try:
            rules = msgspec.json.format(msgspec.json.encode(write_rules(groups)), indent=2).decode()
        except EventsError as error:
            no_rules = str(error)
    shown = [
        [
            {
                "words": describe_person_condition(condition),
                "without": links.here("people", next=None, **{WHO: write_groups(remove_condition(groups, number, place))}),
            }
            for place, condition in enumerate(group)
        ]
        for number, group in enumerate(groups)
    ]
    return context.render(
        "people.html",
        title="People",
        of=None,
        groups=shown,
        words=describe_groups(groups),
        who=write_groups(groups),
        saved=[_describe_saved(context, row) for row in saved],
        names=[row.name for row in saved],
        named=request.get("named"),
        rules=rules,
        no_rules=no_rules,
        fields=(*FIELDS, "next"),
        operators=OPERATORS,
        text_operators=TEXT_OPERATORS,
        counted=COUNTED,
        within=WITHIN,
    )


def show_table(context: Context) -> Steps[Reply]:
    """Show a page of the persons, or all of them as a file."""
    arguments = _ask_for(context)
    name, _, direction = context.request.get("order", "last_seen").partition(".")
    if name not in ORDERS or direction not in ("", "asc", "desc"):
        raise EventsError(f"order: {name[:50]!r} must be one of {', '.join(ORDERS)}.")
    direction = direction or ORDERS[name]
    arguments["order_by"] = [name, direction]
    if context.wants_csv:
        return (yield from _write_csv(context, arguments))
    cursor = context.request.get("next") or None
    answered = yield from context.ask("people", PeopleResult, {**arguments, "limit": SHOWN, "cursor": cursor})
    result = answered.result
    orders = {}
    for one, first in ORDERS.items():
        turned = ("asc" if direction == "desc" else "desc") if one == name else first
        written = one if turned == first else f"{one}.{turned}"
        orders[one] = {
            "link": context.links.here("people", order=written if written != "last_seen" else None, next=None),
            "sorted": {"asc": "ascending", "desc": "descending"}[direction] if one == name else None,
        }
    return context.render(
        "people_table.html",
        title="People",
        result=result,
        rows=[(row, link_to_person(context, row)) for row in result.rows],
        orders=orders,
        is_later=cursor is not None,
        most=MAX_CSV_ROWS,
    )


def show_count(context: Context) -> Steps[Reply]:
    """Show how many persons there are, with the condition that a form is about to add, if the URL has its fields."""
    arguments = _ask_for(context)
    answered = yield from context.ask("people", PeopleResult, {**arguments, "limit": 1})
    everybody = yield from context.ask("people", PeopleResult, {"limit": 1})
    return context.render("people_count.html", title="People", count=answered.result.count, all=everybody.result.count)


def act_on_people(context: Context) -> Steps[Reply]:
    """Save the segment under a name, or forget a saved one."""
    request, links = context.request, context.links
    act, name = request.field("act"), request.field("name").strip()
    context.forget_answers()  # what is saved under the name may have changed
    answered = yield from context.ask("saved", SavedResult, {})
    kinds = {row.name: row.kind for row in answered.result.rows}
    if act == "forget":
        if kinds.get(name) == "segment":
            yield from context.ask("forget", ForgetResult, {"name": name})
        return redirect(links.to("people", segment=None if context.view.segment == name else context.view.segment or None))
    if act != "save":
        raise EventsError(f"act: {act[:50]!r} must be save or forget.")
    groups = read_groups(request.form.get(WHO, []))
    conditions = [*context.view.people, *combine(groups)]
    if not conditions:
        raise EventsError("The segment has no condition yet: it would have everybody. Add one first.")
    if kinds.get(name) == "query":
        raise EventsError(f"name: {name[:50]!r} is the name of a saved query. Choose another one.")
    if name in kinds and name != request.field("named"):
        raise EventsError(f"name: there is a segment {name[:50]!r} already. Open it to change it, or choose another name.")
    yield from context.ask("save", SaveResult, {"name": name, "people": conditions})
    return redirect(
        links.to("people", segment=None, named=name, **{WHO: write_groups([conditions] if context.view.segment else groups)})
    )


def link_to_person(context: Context, row: PersonRow) -> str:
    """Return the page of a person."""
    named = {"email": row.email} if row.email is not None else {"uuid": row.uuids[0]} if row.uuids else {"id": row.ids[0]}
    return context.links.to("person", filter=None, segment=None, **named)


def _read_of(context: Context) -> dict[str, Any]:
    of = decode_parameter(context.request.get("of"))
    if not isinstance(of, dict):
        raise EventsError("of: it must be the parameters of a question as JSON, with Row, Step or Cohort.")
    return of


def _ask_for(context: Context) -> dict[str, Any]:
    """Return the arguments that say which persons are meant."""
    request = context.request
    if request.get("of"):
        return {"of": _read_of(context)}
    groups = read_groups(request.query.get(WHO, []))
    if request.get("add"):
        groups = add_condition(groups, request)
    return {"people": [*context.view.people, *combine(groups)]}


def _write_csv(context: Context, arguments: dict[str, Any]) -> Steps[Reply]:
    """Return all persons as a file, or the first MAX_CSV_ROWS; the file's name says if there are more."""
    rows: list[PersonRow] = []
    cursor: str | None = None
    while True:
        answered = yield from context.ask("people", PeopleResult, {**arguments, "limit": CSV_PAGE, "cursor": cursor})
        rows += answered.result.rows
        cursor = answered.result.next_cursor
        if cursor is None or len(rows) >= MAX_CSV_ROWS:
            break
    name = "people" if cursor is None else f"people-first-{MAX_CSV_ROWS}-of-{answered.result.count}"
    return context.csv(name, COLUMNS, [_write_row(row) for row in rows[:MAX_CSV_ROWS]])


def _write_row(row: PersonRow) -> tuple[Any, ...]:
    seen = [None if moment is None else moment.isoformat() for moment in (row.first_seen, row.last_seen)]
    return (row.email, " ".join(row.ids), " ".join(row.uuids), *seen, row.events, msgspec.json.encode(row.traits).decode())


def _describe_saved(context: Context, row: SavedRow) -> dict[str, Any]:
    groups: Groups = open_saved(row)
    return {
        "name": row.name,
        "words": describe_groups(groups),
        "saved_at": row.saved_at,
        "open": context.links.to("people", named=row.name, segment=None, **{WHO: write_groups(groups)}),
        "overview": context.links.to("", segment=row.name),
    }


PAGES = {
    "people": Page(show_people, act_on_people),
    "people.table": Page(show_table),
    "people.count": Page(show_count),
}
