"""serve: the standalone server, and the first steps on a new store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from falcon_events.access.protocol import Scope
from falcon_events.cli.common import LIST_ID, WholeNumber, db_option, tracking_of
from falcon_events.errors import EventsError, NotFound
from falcon_events.settings import PREFIX, parse_networks
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from falcon_events.http.demo import Demo
    from falcon_events.server.serve import Interface

FIRST_ACCOUNT, FIRST_LIST = "default", 1
EVERYWHERE = ("0.0.0.0", "::", "")
UNDERSCORES = (
    "trusted_proxies: with the interface wsgi the proxies have to drop headers with _ in their names, or clients can claim any"
    " address; nginx does so by itself."
)
"""A WSGI environment has X_Forwarded_For under the name of X-Forwarded-For, and granian has no option against that."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=WholeNumber(1, 65535), metavar="N", help="The port to listen on.")
@click.option(
    "--interface",
    type=click.Choice(["asgi", "wsgi"]),
    help="Which flavour of the application answers: asgi on uvicorn (falcon-events[standard]), which is the default where it"
    " is installed, or wsgi on granian.",
)
@click.option(
    "--workers", default=1, show_default=True, type=WholeNumber(1, 64), metavar="N", help="How many processes answer requests."
)
@click.option("--demo", is_flag=True, help="Also serve /tracker, which shows the tracker and a list's last events to anybody.")
@click.option("--demo-list", type=LIST_ID, metavar="N", help="The list of that page; the first one where it is left out.")
@click.option(
    "--plan",
    "plan_folder",
    metavar="FOLDER",
    help="The tracking plan that events are held to: a JSON Schema for each event; also the setting plan_folder.",
)
@click.option("--log-requests", is_flag=True, help="Log each request in one line, without its contents.")
@db_option
def serve(
    host: str,
    port: int,
    interface: Interface | None,
    workers: int,
    demo: bool,
    demo_list: int | None,
    plan_folder: str | None,
    log_requests: bool,
    db: str,
) -> None:
    """Serve the documented API; on a path without a store, make one with an account, a list and a key."""
    # The server and its libraries are not loaded for commands that do not serve.
    from falcon_events.server import serve

    interface = interface or serve.default_interface()
    serve.check_interface(interface)
    if plan_folder is not None:
        os.environ[PREFIX + "PLAN_FOLDER"] = plan_folder  # for this process and the workers that it starts
    with _prepared(db, host, port) as tracking:
        shown = _demo(tracking, demo_list, host, port) if demo or demo_list is not None else None
        _warn(tracking, interface)
    click.echo(f"Serving {db} on http://{_in_url(host)}:{port} ({interface}). Stop with Ctrl-C.")
    try:
        serve.serve(db, host, port, interface, log_requests, workers=workers, demo=shown)
    finally:
        if shown is not None:
            with tracking_of(db) as tracking:
                tracking.directory.revoke_key(shown.key)


@contextmanager
def _prepared(db: str, host: str, port: int) -> Iterator[EventTracking]:
    """The store, once nothing would keep the server from starting; a new one gets an account, a list and a key."""
    from falcon_events.server.serve import check_address

    if not Path(db).exists():
        check_address(host, port)  # before a store is made for a server that then does not start
    with tracking_of(db, create=True) as tracking:
        check_address(host, port)
        if not tracking.directory.accounts():
            tracking.directory.create_account(FIRST_ACCOUNT)
            tracking.directory.create_list(FIRST_ACCOUNT, "First list", FIRST_LIST)
            _welcome(tracking.directory.create_key(FIRST_ACCOUNT).key, db, host, port)
        yield tracking


def _warn(tracking: EventTracking, interface: Interface) -> None:
    keys = tracking.directory.keys()
    unbound = [key.key_id for key in keys if key.scope == Scope.INGEST and key.works_anywhere]
    if unbound:
        click.echo(f"These keys work from any web page, as they are bound to no origin: {', '.join(unbound)}", err=True)
    if interface == "wsgi" and parse_networks(tracking.settings.trusted_proxies):
        click.echo(UNDERSCORES, err=True)


def _demo(tracking: EventTracking, list_id: int | None, host: str, port: int) -> Demo:
    """The list of the demonstration, and a key for it that works on its page only."""
    from falcon_events.http.demo import PAGE, Demo

    if not tracking.settings.tracker_path:
        raise EventsError("--demo needs the script, and the setting tracker_path is empty.")
    lists = [found for found in tracking.directory.lists() if list_id in (None, found.list_id)]
    if not lists:
        raise NotFound("There is no list to show." if list_id is None else f"--demo-list {list_id}: there is no such list.")
    hosts = {_in_url(host), "localhost", "127.0.0.1"}
    origins = None if host in EVERYWHERE else [f"http://{name}:{port}" for name in sorted(hosts)]
    key = tracking.directory.create_key(lists[0].account, Scope.INGEST, origins=origins, list_ids=[lists[0].list_id]).key
    click.echo(f"The tracker at work: http://{_in_url(_reachable(host))}:{port}{PAGE} (shows list {lists[0].list_id} to anybody)")
    return Demo(lists[0].list_id, lists[0].name, key)


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in EVERYWHERE else host


def _welcome(key: str, db: str, host: str, port: int) -> None:
    body = {
        "APIKey": key,
        "ListID": FIRST_LIST,
        "event": "test",
        "email": "you@example.com",
        "properties": {"number-of-subscribers-imported": 100},
    }
    click.echo(f"New store {db}: account {FIRST_ACCOUNT!r}, list {FIRST_LIST}, and this API key, shown only now:\n\n  {key}\n")
    click.echo("Track an event:\n")
    url = f"http://{_in_url(_reachable(host))}:{port}/api/v1/event"
    click.echo(f"  curl -X POST {url} -H 'Content-Type: application/json' -d '{msgspec.json.encode(body).decode()}'\n")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
