"""The command group, and errors in one line with exit code 2."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from falcon_events._version import __version__
from falcon_events.cli.accounts import accounts, keys, lists, sessions
from falcon_events.cli.common import visible
from falcon_events.cli.export import export
from falcon_events.cli.import_ import import_
from falcon_events.cli.maintenance import backup, compact, doctor, owner, sql
from falcon_events.cli.persons import erase
from falcon_events.cli.plan import plan
from falcon_events.cli.serve import serve
from falcon_events.cli.service import health, install_service
from falcon_events.cli.snippet import snippet
from falcon_events.cli.stats import properties, stats
from falcon_events.cli.webhooks import deliveries, webhooks
from falcon_events.errors import EventsError

INTERRUPTED = 130
"""128 + SIGINT, as shells count."""


def _show_versions(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    """Without loading the database, which takes longer than everything else that the command does."""
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
    """Event tracking with a database in a file: serve it, manage who may use it, move events in and out."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


_COMMANDS = (
    serve, accounts, lists, keys, sessions, snippet, properties, stats, import_, export, erase, sql, backup, compact, doctor,
    owner, webhooks, deliveries, plan, install_service, health,
)  # fmt: skip
for command in _COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Runs the command; errors are one line on standard error, and exit code 2."""
    os.umask(0o077)  # stores, their logs, exports and reject files hold personal data
    try:
        code = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(code or 0)
    except click.exceptions.Abort:
        _fail("stopped", INTERRUPTED)
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a command group by itself; since click 8.2
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        hint = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        _fail(error.format_message() + hint)
    except click.ClickException as error:
        _fail(error.format_message())
    except EventsError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever read our output has gone
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if not error.filename:  # standard output's own
            _drop_output()
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def _drop_output() -> None:
    """What is left in the buffer must not be tried once more at exit: the exit code would be Python's, not ours."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int = 2) -> NoReturn:
    click.echo(visible(f"falcon-events: {' '.join(message.split())}"), err=True)
    sys.exit(code)
