"""The commands install-service and health: running a server permanently, and checking whether it works."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import click

from falcon_events._version import __version__
from falcon_events.cli.common import WholeNumber, escape
from falcon_events.cli.unit import HOMES, STATE, TEMPORARY, VOLATILE, Service, is_below, render_unit
from falcon_events.errors import EventsError

DEFAULT_NAME = "falcon-events"
DEFAULT_URL = "http://127.0.0.1:8080"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
HOST = re.compile(r"[A-Za-z0-9._:%-]+")
SPACE = re.compile(r"[\x00-\x20\x7f]")
MOST_BYTES = 65536
"""The most bytes of a reply that are read; no reply of the server is longer."""
ASK_AGAIN_S = 0.2


@click.command("install-service")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="The name of the unit and of its folder in /var/lib.")
@click.option("--db", metavar="PATH", help="The store's file, an absolute path.  [default: /var/lib/NAME/events.duckdb]")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=WholeNumber(1, 65535), metavar="N", help="The port to listen on.")
@click.option(
    "--workers", default=1, show_default=True, type=WholeNumber(1, 64), metavar="N", help="How many processes handle requests."
)
@click.option("--user", default=DEFAULT_NAME, show_default=True, help="The system user that the server runs as; it must exist.")
@click.option("--dynamic-user", is_flag=True, help="Let systemd create a user for each start of the server, instead of --user.")
@click.pass_context
def install_service(
    ctx: click.Context, name: str, db: str | None, host: str, port: int, workers: int, user: str, dynamic_user: bool
) -> None:
    """Print a systemd unit for `serve`. Nothing is installed.

    The unit keeps the server running and gives it no access to anything that it does not need.

    To install it: falcon-events install-service | sudo tee /etc/systemd/system/falcon-events.service
    """
    _check("--name", name, NAME, "a name of letters, digits, -, _ and . is needed, such as falcon-events")
    _check("--user", user, USER, "the name of a system user is needed, such as falcon-events")
    _check("--host", host, HOST, "an address or a host name is needed, such as 127.0.0.1")
    if dynamic_user and ctx.get_parameter_source("user") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--user and --dynamic-user exclude each other.")
    home = STATE / name
    path = _check_db(db, home / "events.duckdb")
    if dynamic_user and not is_below(path.parent, [home]):
        raise click.UsageError(f"--db {path}: with --dynamic-user a file in {home} is needed, or give --user.")
    service = Service(
        name=name,
        version=__version__,
        command=find_command(),
        libraries=() if getattr(sys, "frozen", False) else (Path(sys.prefix), Path(sys.base_prefix)),
        db=path,
        host=host,
        port=port,
        workers=workers,
        user=None if dynamic_user else user,
    )
    parts = (Path(service.command[0]), *service.libraries)
    for part in parts:
        if any(is_below(place, TEMPORARY) for place in _resolve(part)):
            raise EventsError(
                f"{part} is in a temporary folder, which the service cannot see: install falcon-events in /opt or"
                " /usr/local/bin, and call it there."
            )
    for part in parts:
        if is_below(part, HOMES):
            text = f"{part} is in a home folder, which other users usually cannot read: better install falcon-events in /opt"
            click.echo(f"falcon-events: {text} or /usr/local/bin, and call it there.", err=True)
            break
    click.echo(render_unit(service), nl=False)


@click.command()
@click.option("--url", default=DEFAULT_URL, show_default=True, help="The server's address, with its prefix if it has one.")
@click.option("--ready", is_flag=True, help="Ask whether the next event would be accepted (/readyz) instead of /healthz.")
@click.option(
    "--timeout",
    default=5,
    show_default=True,
    type=WholeNumber(1, 3600),
    metavar="S",
    help="How long one reply may take, in seconds.",
)
@click.option(
    "--wait",
    "wait_s",
    default=0,
    show_default=True,
    type=WholeNumber(0, 3600),
    metavar="S",
    help="How long to ask again until the server works, in seconds. A server that has just been started needs some time.",
)
def health(url: str, ready: bool, timeout: int, wait_s: int) -> None:
    """Ask a standalone server whether it works. If it does not, or does not reply, say why and exit with 1."""
    asked = f"{_check_url(url).rstrip('/')}/{'readyz' if ready else 'healthz'}"
    deadline = time.monotonic() + wait_s
    while (reason := _find_problem(asked, timeout)) is not None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            click.echo(f"falcon-events: {escape(asked)}: {escape(' '.join(reason.split()))}", err=True)
            raise click.exceptions.Exit(1)
        time.sleep(min(ASK_AGAIN_S, left_s))
    click.echo("ok")


def find_command() -> tuple[str, ...]:
    """Return the words that call this command, with absolute paths.

    Raises:
        EventsError: the command cannot be found, or a unit cannot contain its path.
    """
    called = sys.argv[0]
    if Path(called).name == "__main__.py":
        words: tuple[str, ...] = (sys.executable, "-m", "falcon_events")
    else:
        found = called if "/" in called else shutil.which(called)
        if found is None:
            raise EventsError(f"{called} cannot be found; call falcon-events by its path.")
        words = (str(Path(found).absolute()),)
    if not words[0].isprintable() or set(words[0]) & set("\"'\\"):  # systemd refuses these in a program's path, even quoted
        raise EventsError(f"{words[0]} has characters that a unit cannot contain; move it to another path.")
    return words


def _check(option: str, given: str, pattern: re.Pattern[str], wanted: str) -> None:
    if not pattern.fullmatch(given):
        raise click.UsageError(f"{option} {given}: {wanted}.")


def _check_db(given: str | None, usual: Path) -> Path:
    if given is None:
        return usual
    if not given.startswith("/") or given.endswith("/") or ".." in Path(given).parts:
        raise click.UsageError(f"--db {given}: an absolute path of a file is needed, such as {usual}.")
    if not given.isprintable():
        raise click.UsageError(f"--db {given}: a path without control characters, such as a line break, is needed.")
    path = Path(given)
    for place in _resolve(path):
        if is_below(place, VOLATILE):
            raise click.UsageError(f"--db {given}: files there do not survive a restart; a path such as {usual} is needed.")
        if place.parent == Path("/"):
            raise click.UsageError(f"--db {given}: a path in a folder of its own is needed, such as {usual}.")
    return path


def _resolve(path: Path) -> tuple[Path, Path]:
    """Return the path as it is written, and with its symbolic links resolved."""
    return path, Path(os.path.realpath(path))


def _check_url(given: str) -> str:
    try:
        parts = urlsplit(given)
        is_right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not SPACE.search(given)
    except ValueError:  # unclosed brackets, or a port that is not a number
        is_right = False
    if not is_right:
        raise click.UsageError(f"--url {given}: a URL with scheme and host is needed, such as {DEFAULT_URL}.")
    return given


def _find_problem(asked: str, timeout_s: int) -> str | None:
    """Return what is wrong with the server, or None if it works."""
    import http.client  # here, because these take a tenth of the start of every command
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ask the server itself, not a proxy's cache
    try:
        try:
            with opener.open(asked, timeout=timeout_s) as reply:
                return None if _is_ok(reply.read(MOST_BYTES)) else "the reply is not one of falcon-events"
        except urllib.error.HTTPError as error:
            with error:
                return _describe_error(error.code, error.read(MOST_BYTES))
    except http.client.HTTPException as error:
        return f"the reply is not HTTP: {type(error).__name__} {error}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _is_ok(body: bytes) -> bool:
    try:
        return bool(json.loads(body) == {"status": "ok"})
    except (ValueError, RecursionError):
        return False


def _describe_error(status: int, body: bytes) -> str:
    """Describe an error reply by its status and, if it has the documented form, its message."""
    try:
        return f"{status}: {json.loads(body)['Errors'][0]['Message']}"
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"{status}"
