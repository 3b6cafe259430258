"""properties and stats: what a store holds."""

from __future__ import annotations

import click

from falcon_events.cli.common import db_option, json_option, print_json, print_rows, tracking_of
from falcon_events.errors import NotFound


@click.command()
@click.option("--list", "list_id", type=click.IntRange(1), required=True, help="The list.")
@click.option("--recount", is_flag=True, help="Count afresh from all events, and exit 1 where the catalogue differs.")
@db_option
@json_option
def properties(list_id: int, recount: bool, db: str, as_json: bool) -> None:
    """Show the property names of a list, by event type."""
    with tracking_of(db) as tracking:
        if tracking.directory.owner_of(list_id) is None:
            raise NotFound(f"There is no list {list_id}.")
        differs = None
        if recount:
            counted = tracking.recount(list_id)
            names, differs = counted.properties, counted.differs
        else:
            names = tracking.properties(list_id)
    if as_json:
        print_json({"ListID": str(list_id), "Properties": names} | ({} if differs is None else {"differs": differs}))
    else:
        for event, found in names.items():
            click.echo(event)
            for name in found:
                click.echo(f"  {name}")
        if differs is not None:
            click.echo("the catalogue differs from this count" if differs else "the catalogue agrees with this count", err=True)
    if differs:
        raise click.exceptions.Exit(1)


@click.command()
@db_option
@json_option
def stats(db: str, as_json: bool) -> None:
    """Show how much the store holds."""
    with tracking_of(db) as tracking:
        held = tracking.stats()
    if as_json:
        print_json(held)
        return
    click.echo(f"{held.events} events from {held.oldest or '-'} to {held.newest or '-'}, {held.unfolded_events} not yet folded")
    click.echo(
        f"{held.file_bytes} bytes in the file, {held.wal_bytes} in its log; schema {held.schema_version}, DuckDB {held.database_version}"
    )
    if held.by_type:
        columns = {"list_id": "list", "event": "event", "events": "events", "first_seen": "first seen", "last_seen": "last seen"}
        print_rows(held.by_type, False, columns)
