"""The commands saved, save and forget: queries and segments of a list under a name."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from falcon_events.cli.common import db_option, escape, json_option
from falcon_events.cli.conditions import Given, JsonForm
from falcon_events.cli.grid import Grid, Records, format_moment, print_answer
from falcon_events.cli.questions import RULES_JSON, QuestionRequest, add_people, form_options, list_option, people_options
from falcon_events.errors import NotFound

CONTENTS = ("Query", "People", "RulesJson")


@click.command()
@list_option
@form_options
def saved(list_id: int, form: str | None, db: str) -> None:
    """List the saved queries and segments of a list."""
    print_answer(form, QuestionRequest(list_id).ask("saved", db), _tabulate, _record)


@click.command()
@click.argument("name")
@list_option
@people_options
@click.option("--rules-json", type=RULES_JSON, metavar="JSON", help="A segment in the documented syntax of segments, or @FILE.")
@click.option(
    "--query",
    type=JsonForm('{"Dimensions": ["path"]}'),
    metavar="JSON",
    help="A query instead of a segment: the parameters of website_events.query, or @FILE.",
)
@db_option
@json_option
def save(name: str, list_id: int, rules_json: Given | None, query: Given | None, db: str, as_json: bool, **given: Any) -> None:
    """Save a segment under NAME, or a query, and replace what has this name. Everybody who may ask sees it.

    A segment is given by conditions on persons, such as --has-done, or by --rules-json.
    """
    request = QuestionRequest(list_id)
    request.add(Name=name, RulesJson=rules_json, Query=query)
    add_people(request, given)
    if sum(content in request.params for content in CONTENTS) != 1:
        raise click.UsageError("One of these is needed: conditions on persons such as --has-done, --rules-json, or --query.")
    raw = request.ask("save", db)
    if as_json:
        click.echo(raw)
    else:
        found = msgspec.json.decode(raw)["Saved"]
        click.echo(f"{found['Kind']} {escape(found['Name'])} saved")


@click.command()
@click.argument("name")
@list_option
@db_option
@json_option
def forget(name: str, list_id: int, db: str, as_json: bool) -> None:
    """Forget the saved query or segment called NAME. No event is deleted."""
    request = QuestionRequest(list_id)
    request.add(Name=name)
    raw = request.ask("forget", db)
    if as_json:
        click.echo(raw)
    else:
        click.echo(f"{escape(name)} forgotten")


def find_saved_query(list_id: int, name: str, db: str) -> dict[str, Any]:
    """Return the parameters of a saved query. Raises NotFound if the list has none of this name."""
    found: dict[str, Any] = next(
        (one for one in msgspec.json.decode(QuestionRequest(list_id).ask("saved", db))["Saved"] if one["Name"] == name), {}
    )
    if "Query" not in found:
        wrong = "it is a segment; --segment takes it" if found else "'falcon-events saved' lists what is saved"
        raise NotFound(f"--saved {name}: there is no saved query of this name; {wrong}.")
    parameters: dict[str, Any] = found["Query"]
    return parameters


def _tabulate(answer: Any) -> list[Grid]:
    rows = [
        [one["Name"], one["Kind"], format_moment(one["SavedAt"]), msgspec.json.encode(_find_content(one)).decode()]
        for one in answer["Saved"]
    ]
    return [Grid(["name", "kind", "saved (UTC)", "content"], rows, [False] * 4)]


def _record(answer: Any) -> Records:
    rows = [[one["Name"], one["Kind"], one["SavedAt"], _find_content(one)] for one in answer["Saved"]]
    return Records(["name", "kind", "saved_at", "content"], rows)


def _find_content(one: Any) -> Any:
    return next(one[content] for content in CONTENTS if content in one)
