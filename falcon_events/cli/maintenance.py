"""sql, backup, compact, doctor, owner: looking at a store and looking after it, while a server runs or not."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import click

from falcon_events.cli.common import cells_as_text, db_option, json_option, print_json, print_table, tracking_of
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
    help="How the rows are printed.",
)
@db_option
def sql(query: str, form: str, db: str) -> None:
    """Run QUERY, one SQL statement that only looks, also while a server runs."""
    with tracking_of(db) as tracking:
        found = tracking.sql(query)
    if form == "json":
        print_json([dict(zip(found.columns, row, strict=True)) for row in found.rows])
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(found.columns)
        writer.writerows(cells_as_text(row) for row in found.rows)
    else:
        print_table(found.columns, found.rows)


@click.command()
@click.argument("out", metavar="OUT.duckdb")
@click.option("--replace", is_flag=True, help="Replace OUT where it exists.")
@db_option
@json_option
def backup(out: str, replace: bool, db: str, as_json: bool) -> None:
    """Write a copy of the store as it is now to OUT.duckdb, also while a server runs."""
    target = Path(out)
    if not target.absolute().parent.is_dir():
        raise EventsError(f"{out}: there is no folder {target.parent}.")
    if target.is_dir() or (target.exists() and not replace):
        raise EventsError(f"{out} exists already; give another path, or --replace.")
    if target.exists() and target.samefile(db):
        raise EventsError(f"{out} is the store itself; give another path.")
    with tracking_of(db) as tracking:
        size = tracking.backup(target)
    if as_json:
        print_json({"file": out, "bytes": size})
    else:
        click.echo(f"{size} bytes written to {out}; to restore, stop all servers and copy it to {db}")


@click.command()
@db_option
@json_option
def compact(db: str, as_json: bool) -> None:
    """Give the disk space of deleted events back; events and queries wait meanwhile."""
    with tracking_of(db) as tracking:
        sizes = tracking.compact()
    if as_json:
        print_json(sizes)
    else:
        click.echo(f"{db}: {sizes.before} bytes before, {sizes.after} after")


@click.command()
@db_option
@json_option
def doctor(db: str, as_json: bool) -> None:
    """Check the file, the catalogue, the socket and the disk; exit 1 where something is wrong, and say what to do."""
    with tracking_of(db) as tracking:
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
    """Show which process holds the store's file, and which ones use it; exit 1 where none does."""
    path = Path(db).absolute()
    place = find(path) if is_held(path) else None
    if place is None:
        if as_json:
            print_json(None)
        else:
            click.echo(f"no process holds {db}")
        raise click.exceptions.Exit(1)
    with tracking_of(db) as tracking:
        state = tracking.owner()
    if as_json:
        print_json(state)
        return
    click.echo(f"process  {state.pid}, for {time.time() - state.since.timestamp():.0f} s")
    click.echo(f"socket   {state.socket}")
    click.echo(f"used by  {', '.join(str(pid) for pid in state.clients)} (this command among them)")
