"""What the commands share: --db, --json, results as tables, and opening the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from falcon_events.errors import SettingError
from falcon_events.store.store import Store
from falcon_events.tracking import DEFAULT_DB, EventTracking

F = TypeVar("F", bound=Callable[..., Any])


def db_option(command: F) -> F:
    """Adds --db."""
    return click.option(
        "--db",
        default=DEFAULT_DB,
        envvar="FALCON_EVENTS_DB",
        show_default=True,
        show_envvar=True,
        metavar="PATH",
        help="The store's file.",
    )(command)


def json_option(command: F) -> F:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def tracking_of(db: str, *, create: bool = False) -> EventTracking:
    """The tracker of a store; a command that only looks makes no file."""
    from falcon_events.settings import Settings

    try:
        return EventTracking(db, store=Store(Path(db), Settings.from_environment(), create=create))
    except SettingError as error:
        raise click.ClickException(str(error)) from None


def print_json(value: object) -> None:
    """Prints a value as JSON on one line."""
    click.echo(msgspec.json.encode(value).decode())


def print_rows(rows: Sequence[msgspec.Struct], as_json: bool, columns: Mapping[str, str]) -> None:
    """Prints rows as JSON, or as a table of the columns (field: heading)."""
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for heading in columns.values():
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(getattr(row, field)) for field in columns))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False).print(table)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else str(value)
