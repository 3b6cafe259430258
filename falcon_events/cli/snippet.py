"""The command snippet: the HTML for a web page."""

from __future__ import annotations

import click

from falcon_events.assets.snippet import OPTIONS
from falcon_events.cli.common import LIST_ID, db_option, open_tracking, require_list


@click.command()
@click.option("--list", "list_id", type=LIST_ID, metavar="N", required=True, help="The list that the page's events belong to.")
@click.option(
    "--key",
    metavar="KEY",
    help="A key of scope ingest; by default the page key of the list and the origins, which is created when it is first needed.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="A web origin that may use the page key, such as https://www.example.com; repeatable.",
)
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The server's address, with the mount's prefix.")
@click.option("--nonce", default="", help="The page's Content-Security-Policy nonce.")
@click.option("--data", multiple=True, metavar="NAME=VALUE", help=f"An option of the page: {', '.join(OPTIONS)}; repeatable.")
@db_option
def snippet(
    list_id: int, key: str | None, origins: tuple[str, ...], url: str, nonce: str, data: tuple[str, ...], db: str
) -> None:
    """Print the HTML that embeds the tracker in a web page."""
    options = {}
    for given in data:
        name, is_pair, value = given.partition("=")
        if not is_pair or name not in OPTIONS:
            raise click.UsageError(f"--data {given}: NAME=VALUE is needed; the names are {', '.join(OPTIONS)}.")
        options[name] = value
    with open_tracking(db) as tracking:
        require_list(tracking, list_id)
        text = tracking.snippet(list_id, key, url=url, origins=origins or None, nonce=nonce, **options)
    if key is None:
        bound = f"list {list_id} and {', '.join(origins)}" if origins else f"list {list_id}, and to no origin (--origin)"
        click.echo(f"the page key, of scope ingest, is bound to {bound}", err=True)
    click.echo(text, nl=False)
