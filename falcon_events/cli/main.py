"""The command group, and errors in one line with exit code 2."""

from __future__ import annotations

import sys

import click

import falcon_events
from falcon_events.cli.manage import accounts, keys, lists, sessions
from falcon_events.cli.query import properties, stats
from falcon_events.cli.serve import serve
from falcon_events.cli.transfer import export, import_
from falcon_events.errors import EventsError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(falcon_events.__version__, prog_name="falcon-events")
def cli() -> None:
    """Event tracking with a database in a file: serve it, manage who may use it, move events in and out."""


for command in (serve, accounts, lists, keys, sessions, properties, stats, import_, export):
    cli.add_command(command)


def main() -> None:
    """Runs the command; errors are one line on standard error, and exit code 2."""
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        _fail("aborted")
    except click.ClickException as error:
        hint = f" See '{error.ctx.command_path} --help'." if isinstance(error, click.UsageError) and error.ctx else ""
        _fail(error.format_message() + hint)
    except EventsError as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: nothing to tell, and nobody to tell it to
        sys.exit(1)


def _fail(message: str) -> None:
    click.echo(f"falcon-events: {' '.join(message.split())}", err=True)
    sys.exit(2)
