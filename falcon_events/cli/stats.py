"""The commands properties and stats: the contents of a store."""

from __future__ import annotations

import click

from falcon_events.cli.common import LIST_ID, db_option, escape, json_option, open_tracking, print_json, print_rows, require_list


@click.command()
@click.option("--list", "list_id", type=LIST_ID, metavar="N", required=True, help="The list.")
@click.option("--recount", is_flag=True, help="Count again from all events, and exit with 1 if the catalogue differs.")
@db_option
@json_option
def properties(list_id: int, recount: bool, db: str, as_json: bool) -> None:
    """Show the property names of a list, by event type."""
    with open_tracking(db) as tracking:
        require_list(tracking, list_id)
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
            click.echo(escape(event))
            for name in found:
                click.echo(f"  {escape(name)}")
        if differs is not None:
            click.echo("the catalogue differs from this count" if differs else "the catalogue agrees with this count", err=True)
    if differs:
        raise click.exceptions.Exit(1)


@click.command()
@db_option
@json_option
def stats(db: str, as_json: bool) -> None:
    """Show what the store holds.

    The output has events by list and type, their times, the sizes of the files, the events that are not folded into the catalogue
    yet, the events that were dropped, and the most frequent reasons why no visitor sent an event.
    """
    with open_tracking(db) as tracking:
        held = tracking.stats()
    if as_json:
        print_json(held)
        return
    click.echo(f"store          {escape(db)}")
    click.echo(f"events         {held.events}")
    click.echo(f"oldest         {held.oldest or '-'}")
    click.echo(f"newest         {held.newest or '-'}")
    click.echo(f"unfolded tail  {held.unfolded_events} events")
    click.echo(f"file           {held.file_bytes} bytes, its log {held.wal_bytes} bytes")
    click.echo(f"schema         {held.schema_version}, DuckDB {held.database_version}")
    if held.by_type:
        click.echo()
        columns = {"list_id": "list", "event": "event", "events": "events", "first_seen": "first seen", "last_seen": "last seen"}
        if any(count.deleted for count in held.by_type):
            columns["deleted"] = "deleted by age"
        print_rows(held.by_type, False, columns)
    if held.dropped:
        click.echo("\nnot stored, because no visitor sent them or a before_store hook dropped them:")
        columns = {"list_id": "list", "events": "events", "first_seen": "first seen", "last_seen": "last seen"}
        print_rows(held.dropped, False, columns)
    if held.bots:
        click.echo("\nof the newest 100,000 events, those that no visitor sent, by $bot:")
        print_rows(held.bots, False, {"list_id": "list", "bot": "$bot", "events": "events"})
