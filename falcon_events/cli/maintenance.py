"""The commands sql, backup, compact, doctor and owner: inspecting and maintaining a store, whether a server runs or not."""

from __future__ import annotations

import contextlib
import csv
import sys
import tempfile
import time
from pathlib import Path

import click

from falcon_events.cli.common import db_option, format_cells, json_option, open_tracking, print_json, print_table
from falcon_events.errors import EventsError
from falcon_events.files.doctor import examine
from falcon_events.files.lockfile import find, is_held
from falcon_events.model.reports import Table

ENDINGS = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
"""Which format the end of a file's name stands for."""


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
@click.option("--output", "-o", metavar="FILE", help="The file to write, which must not exist; by default standard output.")
@db_option
def sql(query: str | None, file: str | None, form: str | None, output: str | None, db: str) -> None:
    """Run QUERY, one SQL statement that only reads; - reads it from standard input. A server may be running."""
    text = _read_query(query, file)
    form = form or ENDINGS.get(Path(output or "").suffix.lower(), "table")
    if output is not None and Path(output).exists():
        raise EventsError(f"--output {output} exists already; give another path.")
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise EventsError(f"--output {output}: there is no folder {Path(output).absolute().parent}.")
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("--format parquet needs --output FILE, because a terminal cannot show Parquet.")
    with open_tracking(db) as tracking:
        found = tracking.sql(text)
    if form == "parquet":
        _write_parquet(found, output)
    elif output is None:
        _print_answer(found, form)
    else:
        with Path(output).open("x", encoding="utf-8") as target, contextlib.redirect_stdout(target):
            _print_answer(found, form)


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


def _write_parquet(found: Table, output: str | None) -> None:
    from falcon_events.store.database.parquet import write_parquet  # loads the database, which other commands do not need

    with tempfile.TemporaryDirectory(prefix="falcon-events-") as aside:
        written = Path(aside) / "rows.parquet"
        write_parquet(found, written)
        if output is None:
            sys.stdout.buffer.write(written.read_bytes())
            sys.stdout.buffer.flush()
        else:
            with Path(output).open("xb") as target:
                target.write(written.read_bytes())


@click.command()
@click.argument("out", metavar="OUT.duckdb")
@click.option("--replace", is_flag=True, help="Replace OUT if it exists.")
@db_option
@json_option
def backup(out: str, replace: bool, db: str, as_json: bool) -> None:
    """Write a copy of the store as it is now to OUT.duckdb. A server may be running."""
    target = Path(out)
    if not target.absolute().parent.is_dir():
        raise EventsError(f"{out}: there is no folder {target.parent}.")
    if target.is_dir() or (target.exists() and not replace):
        raise EventsError(f"{out} exists already; give another path or --replace.")
    if target.exists() and target.samefile(db):
        raise EventsError(f"{out} is the store itself; give another path.")
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
    """Free the disk space of deleted events. Events and queries wait meanwhile."""
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
    path = Path(db).absolute()
    place = find(path) if is_held(path) else None
    if place is None:
        if as_json:
            print_json(None)
        else:
            click.echo(f"no process holds {path.resolve()}")
        raise click.exceptions.Exit(1)
    with open_tracking(db) as tracking:
        state = tracking.owner()
    if as_json:
        print_json(state)
        return
    click.echo(f"store    {path.resolve()}")
    click.echo(f"process  {state.pid}, for {time.time() - state.since.timestamp():.0f} s")
    click.echo(f"socket   {state.socket}")
    click.echo(f"used by  {', '.join(str(pid) for pid in state.clients)} (this command among them)")
