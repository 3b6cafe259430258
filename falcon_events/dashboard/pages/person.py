"""A person: what they did by day and session, who they are, and their data to export or to erase."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.replies import file_reply
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.answers import PersonRow, QueryResult, TimelineResult, TimelineRow
from falcon_events.model.persons import Erased, PersonalData
from falcon_events.runtime.steps import Call, Steps

SHOWN = 50
"""How many events a page of the timeline has."""
NAMED_BY = ("email", "id", "uuid")
MAIN_PROPERTIES = ("path", "$pageTitle", "url", "name", "title", "conversion-name", "conversion-value")
"""The properties of which the first is shown beside an event's name."""


class TimelineSession(msgspec.Struct, frozen=True):
    """Events of one session on one day, the latest first."""

    session: str
    events: list[TimelineRow]

    @property
    def first(self) -> datetime:
        """When the first of the events happened."""
        return self.events[-1].occurred_at

    @property
    def last(self) -> datetime:
        """When the last of the events happened."""
        return self.events[0].occurred_at


class TimelineDay(msgspec.Struct, frozen=True):
    """A local day of a timeline, as people read it, with its sessions, the latest first."""

    label: str
    sessions: list[TimelineSession]


def show_person(context: Context) -> Steps[Reply]:
    """Show the page, whose parts say what is known of the person."""
    named_by, name = _read_name(context.request.query)
    return context.render("person.html", title=name, named_by=named_by, named=name)
    yield


def show_timeline(context: Context) -> Steps[Reply]:
    """Show who the person is, and a page of what they did."""
    named_by, name = _read_name(context.request.query)
    event, cursor = context.request.get("event"), context.request.get("next")
    arguments = {
        named_by: name,
        "filters": [["is", "event", [event]]] if event else None,
        "limit": SHOWN,
        "cursor": cursor or None,
    }
    answered = yield from context.ask("timeline", TimelineResult, arguments)
    result = answered.result
    zone = ZoneInfo(context.rules.time_zone)
    return context.render(
        "person_timeline.html",
        title=name,
        person=result.person,
        days=group_by_day(result.rows, zone),
        zoned=lambda moment: moment.astimezone(zone),
        find_main=find_main_property,
        order=order_properties,
        event=event,
        following=result.next_cursor,
        is_later=bool(cursor),
        counts=_link_to_counts(context, result.person),
    )


def show_counts(context: Context) -> Steps[Reply]:
    """Show how many events of each type the person has, and what they brought."""
    named_by, name = _read_name(context.request.query)
    arguments = {"date_range": "all", "filters": [["is", "person", [name]]]}
    totals = yield from context.ask(
        "query", QueryResult, {**arguments, "metrics": ["events", "sessions", "views", "conversions", "revenue"]}
    )
    by_type = yield from context.ask(
        "query", QueryResult, {**arguments, "metrics": ["events"], "dimensions": ["event"], "limit": 20}
    )
    rows = [
        (row.dimensions[0], row.metrics[0], context.links.to("person", event=row.dimensions[0], **{named_by: name}))
        for row in by_type.result.rows
    ]
    return context.render("person_counts.html", title="Counts", totals=totals.result.rows[0].metrics, rows=rows)


def show_erasing(context: Context) -> Steps[Reply]:
    """Say what erasing the person removes, and ask whether that is meant."""
    if not context.may_change:
        return _refuse_reader(context)
    named_by, name = _read_name(context.request.query)
    data = yield from _find_data(context, named_by, name)
    if isinstance(data, Reply):
        return data
    return context.render("person_erase.html", title="Erase a person", named_by=named_by, named=name, data=data)


def erase_person(context: Context) -> Steps[Reply]:
    """Erase the person, and say what is gone."""
    named_by, name = _read_name(context.request.form)
    if context.request.field("act") != "erase":
        raise EventsError("act: it must be erase.")
    try:
        erased: Erased = yield Call(_erase, context, named_by, name)
    except NotFound as error:
        return _say_unknown(context, error)
    context.forget_answers()
    return context.render("person_erased.html", title="Erased", erased=erased)


def export_person(context: Context) -> Steps[Reply]:
    """Send everything that is stored about the person as a file."""
    named_by, name = _read_name(context.request.form)
    data = yield from _find_data(context, named_by, name)
    if isinstance(data, Reply):
        return data
    body = msgspec.json.format(msgspec.json.encode(data), indent=2)
    return file_reply(body, "application/json", "personal-data.json")


def group_by_day(rows: Sequence[TimelineRow], zone: ZoneInfo) -> list[TimelineDay]:
    """Return events, the latest first, by local day and session."""
    days: list[TimelineDay] = []
    for row in rows:
        moment = row.occurred_at.astimezone(zone)
        label = f"{moment:%A}, {moment.day} {moment:%B %Y}"
        if not days or days[-1].label != label:
            days.append(TimelineDay(label, []))
        sessions = days[-1].sessions
        if not sessions or sessions[-1].session != row.session:
            sessions.append(TimelineSession(row.session, []))
        sessions[-1].events.append(row)
    return days


def find_main_property(row: TimelineRow) -> Any:
    """Return the value that tells most about an event: the page, or else the first property that is text or a number."""
    given = [row.properties.get(name) for name in MAIN_PROPERTIES]
    others = [value for name, value in row.properties.items() if not name.startswith("$")]
    return next((one for one in (*given, *others) if isinstance(one, str | int | float) and one != ""), None)


def order_properties(row: TimelineRow) -> list[tuple[str, Any]]:
    """Return an event's properties, those last that the tracker adds."""
    return sorted(row.properties.items(), key=lambda one: one[0].startswith("$"))


def _read_name(given: Any) -> tuple[str, str]:
    """Return how the person is named, and the name."""
    names = [(name, given[name][-1]) for name in NAMED_BY if given.get(name)]
    if len(names) != 1 or not names[0][1]:
        raise EventsError("email: give one of email, id and uuid, which name a person.")
    return names[0]


def _find_data(context: Context, named_by: str, name: str) -> Steps[PersonalData | Reply]:
    try:
        found: PersonalData = yield Call(_read_data, context, named_by, name)
    except NotFound as error:
        return _say_unknown(context, error)
    return found


def _read_data(context: Context, named_by: str, name: str) -> PersonalData:
    return context.tracking.admin.personal_data(context.view.list_id, **{named_by: name})


def _erase(context: Context, named_by: str, name: str) -> Erased:
    return context.tracking.admin.erase(context.view.list_id, **{named_by: name})


def _link_to_counts(context: Context, person: PersonRow) -> str:
    """Return the part with a person's counts. A person is known by the address, or else by the only visitor."""
    named = {"email": person.email} if person.email is not None else {"uuid": person.uuids[0]}
    return context.links.to("person.counts", filter=None, segment=None, **named)


def _refuse_reader(context: Context) -> Reply:
    reasons = ["You may only read here. Erasing and exporting a person need a key of scope full."]
    return context.refuse(reasons, status=403, title="Not allowed")


def _say_unknown(context: Context, error: NotFound) -> Reply:
    return context.refuse([str(error)], status=404, title="Not found")


PAGES = {
    "person": Page(show_person),
    "person.timeline": Page(show_timeline),
    "person.counts": Page(show_counts),
    "person.erase": Page(show_erasing, erase_person),
    "person.export": Page(act=export_person),
}
