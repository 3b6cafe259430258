"""The commands people and timeline: who did something, and what one person did."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from falcon_events.cli.common import WholeNumber
from falcon_events.cli.conditions import Given, JsonForm
from falcon_events.cli.grid import Grid, Records, format_moment, format_numbers, print_answer
from falcon_events.cli.persons import check_person, person_options
from falcon_events.cli.questions import (
    RULES_JSON,
    QuestionRequest,
    add_filters,
    add_people,
    add_times,
    filter_options,
    form_options,
    list_option,
    people_options,
    request_option,
    time_options,
)
from falcon_events.query.person_reading import MAX_EVENTS, MAX_PEOPLE, ORDERS

OF = JsonForm('{"Dimensions": ["event"], "Row": {"Dimensions": ["signup"]}}')


@click.command()
@list_option
@people_options
@click.option(
    "--rules-json", type=RULES_JSON, metavar="JSON", help="Conditions in the documented syntax of segments instead, or @FILE."
)
@click.option(
    "--of", type=OF, metavar="JSON", help="Whom a number of another question counts: its parameters with Row, or @FILE."
)
@click.option(
    "--order",
    metavar="NAME",
    help=f"{', '.join(ORDERS)}; by default last_seen. 'NAME asc' or 'NAME desc' changes the direction.",
)
@click.option("--limit", type=WholeNumber(1, MAX_PEOPLE), metavar="N", help="How many persons, by default 100.")
@click.option("--cursor", metavar="TEXT", help="Go on after a page: the cursor that it ends with.")
@time_options(with_range=False)
@request_option
@form_options
def people(
    list_id: int, rules_json: Given | None, of: Given | None, order: str | None, form: str | None, db: str, **given: Any
) -> None:
    """Show who did something or did not: by default all persons, the last seen first. A server may be running."""
    request = QuestionRequest(list_id)
    add_people(request, given)
    request.add(RulesJson=rules_json, Of=of, Limit=given["limit"], Cursor=given["cursor"])
    if sum(name in request.params for name in ("People", "RulesJson", "Of")) > 1:
        raise click.UsageError("Conditions on persons, --rules-json and --of exclude each other.")
    if order is not None:
        request.add(OrderBy=_parse_order(order))
    add_times(request, given)
    request.add_request("people", given["request"])
    print_answer(form, request.ask("people", db), _tabulate_people, _record_people)


def _parse_order(text: str) -> str | list[str]:
    """Parse `events` or `events asc`. A request has the two words as an array, so its message would not fit."""
    words = text.split()
    if len(words) not in (1, 2) or words[0] not in ORDERS or words[1:] not in ([], ["asc"], ["desc"]):
        expected = f"{', '.join(ORDERS)}, or one of them and asc or desc, such as 'events asc'"
        raise click.UsageError(f'--order: "{text}" must be {expected}.')
    return words[0] if len(words) == 1 else words


def _tabulate_people(answer: Any) -> list[Grid]:
    found = answer["People"]
    counts = format_numbers([one["Events"] for one in found])
    rows = [
        [
            _name_person(one),
            ", ".join(one["IDs"]),
            count,
            format_moment(one["FirstSeen"]),
            format_moment(one["LastSeen"]),
            msgspec.json.encode(one["Traits"]).decode() if one["Traits"] else "",
        ]
        for one, count in zip(found, counts, strict=True)
    ]
    click.echo(f"{len(found):,} of {answer['Count']:,} person{'s' * (answer['Count'] != 1)}", err=True)
    _tell_cursor(answer)
    headings = ["person", "id", "events", "first seen (UTC)", "last seen (UTC)", "traits"]
    return [Grid(headings, rows, [False, False, True, False, False, False])]


def _record_people(answer: Any) -> Records:
    columns = {
        "Email": "email",
        "IDs": "ids",
        "UUIDs": "uuids",
        "FirstSeen": "first_seen",
        "LastSeen": "last_seen",
        "Events": "events",
        "Traits": "traits",
    }
    _tell_cursor(answer)
    return Records(list(columns.values()), [[one[name] for name in columns] for one in answer["People"]])


@click.command()
@list_option
@person_options
@filter_options
@click.option("--limit", type=WholeNumber(1, MAX_EVENTS), metavar="N", help="How many events, by default 100.")
@click.option("--cursor", metavar="TEXT", help="Go on after a page: the cursor that it ends with.")
@request_option
@form_options
def timeline(list_id: int, email: str | None, id: str | None, uuid: str | None, form: str | None, db: str, **given: Any) -> None:
    """Show what one person did, the latest first. A blank line stands between sessions. A server may be running."""
    if given["request"] is None:
        check_person({"email": email, "id": id, "uuid": uuid})
    request = QuestionRequest(list_id)
    request.add(Email=email, ID=id, UUID=uuid, Limit=given["limit"], Cursor=given["cursor"])
    add_filters(request, given)
    request.add_request("timeline", given["request"])
    print_answer(form, request.ask("timeline", db), _tabulate_timeline, _record_timeline)


def _tabulate_timeline(answer: Any) -> list[Grid]:
    person = answer["Person"]
    about = {
        "person": _name_person(person),
        "ids": ", ".join(person["IDs"]),
        "visitors": ", ".join(person["UUIDs"]),
        "events": f"{person['Events']:,}",
        "first seen": format_moment(person["FirstSeen"]),
        "last seen": format_moment(person["LastSeen"]),
        "traits": msgspec.json.encode(person["Traits"]).decode() if person["Traits"] else "",
    }
    details = [[name, value] for name, value in about.items() if value]
    rows: list[list[str]] = []
    session = None
    for one in answer["Events"]:
        if session not in (None, one["Session"]):
            rows.append(["", "", ""])
        session = one["Session"]
        rows.append([format_moment(one["OccurredAt"]), one["Event"], msgspec.json.encode(one["Properties"]).decode()])
    _tell_cursor(answer)
    return [
        Grid(["", ""], details, [False, False]),
        Grid(["time (UTC)", "event", "properties"], rows, [False] * 3),
    ]


def _record_timeline(answer: Any) -> Records:
    columns = {
        "EventID": "event_id",
        "Event": "event",
        "OccurredAt": "occurred_at",
        "ReceivedAt": "received_at",
        "UUID": "uuid",
        "Session": "session",
        "Properties": "properties",
    }
    _tell_cursor(answer)
    return Records(list(columns.values()), [[one[name] for name in columns] for one in answer["Events"]])


def _name_person(person: Any) -> str:
    return str(person["Email"] or next(iter(person["UUIDs"]), ""))


def _tell_cursor(answer: Any) -> None:
    if answer["NextCursor"] is not None:
        click.echo(f"the next page: --cursor {answer['NextCursor']}", err=True)
