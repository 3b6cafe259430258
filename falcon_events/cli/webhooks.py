"""The commands webhooks and deliveries: the URLs to which events are posted, and events that are not delivered yet."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from falcon_events.cli.common import (
    LIST_ID,
    WholeNumber,
    check_text,
    confirm,
    db_option,
    escape,
    json_option,
    open_tracking,
    print_json,
    print_rows,
    require_list,
)
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.webhooks import STATES

STDIN = "-"
MAX_SECRET_BYTES = 1000


@click.group()
def webhooks() -> None:
    """Manage the URLs to which committed events are posted."""


@webhooks.command("add")
@click.argument("url")
@click.option(
    "--secret-file",
    metavar="PATH",
    help="A file with the signing secret, - for standard input; by default a new webhook gets a random secret.",
)
@click.option(
    "--list",
    "list_ids",
    type=LIST_ID,
    multiple=True,
    metavar="N",
    help="A list whose events to deliver; by default all lists; repeatable.",
)
@click.option("--event", "events", callback=lambda ctx, param, given: [check_text(ctx, param, text) for text in given],
              multiple=True, metavar="NAME", help="An event type to deliver; by default all types; repeatable.")  # fmt: skip
@click.option(
    "--since",
    type=click.Choice(["now", "start"]),
    default="now",
    show_default=True,
    help="For a new webhook: deliver events from now on, or from the first stored event (start).",
)
@db_option
@json_option
def add_webhook(
    url: str, secret_file: str | None, list_ids: tuple[int, ...], events: list[str], since: str, db: str, as_json: bool
) -> None:
    """Post committed events to URL, or change which events are posted. A new random secret is printed once."""
    secret = None if secret_file is None else _read_secret(secret_file)
    with open_tracking(db) as tracking:
        for list_id in list_ids:
            require_list(tracking, list_id)
        made = tracking.deliver(url, secret=secret, lists=list_ids or None, events=events or None, since=since)  # type: ignore[arg-type]
    shows_secret = made.made and secret is None
    if as_json:
        print_json({"url": made.url, "made": made.made} | ({"secret": made.secret} if shows_secret else {}))
        return
    if shows_secret:
        click.echo(made.secret)
    words = "created" if made.made else "changed"
    click.echo(f"webhook {escape(url)} {words}" + ("; its secret is not shown again" if shows_secret else ""), err=shows_secret)


@webhooks.command("list")
@db_option
@json_option
def list_webhooks(db: str, as_json: bool) -> None:
    """List the webhooks with their states. Their secrets are never shown."""
    with open_tracking(db) as tracking:
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
@click.option("--yes", is_flag=True, help="Remove without asking.")
@db_option
def remove_webhook(url: str, yes: bool, db: str) -> None:
    """Stop posting to URL, and forget the events that wait for it. Asks first."""
    with open_tracking(db) as tracking:
        known = next((webhook for webhook in tracking.webhooks.states() if webhook.url == url), None)
        if known is None:
            raise NotFound(f"There is no webhook {url}; `falcon-events webhooks list` shows them.")
        left = known.waiting + known.failed
        if not yes and not confirm(f"Remove the webhook {escape(url)} with {left} deliveries?"):
            click.echo("nothing removed", err=True)
            raise click.exceptions.Exit(1)
        tracking.stop_delivering(url)
    click.echo(f"webhook {escape(url)} removed")


@click.group()
def deliveries() -> None:
    """Manage events that are not delivered to a webhook yet."""


@deliveries.command("list")
@click.option("--webhook", "url", metavar="URL", help="Only deliveries to this webhook.")
@click.option(
    "--state",
    type=click.Choice(STATES),
    help="Only deliveries in this state.",
)
@click.option(
    "--most", type=WholeNumber(1, 1_000_000), default=1000, show_default=True, metavar="N", help="How many to list at most."
)
@db_option
@json_option
def list_deliveries(url: str | None, state: str | None, most: int, db: str, as_json: bool) -> None:
    """List the events that are not delivered yet.

    They wait for another try (waiting), wait behind another event of the same visitor (blocked), or were given up (failed).
    """
    with open_tracking(db) as tracking:
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
@click.option("--all", "everything", is_flag=True, help="All deliveries that wait or have failed.")
@click.option("--webhook", "url", metavar="URL", help="Only deliveries to this webhook.")
@db_option
@json_option
def retry_deliveries(event_id: str | None, everything: bool, url: str | None, db: str, as_json: bool) -> None:
    """Retry deliveries now.

    EVENT is an event's id; the earlier events of its visitor, for which it waits, are retried too. Paused or disabled webhooks of
    these deliveries are resumed.
    """
    if (event_id is None) != everything:
        raise click.UsageError("Either an event's id or --all is needed, not both.")
    with open_tracking(db) as tracking:
        retried = tracking.retry_deliveries(event_id, url=url)
    if as_json:
        print_json({"deliveries": retried})
    else:
        click.echo(f"{retried} deliveries are retried")


def _read_secret(name: str) -> str:
    if name == STDIN:
        if sys.stdin is None:
            raise EventsError("--secret-file -: standard input is closed.")
        data = sys.stdin.buffer.read(MAX_SECRET_BYTES)
    else:
        with Path(name).open("rb") as file:
            data = file.read(MAX_SECRET_BYTES)
    return data.decode(errors="replace").strip()
