"""webhooks, deliveries: where committed events are posted to, and what could not be delivered."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from falcon_events.cli.common import (
    LIST_ID,
    WholeNumber,
    checked_text,
    confirmed,
    db_option,
    json_option,
    print_json,
    print_rows,
    require_list,
    tracking_of,
    visible,
)
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.webhooks import STATES

STDIN = "-"
MAX_SECRET_BYTES = 1000


@click.group()
def webhooks() -> None:
    """URLs to which committed events are posted."""


@webhooks.command("add")
@click.argument("url")
@click.option(
    "--secret-file",
    metavar="PATH",
    help="A file with the secret to sign with, - for standard input; a random one is made where it is left out.",
)
@click.option(
    "--list", "list_ids", type=LIST_ID, multiple=True, metavar="N", help="A list whose events are delivered; repeatable."
)
@click.option("--event", "events", callback=lambda ctx, param, given: [checked_text(ctx, param, text) for text in given],
              multiple=True, metavar="NAME", help="An event type that is delivered; repeatable.")  # fmt: skip
@click.option(
    "--since",
    type=click.Choice(["now", "start"]),
    default="now",
    show_default=True,
    help="For a new webhook: from which event on, now or the first one that is stored.",
)
@db_option
@json_option
def add_webhook(
    url: str, secret_file: str | None, list_ids: tuple[int, ...], events: list[str], since: str, db: str, as_json: bool
) -> None:
    """Have committed events posted to URL, or change which; a new secret is printed, and not shown again."""
    secret = None if secret_file is None else _read_secret(secret_file)
    with tracking_of(db) as tracking:
        for list_id in list_ids:
            require_list(tracking, list_id)
        made = tracking.deliver(url, secret=secret, lists=list_ids or None, events=events or None, since=since)  # type: ignore[arg-type]
    told = made.made and secret is None
    if as_json:
        print_json({"url": made.url, "made": made.made} | ({"secret": made.secret} if told else {}))
        return
    if told:
        click.echo(made.secret)
    words = "made" if made.made else "changed"
    click.echo(f"webhook {visible(url)} {words}" + ("; its secret is not shown again" if told else ""), err=told)


@webhooks.command("list")
@db_option
@json_option
def list_webhooks(db: str, as_json: bool) -> None:
    """List the webhooks and how they do, never their secrets."""
    with tracking_of(db) as tracking:
        rows = tracking.webhooks.states()
    columns = {
        "url": "url",
        "list_ids": "lists",
        "events": "events",
        "state": "state",
        "unread": "to come",
        "waiting": "waiting",
        "failed": "failed",
        "resume_at": "next try (UTC)",
        "last_error": "last error",
    }
    print_rows(rows, as_json, columns)


@webhooks.command("remove")
@click.argument("url")
@click.option("--yes", is_flag=True, help="Do not ask.")
@db_option
def remove_webhook(url: str, yes: bool, db: str) -> None:
    """Post nothing to URL any more, and forget what waits for it."""
    with tracking_of(db) as tracking:
        known = next((webhook for webhook in tracking.webhooks.states() if webhook.url == url), None)
        if known is None:
            raise NotFound(f"There is no webhook {url}; `falcon-events webhooks list` shows them.")
        left = known.waiting + known.failed
        if not yes and not confirmed(f"Remove the webhook {visible(url)} with {left} deliveries?"):
            click.echo("nothing removed", err=True)
            raise click.exceptions.Exit(1)
        tracking.stop_delivering(url)
    click.echo(f"webhook {visible(url)} removed")


@click.group()
def deliveries() -> None:
    """Events that could not be delivered to a webhook yet."""


@deliveries.command("list")
@click.option("--webhook", "url", metavar="URL", help="Only those to this webhook.")
@click.option("--state", type=click.Choice(STATES), help="Only those to be tried again, behind such a one, or given up.")
@click.option("--most", type=WholeNumber(1, 1_000_000), default=1000, show_default=True, metavar="N", help="How many.")
@db_option
@json_option
def list_deliveries(url: str | None, state: str | None, most: int, db: str, as_json: bool) -> None:
    """List the events that wait for another try, wait behind such a one of the same visitor, or were given up."""
    with tracking_of(db) as tracking:
        rows = tracking.deliveries(url=url, state=state, most=most)
    columns = {
        "event_id": "event",
        "url": "webhook",
        "list_id": "list",
        "visitor": "visitor",
        "state": "state",
        "attempts": "attempts",
        "next_attempt_at": "next try (UTC)",
        "last_error": "last error",
    }
    print_rows(rows, as_json, columns)


@deliveries.command("retry")
@click.argument("event_id", metavar="[EVENT]", required=False)
@click.option("--all", "everything", is_flag=True, help="All that wait or have failed.")
@click.option("--webhook", "url", metavar="URL", help="Only those to this webhook.")
@db_option
@json_option
def retry_deliveries(event_id: str | None, everything: bool, url: str | None, db: str, as_json: bool) -> None:
    """Try EVENT, an event's id, with what it waits for, or --all again; takes their paused or disabled webhooks up again, too."""
    if (event_id is None) != everything:
        raise click.UsageError("An event's id or --all is needed, and not both.")
    with tracking_of(db) as tracking:
        retried = tracking.retry_deliveries(event_id, url=url)
    if as_json:
        print_json({"deliveries": retried})
    else:
        click.echo(f"{retried} deliveries are tried again")


def _read_secret(name: str) -> str:
    if name == STDIN:
        if sys.stdin is None:
            raise EventsError("--secret-file -: standard input is closed.")
        data = sys.stdin.buffer.read(MAX_SECRET_BYTES)
    else:
        with Path(name).open("rb") as file:
            data = file.read(MAX_SECRET_BYTES)
    return data.decode(errors="replace").strip()
