"""The command erase, and the options that find a person for it and for `export --visitor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from falcon_events.cli.common import LIST_ID, confirm, db_option, json_option, open_tracking, print_json

F = TypeVar("F", bound=Callable[..., Any])


def person_options(command: F) -> F:
    """Add --email, --id and --uuid, one of which is needed."""
    command = click.option("--uuid", metavar="UUID", help="The visitor's uuid.")(command)
    command = click.option("--id", metavar="ID", help="The person's id in the sender's system.")(command)
    return click.option("--email", metavar="ADDRESS", help="The person's email address.")(command)


def check_person(person: Mapping[str, str | None]) -> None:
    """Raise UsageError unless exactly one of the options is given."""
    if sum(given is not None for given in person.values()) != 1:
        raise click.UsageError("Exactly one of --email, --id and --uuid is needed to find a person.")


def warn_of_shared(visitors: Sequence[str]) -> None:
    """Say which of a person's visitors other people use too."""
    if visitors:
        browsers = "this browser is" if len(visitors) == 1 else "these browsers are"
        click.echo(f"{browsers} shared with other people, whose data is left out: {', '.join(visitors)}", err=True)


@click.command()
@click.option("--list", "list_id", type=LIST_ID, metavar="N", required=True, help="The list.")
@person_options
@click.option("--yes", is_flag=True, help="Erase without asking.")
@db_option
@json_option
def erase(list_id: int, yes: bool, db: str, as_json: bool, **person: str | None) -> None:
    """Remove a person from a list. Events, addresses, traits and counts are erased. Asks first."""
    check_person(person)
    with open_tracking(db) as tracking:
        found = tracking.personal_data(list_id, **person)
        warn_of_shared(found.shared_visitors)
        visitors = f"{len(found.visitors)} visitor{'s' * (len(found.visitors) != 1)}"
        if not yes and not confirm(f"Erase {visitors} of list {list_id} with {len(found.events)} events? This cannot be undone."):
            click.echo("nothing erased", err=True)
            raise click.exceptions.Exit(1)
        erased = tracking.erase(list_id, **person)
    if as_json:
        print_json(erased)
    else:
        click.echo(f"erased: {visitors}, {erased.events} events, {erased.bindings} addresses, {erased.event_ids} EventIDs")
        click.echo("The file's free pages may still hold the data; 'falcon-events compact' removes it from there.", err=True)
    if erased.left_in:
        click.echo(f"Delete these files beside the store, which still contain the person: {', '.join(erased.left_in)}", err=True)
