"""The command events: a list's last events, and new ones as they arrive."""

from __future__ import annotations

import time

import click
import msgspec

from falcon_events.cli.common import LIST_ID, WholeNumber, db_option, escape, open_tracking, print_json, require_list
from falcon_events.errors import StoreClosed, StoreUnavailable
from falcon_events.model.persons import StoredEvent

POLL_S = 0.5
"""The pause between two reads while following, in seconds."""
MOST = 1000


@click.command()
@click.option("--list", "list_id", type=LIST_ID, metavar="N", required=True, help="The list.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new events as they arrive, until Ctrl-C.")
@click.option(
    "--last", type=WholeNumber(0, MOST), default=10, show_default=True, metavar="N", help="With how many stored events to begin."
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as JSON on one line.")
@db_option
def events(list_id: int, follow: bool, last: int, as_json: bool, db: str) -> None:
    """Show the last events of a list, in order of arrival. A server may be running."""
    with open_tracking(db) as tracking:
        require_list(tracking, list_id)
        found = tracking.latest(list_id, most=max(last, 1))
        after = found[-1][0] if found else 0
        _print(found if last else [], as_json)
        while follow:
            time.sleep(POLL_S)
            # latest() returns the last ones: read more of them until they reach back to what was printed.
            most = MOST
            try:
                while len(fresh := tracking.latest(list_id, after=after, most=most)) == most:
                    most *= 2
            except StoreClosed:
                raise
            except StoreUnavailable:  # a server is starting or ending; the events are read once it is done
                continue
            after = fresh[-1][0] if fresh else after
            _print(fresh, as_json)


def _print(found: list[tuple[int, StoredEvent]], as_json: bool) -> None:
    for _, event in found:
        if as_json:
            print_json(event)
        else:
            who = event.email or event.visitor
            properties = msgspec.json.encode(event.properties).decode()
            click.echo(f"{event.received_at}  {escape(event.event)}  {escape(who)}  {escape(properties)}")
