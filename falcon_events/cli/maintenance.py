"""The commands sql, backup, compact, prune, doctor and owner: to inspect and maintain a store, whether a server runs or not."""

from __future__ import annotations

import contextlib
import csv
import sys
import tempfile
import time
from pathlib import Path

import click

from falcon_events.access.validation import MAX_KEEP_DAYS
from falcon_events.cli.common import (
    LIST_ID,
    WholeNumber,
    db_option,
    escape,
    format_cells,
    json_option,
    open_tracking,
    print_json,
    print_rows,
    print_table,
    require_list,
)
from falcon_events.cli.output import check_output, force_option, is_stream, put_in_place
from falcon_events.errors import EventsError
from falcon_events.files.doctor import examine
from falcon_events.files.lockfile import find, is_held
from falcon_events.model.reports import Table

ENDINGS = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
"""Which format the end of a file's name stands for."""
REBUILT = ("columns", "keys")
"""The names of the checks whose faults --repair mends."""


@click.command()
@click.argument("query", required=False)
@click.option("--file", "-f", "file", metavar="FILE", help="Read the query from a file, or from standard input (-).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    help="How to print the rows; by default what the name of --output ends in, or a table.",
)
@click.option("--csv", "form", flag_value="csv", help="The same as --format csv.")
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("--parquet", "form", flag_value="parquet", help="The same as --format parquet.")
@click.option("--output", "-o", metavar="FILE", help="The file to write; by default standard output.")
@force_option(what="FILE")
@db_option
def sql(query: str | None, file: str | None, form: str | None, output: str | None, force: bool, db: str) -> None:
    """Run QUERY, one SELECT on the store's tables; - reads it from standard input. A server may be running."""
    text = _read_query(query, file)
    form = form or ENDINGS.get(Path(output or "").suffix.lower(), "table")
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("--format parquet needs --output FILE, because a terminal cannot show Parquet.")
    target = None if output is None else check_output("--output", output, db, force=force)
    with open_tracking(db) as tracking:
        found = tracking.sql(text)
    if target is None and form != "parquet":
        _print_answer(found, form)
        return
    with tempfile.TemporaryDirectory(prefix=".falcon-events-sql-", dir=_folder_of(target)) as aside:
        written = Path(aside) / "answer"
        _write_answer(found, form, written)
        if target is None:
            sys.stdout.buffer.write(written.read_bytes())
            sys.stdout.buffer.flush()
        elif is_stream(target):
            target.write_bytes(written.read_bytes())
        else:
            put_in_place(written, target, force=force)


def _folder_of(target: Path | None) -> Path | None:
    """Return the folder of a file, so that moving a finished file there is one step; None for streams."""
    return None if target is None or is_stream(target) else target.parent


def _read_query(query: str | None, file: str | None) -> str:
    """Return the query: the argument, or the content of a file or of standard input."""
    if (query is None) is (file is None):
        raise click.UsageError("QUERY or --file FILE is needed, and not both.")
    source = file if file is not None else "-" if query == "-" else None
    if source is None:
        return query or ""
    if source == "-" and sys.stdin is None:
        raise click.UsageError("-: standard input is closed.")
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise EventsError(f"--file {source} cannot be read: {error.strerror}.") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EventsError(f"--file {source}: expected a query in UTF-8.") from None


def _print_answer(found: Table, form: str) -> None:
    if form == "json":
        print_json([dict(zip(found.columns, row, strict=True)) for row in found.rows])
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(found.columns)
        writer.writerows(format_cells(row) for row in found.rows)
    else:
        print_table(found.columns, found.rows)


def _write_answer(found: Table, form: str, path: Path) -> None:
    if form == "parquet":
        from falcon_events.store.database.parquet import write_parquet  # loads the database, which other commands do not need

        write_parquet(found, path)
        return
    with path.open("x", encoding="utf-8") as target, contextlib.redirect_stdout(target):
        _print_answer(found, form)


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
@click.option("--list", "list_id", type=LIST_ID, metavar="N", help="Only this list; by default all lists with such a rule.")
@click.option("--dry-run", is_flag=True, help="Delete nothing, and only show what would be deleted.")
@click.option(
    "--keep-days",
    type=WholeNumber(1, MAX_KEEP_DAYS),
    metavar="N",
    help="With --list and --dry-run: show what this rule would delete, before you give it to the list.",
)
@db_option
@json_option
def prune(list_id: int | None, dry_run: bool, keep_days: int | None, db: str, as_json: bool) -> None:
    """Delete the events that are older than the rules of their list keep them (lists rules --keep-days), now and to the end.

    The store does the same by itself, in the background. A server may be running.
    """
    if keep_days is not None and (list_id is None or not dry_run):
        raise click.UsageError("--keep-days needs --list and --dry-run; 'lists rules LIST --keep-days N' sets the rule.")
    with open_tracking(db) as tracking:
        if list_id is not None:
            require_list(tracking, list_id)
        reports = tracking.admin.prune(list_id, dry_run=dry_run, keep_days=keep_days)
    columns = {
        "list_id": "list",
        "keep_days": "keep days",
        "keeps_from": "keeps from",
        "events": "to delete" if dry_run else "deleted",
        "awaited": "wait for a webhook",
        "oldest_left": "oldest left",
    }
    if not reports and not as_json:
        click.echo("every list keeps its events for ever", err=True)
    print_rows(reports, as_json, columns)


@click.command()
@click.option(
    "--repair",
    is_flag=True,
    help="Write the typed columns that questions read anew if they are wrong, and check again. A server may be running.",
)
@db_option
@json_option
def doctor(repair: bool, db: str, as_json: bool) -> None:
    """Check the file, the catalogue, the socket and the disk. If something is wrong, say what to do and exit with 1."""
    with open_tracking(db) as tracking:
        checks = [*examine(Path(db)), *tracking.check()]
        if repair and any(check.name in REBUILT and not check.ok for check in checks):
            tracking.rebuild_columns()
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
