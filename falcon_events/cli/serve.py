"""The command serve: the standalone server, and the account, list and key of a new store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from click.core import ParameterSource

from falcon_events.access.protocol import Scope
from falcon_events.cli.common import LIST_ID, WholeNumber, db_option, open_tracking
from falcon_events.cli.demo_store import DEMO_LIST, fill_demo_store, make_demo_folder, make_demo_store
from falcon_events.errors import EventsError, NotFound
from falcon_events.settings import PREFIX, parse_networks
from falcon_events.tracking import EventTracking

if TYPE_CHECKING:
    from falcon_events.http.demo import Demo
    from falcon_events.server.serve import Interface

FIRST_ACCOUNT, FIRST_LIST = "default", 1
DASHBOARD = "/dashboard/"
EVERYWHERE = ("0.0.0.0", "::", "")
UNDERSCORE_WARNING = (
    "trusted_proxies: with --interface wsgi, the proxies must drop headers with _ in their names, or clients can claim any"
    " address; nginx does so by default."
)
"""In a WSGI environment X_Forwarded_For and X-Forwarded-For have the same name, and granian has no option to prevent that."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=WholeNumber(1, 65535), metavar="N", help="The port to listen on.")
@click.option(
    "--interface",
    type=click.Choice(["asgi", "wsgi"]),
    help="The kind of application to serve: asgi on uvicorn (needs falcon-events[standard], and is the default if that is"
    " installed), or wsgi on granian.",
)
@click.option(
    "--workers", default=1, show_default=True, type=WholeNumber(1, 64), metavar="N", help="How many processes handle requests."
)
@click.option(
    "--demo",
    is_flag=True,
    help="Serve a store that is filled with half a year of an invented shop and deleted at the end; with a --db of yours, serve"
    " that, and fill nothing. Also serve /tracker, which shows the tracker and a list's last events to everybody.",
)
@click.option("--demo-list", type=LIST_ID, metavar="N", help="The list that /tracker shows; by default the first one.")
@click.option(
    "--plan",
    "plan_folder",
    metavar="FOLDER",
    help="The tracking plan that events are checked against: a folder with a JSON Schema for each event. This is the setting"
    " plan_folder.",
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
    """Serve the documented API. A missing store is created, with an account, a list and a key."""
    # Other commands do not load the server and its libraries.
    from falcon_events.server import serve

    interface = interface or serve.choose_interface()
    serve.check_interface(interface)
    if plan_folder is not None:
        os.environ[PREFIX + "PLAN_FOLDER"] = plan_folder  # for this process and the workers that it starts
    fills = demo and not _is_given("db")
    with ExitStack() as kept:
        db = kept.enter_context(make_demo_folder(host, port)) if fills else db
        prepared = kept.enter_context(ExitStack())
        tracking = prepared.enter_context(make_demo_store(db) if fills else _prepare_store(db, host, port, log_requests))
        demo_page = _make_demo(tracking, demo_list, host, port) if demo or demo_list is not None else None
        if fills:
            fill_demo_store(tracking)
            demo_page = msgspec.structs.replace(demo_page, has_own_store=True) if demo_page is not None else None
        _warn(tracking, interface)
        load = None
        if interface == "asgi" and workers == 1 and not fills:  # this process serves, so it keeps the store open
            load = partial(serve.load_app, db, interface, log_requests, demo_page, tracking)
        else:
            prepared.close()
        _print_dashboard(host, port, needs_key=not fills)
        click.echo(f"Serving {Path(db).resolve()} on http://{_format_host(host)}:{port} ({interface}). Stop with Ctrl-C.")
        if fills:
            from falcon_events.demo.feed import feed_demo

            kept.enter_context(feed_demo(db, DEMO_LIST))
        try:
            serve.serve(db, host, port, interface, log_requests, load, workers, demo_page)
        finally:
            if demo_page is not None and not fills:
                with open_tracking(db) as tracking:
                    tracking.directory.revoke_key(demo_page.key)


def _is_given(name: str) -> bool:
    """Return whether an option is on the command line or in the environment, and does not have its default."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _print_dashboard(host: str, port: int, *, needs_key: bool) -> None:
    """Print the address of the dashboard, or how to get one."""
    from falcon_events.server.serve import has_dashboard

    if not has_dashboard():
        click.echo("There is no dashboard: pip install 'falcon-events[dashboard]'")
        return
    hint = " (sign in with an API key)" if needs_key else ""
    click.echo(f"The dashboard: http://{_format_host(_make_reachable(host))}:{port}{DASHBOARD}{hint}")


@contextmanager
def _prepare_store(db: str, host: str, port: int, log_requests: bool) -> Iterator[EventTracking]:
    """Open the store after checking that the server can start. A new store gets an account, a list and a key."""
    from falcon_events.server.serve import check_address, override_settings

    if not Path(db).exists():
        check_address(host, port)  # before creating a store for a server that then cannot start
    with open_tracking(db, create=True, **override_settings(log_requests)) as tracking:
        check_address(host, port)
        if not tracking.directory.accounts():
            tracking.directory.create_account(FIRST_ACCOUNT)
            tracking.directory.create_list(FIRST_ACCOUNT, "First list", FIRST_LIST)
            _print_welcome(tracking.directory.create_key(FIRST_ACCOUNT).key, db, host, port)
        yield tracking


def _warn(tracking: EventTracking, interface: Interface) -> None:
    keys = tracking.directory.keys()
    unbound = [key.key_id for key in keys if key.scope == Scope.INGEST and key.works_anywhere]
    if unbound:
        click.echo(f"These keys work from any web page because they are bound to no origin: {', '.join(unbound)}", err=True)
    if interface == "wsgi" and parse_networks(tracking.settings.trusted_proxies):
        click.echo(UNDERSCORE_WARNING, err=True)


def _make_demo(tracking: EventTracking, list_id: int | None, host: str, port: int) -> Demo:
    """Return the list of the demo page and a key for it that works on that page only."""
    from falcon_events.http.demo import PAGE, Demo

    if not tracking.settings.tracker_path:
        raise EventsError("--demo needs the tracker's script, but the setting tracker_path is empty; set it to /tracker.js.")
    lists = [found for found in tracking.directory.lists() if list_id in (None, found.list_id)]
    if not lists:
        none = "--demo needs a list; create one with `falcon-events lists create`."
        raise NotFound(none if list_id is None else f"--demo-list {list_id}: there is no such list.")
    hosts = {_format_host(host), "localhost", "127.0.0.1"}
    origins = None if host in EVERYWHERE else [f"http://{name}:{port}" for name in sorted(hosts)]
    key = tracking.directory.create_key(lists[0].account, Scope.INGEST, origins=origins, list_ids=[lists[0].list_id]).key
    page = f"http://{_format_host(_make_reachable(host))}:{port}{PAGE}"
    click.echo(f"The tracker at work: {page} (shows list {lists[0].list_id} to everybody)")
    return Demo(lists[0].list_id, lists[0].name, key)


def _make_reachable(host: str) -> str:
    return "127.0.0.1" if host in EVERYWHERE else host


def _print_welcome(key: str, db: str, host: str, port: int) -> None:
    body = {
        "APIKey": key,
        "ListID": FIRST_LIST,
        "event": "test",
        "email": "you@example.com",
        "properties": {"number-of-subscribers-imported": 100},
    }
    store = Path(db).resolve()
    click.echo(f"New store {store}: account {FIRST_ACCOUNT!r}, list {FIRST_LIST}, and this API key, shown only now:\n\n  {key}\n")
    click.echo("Track an event:\n")
    url = f"http://{_format_host(_make_reachable(host))}:{port}/api/v1/event"
    click.echo(f"  curl -X POST {url} -H 'Content-Type: application/json' -d '{msgspec.json.encode(body).decode()}'\n")


def _format_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
