"""The command group. Errors are printed in one line, with exit code 2."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from falcon_events._version import __version__
from falcon_events.cli.accounts import accounts, keys, lists, sessions
from falcon_events.cli.common import escape
from falcon_events.cli.events import events
from falcon_events.cli.export import export
from falcon_events.cli.funnel import funnel, retention
from falcon_events.cli.import_ import import_
from falcon_events.cli.maintenance import backup, compact, doctor, owner, prune, sql
from falcon_events.cli.people import people, timeline
from falcon_events.cli.persons import erase
from falcon_events.cli.plan import plan
from falcon_events.cli.query import query, values
from falcon_events.cli.report import report
from falcon_events.cli.saved import forget, save, saved
from falcon_events.cli.serve import serve
from falcon_events.cli.service import health, install_service
from falcon_events.cli.snippet import snippet
from falcon_events.cli.stats import properties, stats
from falcon_events.cli.webhooks import deliveries, webhooks
from falcon_events.errors import EventsError

INTERRUPTED = 130
"""The exit code after SIGINT, 128 + 2, as shells report it."""


def _show_versions(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    """Show the versions without loading the database, which would take longer than the rest of the command."""
    if wanted:
        from importlib.metadata import version
        from platform import python_version

        click.echo(f"falcon-events {__version__} (Python {python_version()}, DuckDB {version('duckdb')})")
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_versions,
    help="Show the versions of falcon-events, Python and DuckDB, and exit.",
)  # fmt: skip
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Event tracking with a database in a file: run the server, manage access, import and export events."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


_COMMANDS = (
    serve, accounts, lists, keys, sessions, snippet, events, properties, stats, query, funnel, retention, people, timeline,
    values, saved, save, forget, report, import_, export, erase, sql, backup, compact, prune, doctor, owner, webhooks, deliveries,
    plan, install_service, health,
)  # fmt: skip
for command in _COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command. Errors are one line on standard error, with exit code 2."""
    os.umask(0o077)  # stores, their logs, exports and reject files hold personal data
    try:
        code = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(code or 0)
    except click.exceptions.Abort:
        _fail("stopped", INTERRUPTED)
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a command group without a command, since click 8.2
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        hint = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        _fail(error.format_message() + hint)
    except click.ClickException as error:
        _fail(error.format_message())
    except EventsError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of the output has closed it
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if not error.filename:  # the error is standard output's
            _drop_output()
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def _drop_output() -> None:
    """Discard buffered output. Otherwise Python would write it again at exit, fail, and change the exit code."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int = 2) -> NoReturn:
    click.echo(escape(f"falcon-events: {' '.join(message.split())}"), err=True)
    sys.exit(code)
