"""Options, output and checks that the commands share: --db, --json, tables, opening the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from falcon_events.contract.lists import MAX_LIST_ID
from falcon_events.errors import NotFound, StoreError
from falcon_events.files.checks import check_links
from falcon_events.files.paths import list_links, resolve
from falcon_events.query.formats import escape as escape
from falcon_events.tracking import DEFAULT_DB, EventTracking

F = TypeVar("F", bound=Callable[..., Any])


class WholeNumber(click.IntRange):
    """An IntRange with a readable name in click's messages."""

    name = "whole number"


LIST_ID = WholeNumber(1, MAX_LIST_ID)
_GIVEN = "falcon_events.db"
"""The key of the path that --db was given, in the context of a command."""
TABLE_WIDTH = 10_000
"""The width of tables, in characters: terminals wrap wide lines, but cutting them to fit would hide the ends of ids."""


def check_text(ctx: click.Context, param: click.Parameter, text: str) -> str:
    """Check a name, as a callback of click: it must be printable Unicode and not empty."""
    if not text.strip():
        raise click.BadParameter("it is empty; at least one character is needed.", ctx, param)
    if not text.isprintable():
        wrong = f"{escape(text)} has characters that cannot be printed, such as a line break; remove them."
        raise click.BadParameter(wrong, ctx, param)
    return text


def db_option(command: F) -> F:
    """Add --db."""
    return click.option(
        "--db",
        default=DEFAULT_DB,
        envvar="FALCON_EVENTS_DB",
        show_default=True,
        show_envvar=True,
        metavar="PATH",
        callback=_check_path,
        help="The store's file.",
    )(command)


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def open_tracking(db: str, *, create: bool = False, **overrides: Any) -> EventTracking:
    """Return the tracker of a store, and say where the store is if its name was not the path of the file.

    Without `create`, a missing file is an error. `overrides` are settings.
    """
    show_store(db)
    if create and not Path(db).parent.is_dir():
        raise StoreError(f"--db {db}: there is no folder {Path(db).parent.resolve()}.")
    return EventTracking(db, create=create, **overrides)


def show_store(db: str) -> None:
    """Print the path of the store's file once, on standard error, if --db was a symbolic link.

    On a terminal, print it for a relative path, too. Elsewhere it would only be noise, such as a mail for each run of a cron job.
    """
    given = click.get_current_context().meta.pop(_GIVEN, db)
    if given != db and (list_links(given) or (sys.stderr is not None and sys.stderr.isatty())):
        click.echo(f"store: {escape(db)}", err=True)


def require_list(tracking: EventTracking, list_id: int) -> None:
    """Raise NotFound if the store does not have the list given by --list."""
    if tracking.directory.owner_of(list_id) is None:
        raise NotFound(f"--list {list_id}: there is no such list.")


def print_json(value: object) -> None:
    """Print a value as JSON on one line."""
    click.echo(msgspec.json.encode(value))


def print_rows(rows: Sequence[msgspec.Struct], as_json: bool, columns: Mapping[str, str]) -> None:
    """Print rows as JSON, or as a table of the columns (field: heading)."""
    if as_json:
        print_json(rows)
        return
    print_table(list(columns.values()), [[getattr(row, field) for field in columns] for row in rows])


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows below headings."""
    from rich.console import Console  # a fifth of a command's start-up time, and most commands do not need it
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(escape(heading), no_wrap=True)
    for row in rows:
        table.add_row(*(_format_cell(value) for value in row))
    console = Console(file=sys.stdout, width=TABLE_WIDTH, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def format_cells(row: Sequence[object]) -> list[str]:
    """Format a row's values as text, lists and objects as JSON."""
    return [msgspec.json.encode(value).decode() if isinstance(value, (list, dict)) else _format_value(value) for value in row]


def confirm(question: str) -> bool:
    """Ask a question on the terminal. Raise UsageError if standard input cannot answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        raise click.UsageError("--yes is needed: the question cannot be answered on standard input.") from None


def _check_path(ctx: click.Context, param: click.Parameter, path: str) -> str:
    """Check --db, and return the path of the file that it leads to."""
    if not path.strip():
        raise click.BadParameter("it is empty; the path of the store's file is needed.", ctx, param)
    if Path(path).is_dir():
        raise click.BadParameter(f"{path} is a folder; the path of a file is needed.", ctx, param)
    found = resolve(path)
    check_links(found, list_links(path))
    ctx.meta[_GIVEN] = path
    return str(found)


def _format_cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    return escape(format_cells([value])[0])


def _format_value(value: object) -> str:
    return "" if value is None else str(value)
