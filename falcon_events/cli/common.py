"""What the commands share: --db, --json, results as tables, and opening the store."""

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
from falcon_events.tracking import DEFAULT_DB, EventTracking

F = TypeVar("F", bound=Callable[..., Any])


class WholeNumber(click.IntRange):
    """click's IntRange under a name that its messages can say."""

    name = "whole number"


LIST_ID = WholeNumber(1, MAX_LIST_ID)
TABLE_WIDTH = 10_000
"""A terminal wraps what is wider than itself; a table that were cut to fit would hide the end of an id."""


def checked_text(ctx: click.Context, param: click.Parameter, text: str) -> str:
    """A callback for names: valid Unicode without control characters, and not empty."""
    if not text.strip():
        raise click.BadParameter("it is empty; at least one character is needed.", ctx, param)
    if not text.isprintable():
        raise click.BadParameter(f"{visible(text)} has characters that cannot be shown, such as a line break.", ctx, param)
    return text


def db_option(command: F) -> F:
    """Adds --db."""
    return click.option(
        "--db",
        default=DEFAULT_DB,
        envvar="FALCON_EVENTS_DB",
        show_default=True,
        show_envvar=True,
        metavar="PATH",
        callback=_checked_path,
        help="The store's file.",
    )(command)


def json_option(command: F) -> F:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def tracking_of(db: str, *, create: bool = False) -> EventTracking:
    """The tracker of a store; a command that only looks makes no file."""
    if create and not Path(db).parent.is_dir():
        raise StoreError(f"--db {db}: there is no folder {Path(db).parent}.")
    return EventTracking(db, create=create)


def require_list(tracking: EventTracking, list_id: int) -> None:
    """Raises NotFound where the store has no list for --list."""
    if tracking.directory.owner_of(list_id) is None:
        raise NotFound(f"--list {list_id}: there is no such list.")


def print_json(value: object) -> None:
    """Prints a value as JSON on one line."""
    click.echo(msgspec.json.encode(value))


def print_rows(rows: Sequence[msgspec.Struct], as_json: bool, columns: Mapping[str, str]) -> None:
    """Prints rows as JSON, or as a table of the columns (field: heading)."""
    if as_json:
        print_json(rows)
        return
    print_table(list(columns.values()), [[getattr(row, field) for field in columns] for row in rows])


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints rows below headings."""
    from rich.console import Console  # a fifth of a command's start, which most commands do without
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(visible(heading), no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(file=sys.stdout, width=TABLE_WIDTH, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def cells_as_text(row: Sequence[object]) -> list[str]:
    """A row's values as text; what is nested, as JSON."""
    return [msgspec.json.encode(value).decode() if isinstance(value, (list, dict)) else _text(value) for value in row]


def visible(text: str) -> str:
    """The text with whatever a terminal would obey instead of show as an escape: names come from strangers."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def confirmed(question: str) -> bool:
    """Asks on the terminal; raises UsageError where nobody can answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        raise click.UsageError("--yes is needed where nobody can answer.") from None


def _checked_path(ctx: click.Context, param: click.Parameter, path: str) -> str:
    if not path.strip():
        raise click.BadParameter("it is empty; the path of the store's file is needed.", ctx, param)
    if Path(path).is_dir():
        raise click.BadParameter(f"{path} is a folder; the path of a file is needed.", ctx, param)
    return path


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    return visible(cells_as_text([value])[0])


def _text(value: object) -> str:
    return "" if value is None else str(value)
