"""install-service, health: a server that runs for good, and whether it does."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import click

from falcon_events._version import __version__
from falcon_events.cli.common import WholeNumber, visible
from falcon_events.cli.unit import HOMES, STATE, TEMPORARY, VOLATILE, Service, is_below, unit
from falcon_events.errors import EventsError

DEFAULT_NAME = "falcon-events"
DEFAULT_URL = "http://127.0.0.1:8080"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
HOST = re.compile(r"[A-Za-z0-9._:%-]+")
SPACE = re.compile(r"[\x00-\x20\x7f]")
MOST_BYTES = 65536
"""More than any answer that is read has."""
ASK_AGAIN_S = 0.2


@click.command("install-service")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="The unit's name, and that of its folder in /var/lib.")
@click.option("--db", metavar="PATH", help="The store's file, an absolute path.  [default: /var/lib/NAME/events.duckdb]")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=WholeNumber(1, 65535), metavar="N", help="The port to listen on.")
@click.option(
    "--workers", default=1, show_default=True, type=WholeNumber(1, 64), metavar="N", help="How many processes answer requests."
)
@click.option("--user", default=DEFAULT_NAME, show_default=True, help="The system user that the server runs as; it has to exist.")
@click.option("--dynamic-user", is_flag=True, help="Let systemd make a user whenever the server starts, instead of --user.")
@click.pass_context
def install_service(
    ctx: click.Context, name: str, db: str | None, host: str, port: int, workers: int, user: str, dynamic_user: bool
) -> None:
    """Print a systemd unit that keeps `serve` running, shut off from all that it does not need; nothing is installed.

    Put it where systemd looks: falcon-events install-service | sudo tee /etc/systemd/system/falcon-events.service
    """
    _check("--name", name, NAME, "a name of letters, digits, -, _ and . is needed, such as falcon-events")
    _check("--user", user, USER, "the name of a system user is needed, such as falcon-events")
    _check("--host", host, HOST, "an address or a host name is needed, such as 127.0.0.1")
    if dynamic_user and ctx.get_parameter_source("user") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--user and --dynamic-user exclude each other.")
    home = STATE / name
    path = _checked_db(db, home / "events.duckdb")
    if dynamic_user and not is_below(path.parent, [home]):
        raise click.UsageError(f"--db {path}: with --dynamic-user a file in {home} is needed, or give --user.")
    service = Service(
        name=name,
        version=__version__,
        command=command_words(),
        libraries=() if getattr(sys, "frozen", False) else (Path(sys.prefix), Path(sys.base_prefix)),
        db=path,
        host=host,
        port=port,
        workers=workers,
        user=None if dynamic_user else user,
    )
    parts = (Path(service.command[0]), *service.libraries)
    for part in parts:
        if any(is_below(place, TEMPORARY) for place in _places(part)):
            raise EventsError(
                f"{part} is in a temporary folder, which a service does not see: install falcon-events in /opt or"
                " /usr/local/bin, and call it there."
            )
    for part in parts:
        if is_below(part, HOMES):
            text = f"{part} is in a home folder, which other users usually cannot read: better install falcon-events in /opt"
            click.echo(f"falcon-events: {text} or /usr/local/bin, and call it there.", err=True)
            break
    click.echo(unit(service), nl=False)


@click.command()
@click.option("--url", default=DEFAULT_URL, show_default=True, help="Where the server is, with the prefix that it is behind.")
@click.option("--ready", is_flag=True, help="Ask whether the next event would be taken (/readyz), instead of /healthz.")
@click.option(
    "--timeout",
    default=5,
    show_default=True,
    type=WholeNumber(1, 3600),
    metavar="S",
    help="How long one answer may take, in seconds.",
)
@click.option(
    "--wait",
    "wait_s",
    default=0,
    show_default=True,
    type=WholeNumber(0, 3600),
    metavar="S",
    help="For how many seconds to ask again until it is well, as a server that has just been started may not be yet.",
)
def health(url: str, ready: bool, timeout: int, wait_s: int) -> None:
    """Ask a standalone server how it is; exit 1 where it is not well or does not answer, and say why."""
    asked = f"{_checked_url(url).rstrip('/')}/{'readyz' if ready else 'healthz'}"
    deadline = time.monotonic() + wait_s
    while (reason := _why_unwell(asked, timeout)) is not None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            click.echo(f"falcon-events: {visible(asked)}: {visible(' '.join(reason.split()))}", err=True)
            raise click.exceptions.Exit(1)
        time.sleep(min(ASK_AGAIN_S, left_s))
    click.echo("ok")


def command_words() -> tuple[str, ...]:
    """How this command was called, with absolute paths.

    Raises:
        EventsError: that cannot be told, or has no place in a unit.
    """
    called = sys.argv[0]
    if Path(called).name == "__main__.py":
        words: tuple[str, ...] = (sys.executable, "-m", "falcon_events")
    else:
        found = called if "/" in called else shutil.which(called)
        if found is None:
            raise EventsError(f"{called} is not to be found; call falcon-events by its path.")
        words = (str(Path(found).absolute()),)
    if not words[0].isprintable() or set(words[0]) & set("\"'\\"):  # systemd refuses these in a program's path, however quoted
        raise EventsError(f"{words[0]} has characters that a unit cannot have; move it to another path.")
    return words


def _check(option: str, given: str, pattern: re.Pattern[str], wanted: str) -> None:
    if not pattern.fullmatch(given):
        raise click.UsageError(f"{option} {given}: {wanted}.")


def _checked_db(given: str | None, usual: Path) -> Path:
    if given is None:
        return usual
    if not given.startswith("/") or given.endswith("/") or ".." in Path(given).parts:
        raise click.UsageError(f"--db {given}: an absolute path of a file is needed, such as {usual}.")
    if not given.isprintable():
        raise click.UsageError(f"--db {given}: a path without control characters, such as a line break, is needed.")
    path = Path(given)
    for place in _places(path):
        if is_below(place, VOLATILE):
            raise click.UsageError(f"--db {given}: what is there does not last; a path such as {usual} is needed.")
        if place.parent == Path("/"):
            raise click.UsageError(f"--db {given}: a path in a folder of its own is needed, such as {usual}.")
    return path


def _places(path: Path) -> tuple[Path, Path]:
    """The path as it is written, and where its links lead."""
    return path, Path(os.path.realpath(path))


def _checked_url(given: str) -> str:
    try:
        parts = urlsplit(given)
        is_right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not SPACE.search(given)
    except ValueError:  # brackets that do not close, a port that is no number
        is_right = False
    if not is_right:
        raise click.UsageError(f"--url {given}: a URL with scheme and host is needed, such as {DEFAULT_URL}.")
    return given


def _why_unwell(asked: str, timeout_s: int) -> str | None:
    """What is wrong with the server, or None where it is well."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is this server that matters, not a proxy's cache
    try:
        try:
            with opener.open(asked, timeout=timeout_s) as answer:
                return None if _is_ok(answer.read(MOST_BYTES)) else "the answer is not that of falcon-events"
        except urllib.error.HTTPError as error:
            with error:
                return _reason(error.code, error.read(MOST_BYTES))
    except http.client.HTTPException as error:
        return f"the answer is not HTTP: {type(error).__name__} {error}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _is_ok(body: bytes) -> bool:
    try:
        return bool(json.loads(body) == {"status": "ok"})
    except (ValueError, RecursionError):
        return False


def _reason(status: int, body: bytes) -> str:
    """What the answer says, in the documented shape or not."""
    try:
        return f"{status}: {json.loads(body)['Errors'][0]['Message']}"
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"{status}"
