"""snippet: the lines of HTML for a web page."""

from __future__ import annotations

import click

from falcon_events.assets.snippet import OPTIONS
from falcon_events.cli.common import LIST_ID, db_option, require_list, tracking_of


@click.command()
@click.option("--list", "list_id", type=LIST_ID, metavar="N", required=True, help="The list that the page's events belong to.")
@click.option(
    "--key",
    metavar="KEY",
    help="A key of scope ingest; without it the page key of the list and the origins, made with its first use.",
)
@click.option(
    "--origin", "origins", multiple=True, help="Where the page key may be used from: https://www.example.com; repeatable."
)
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Where the server is, with the mount's prefix.")
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
            raise click.UsageError(f"--data {given}: NAME=VALUE is needed, with a name of {', '.join(OPTIONS)}.")
        options[name] = value
    with tracking_of(db) as tracking:
        require_list(tracking, list_id)
        text = tracking.snippet(list_id, key, url=url, origins=origins or None, nonce=nonce, **options)
    if key is None:
        bound = f"list {list_id} and {', '.join(origins)}" if origins else f"list {list_id}, and to no origin (--origin)"
        click.echo(f"the page key, of scope ingest, is bound to {bound}", err=True)
    click.echo(text, nl=False)
