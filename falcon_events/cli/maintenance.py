"""The commands sql, backup, compact, doctor and owner: inspecting and maintaining a store, whether a server runs or not."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import click

from falcon_events.cli.common import db_option, escape, format_cells, json_option, open_tracking, print_json, print_table
from falcon_events.cli.output import check_output, force_option, is_stream
from falcon_events.errors import EventsError
from falcon_events.files.doctor import examine
from falcon_events.files.lockfile import find, is_held


@click.command()
@click.argument("query")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
@db_option
def sql(query: str, form: str, db: str) -> None:
    """Run QUERY, one SELECT on the store's tables. A server may be running."""
    with open_tracking(db) as tracking:
        found = tracking.sql(query)
    if form == "json":
        print_json([dict(zip(found.columns, row, strict=True)) for row in found.rows])
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(found.columns)
        writer.writerows(format_cells(row) for row in found.rows)
    else:
        print_table(found.columns, found.rows)


@click.command()
@click.argument("out", metavar="OUT.duckdb")
@force_option("--replace", what="OUT")
@db_option
@json_option
def backup(out: str, force: bool, db: str, as_json: bool) -> None:
    """Write a copy of the store as it is now to OUT.duckdb. A server may be running."""
    target = check_output("", out, db, force=force, is_backup=True)
    if is_stream(target):
        raise EventsError(f"{out} is a device or a pipe; the path of a file is needed.")
    with open_tracking(db) as tracking:
        size = tracking.backup(target)
    if as_json:
        print_json({"file": out, "bytes": size})
    else:
        click.echo(f"{size} bytes written to {out}; to restore, stop all servers and copy it to {db}")


@click.command()
@db_option
@json_option
def compact(db: str, as_json: bool) -> None:
    """Free the disk space of deleted events. A server may be running."""
    with open_tracking(db) as tracking:
        sizes = tracking.compact()
    if as_json:
        print_json(sizes)
    else:
        click.echo(f"{db}: {sizes.before} bytes before, {sizes.after} bytes after")


@click.command()
@db_option
@json_option
def doctor(db: str, as_json: bool) -> None:
    """Check the file, the catalogue, the socket and the disk. If something is wrong, say what to do and exit with 1."""
    with open_tracking(db) as tracking:
        checks = [*examine(Path(db)), *tracking.check()]
    if as_json:
        print_json(checks)
    else:
        rows = [["ok" if check.ok else "WRONG", check.name, check.found] for check in checks]
        print_table(["", "what", "found"], rows)
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)


@click.command()
@db_option
@json_option
def owner(db: str, as_json: bool) -> None:
    """Show the process that holds the store's file. Also show the processes that use it. Exit with 1 if no process holds it."""
    path = Path(db)
    place = find(path) if is_held(path) else None
    if place is None:
        if as_json:
            print_json(None)
        else:
            click.echo(f"no process holds {escape(db)}")
        raise click.exceptions.Exit(1)
    with open_tracking(db) as tracking:
        state = tracking.owner()
    if as_json:
        print_json(state)
        return
    click.echo(f"store    {escape(db)}")
    click.echo(f"process  {state.pid}, for {time.time() - state.since.timestamp():.0f} s")
    click.echo(f"socket   {state.socket}")
    click.echo(f"used by  {', '.join(str(pid) for pid in state.clients)} (this command among them)")
