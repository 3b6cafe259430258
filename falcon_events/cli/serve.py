"""serve: the standalone server, and the first steps on a new store."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import msgspec

from falcon_events.cli.common import WholeNumber, db_option, tracking_of

FIRST_ACCOUNT, FIRST_LIST = "default", 1


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=WholeNumber(1, 65535), metavar="N", help="The port to listen on.")
@click.option(
    "--interface",
    type=click.Choice(["asgi", "wsgi"]),
    default="asgi",
    show_default=True,
    help="Which flavour of the application answers.",
)
@click.option(
    "--workers", default=1, show_default=True, type=WholeNumber(1, 64), metavar="N", help="How many processes answer requests."
)
@click.option("--log-requests", is_flag=True, help="Log each request in one line, without its contents.")
@db_option
def serve(host: str, port: int, interface: str, workers: int, log_requests: bool, db: str) -> None:
    """Serve the documented API; on a path without a store, make one with an account, a list and a key."""
    # The server and its libraries are not loaded for commands that do not serve.
    from falcon_events.http.serving import Interface
    from falcon_events.http.serving import serve as run

    _prepare(db, host, port)
    click.echo(f"Serving {db} on http://{_in_url(host)}:{port} ({interface}). Stop with Ctrl-C.")
    run(db, host, port, cast(Interface, interface), log_requests, workers=workers)


def _prepare(db: str, host: str, port: int) -> None:
    """Finds out what would keep the server from starting; a new store gets an account, a list and a key."""
    from falcon_events.http.serving import check_address

    if not Path(db).exists():
        check_address(host, port)  # before a store is made for a server that then does not start
    with tracking_of(db, create=True) as tracking:
        check_address(host, port)
        if not tracking.directory.accounts():
            tracking.directory.create_account(FIRST_ACCOUNT)
            tracking.directory.create_list(FIRST_ACCOUNT, "First list", FIRST_LIST)
            _welcome(tracking.directory.create_key(FIRST_ACCOUNT).key, db, host, port)


def _welcome(key: str, db: str, host: str, port: int) -> None:
    body = {
        "APIKey": key,
        "ListID": FIRST_LIST,
        "event": "test",
        "email": "you@example.com",
        "properties": {"number-of-subscribers-imported": 100},
    }
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    click.echo(f"New store {db}: account {FIRST_ACCOUNT!r}, list {FIRST_LIST}, and this API key, shown only now:\n\n  {key}\n")
    click.echo("Track an event:\n")
    url = f"http://{_in_url(reachable)}:{port}/api/v1/event"
    click.echo(f"  curl -X POST {url} -H 'Content-Type: application/json' -d '{msgspec.json.encode(body).decode()}'\n")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
