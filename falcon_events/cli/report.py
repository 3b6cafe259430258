"""The command report: the numbers of a week or a month, by e-mail."""

from __future__ import annotations

import sys
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from falcon_events.cli.common import WholeNumber, db_option, escape, open_tracking
from falcon_events.cli.output import check_output, force_option, is_stream, put_in_place
from falcon_events.cli.questions import list_option
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.time_zones import find_time_zone
from falcon_events.query.ranges import parse_day

if TYPE_CHECKING:
    from email.headerregistry import Address

PREFIX = ".falcon-events-report-"
"""The beginning of the names of folders in which HTML is written."""


@click.command()
@list_option
@click.option(
    "--period",
    type=click.Choice(["week", "month"]),
    default="week",
    show_default=True,
    help="What the report is about: the last week or the last month that is over, in the list's time zone.",
)
@click.option(
    "--date",
    "day",
    metavar="DAY",
    help="Report as on this day, such as 2026-11-01, for a report of an earlier time; by default today.",
)
@click.option("--week-start", type=click.Choice(["monday", "sunday"]), default="monday", show_default=True,
              help="The first day of a week.")  # fmt: skip
@click.option(
    "--to", "to", metavar="ADDRESS", multiple=True, help="Whom to send it to; repeatable. All of them see all addresses."
)
@click.option("--dry-run", is_flag=True, help="Print the plain text, and send nothing.")
@click.option("--html", metavar="FILE", help="Also write the HTML to this file.")
@force_option(what="the file of --html")
@click.option(
    "--timeout",
    "timeout_s",
    type=WholeNumber(1, 3600),
    default=30,
    show_default=True,
    metavar="S",
    help="How long the connection to the mail server, and each reply of it, may take, in seconds.",
)
@db_option
def report(
    list_id: int,
    period: Literal["week", "month"],
    day: str | None,
    week_start: str,
    to: tuple[str, ...],
    dry_run: bool,
    html: str | None,
    force: bool,
    timeout_s: int,
    db: str,
) -> None:
    """Send the numbers of the last week or month by e-mail, compared with the one before. A server may be running.

    The settings smtp_url and mail_from name the mail server and the sender.

    If the server refuses a recipient, the others get the report, and the exit code is 2. Each run sends a message.
    """
    from falcon_events.dashboard import mail  # these take as long to load as the rest of the command
    from falcon_events.dashboard.report import check_templates, find_days, make_report, render_report

    check_templates()
    if not (to or dry_run):
        raise click.UsageError("--to is needed: whom to send the report to, such as --to ada@example.com; or --dry-run.")
    recipients: dict[str, Address] = {}
    for address in map(_parse_recipient, to):
        recipients.setdefault(address.addr_spec, address)
    target = None if html is None else check_output("--html", html, db, force=force)
    with open_tracking(db) as tracking:
        if not dry_run:
            server = mail.parse_server(tracking.settings.smtp_url)
            sender = mail.parse_sender(tracking.settings.mail_from)
        name = next((found.name for found in tracking.directory.lists() if found.list_id == list_id), None)
        if name is None:
            raise NotFound(f"--list {list_id}: there is no such list.")
        time_zone = tracking.directory.rules_of(list_id).time_zone
        days = find_days(period, _find_today(day, time_zone), week_start)
        made = make_report(tracking.pipeline.calls, list_id, name, time_zone, period, days)
    plain, page = render_report(made)
    if target is not None:
        _write(page, target, force=force)
    if dry_run:
        click.echo(plain.encode(), nl=False)
        return
    addresses = list(recipients.values())
    message = mail.build_message(sender, addresses, made.subject, plain, page, f"list-{list_id}.{period}.falcon-events")
    refused = mail.send_message(message, server, sender, addresses, timeout_s)
    sent = ", ".join(name for name in recipients if name not in refused)
    if refused:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise EventsError(f"The report was sent to {sent}. The mail server refuses {reasons}.")
    if sys.stderr is not None and sys.stderr.isatty():  # cron would mail it
        click.echo(f"sent to {escape(sent)}: {made.subject}", err=True)


def _parse_recipient(text: str) -> Address:
    from falcon_events.dashboard import mail

    try:
        return mail.parse_address(text)
    except EventsError as error:
        raise EventsError(f"--to {error}") from None


def _find_today(given: str | None, time_zone: str) -> date:
    """Return the day that --date gives, by default today, which no given day may be after."""
    today = datetime.now(find_time_zone(time_zone)).date()
    if given is None:
        return today
    day = parse_day(given)
    if day is None:
        raise click.UsageError(f"--date {given}: a day such as 2026-11-01 is needed.")
    if day > today:
        raise click.UsageError(f"--date {given}: it is after today, {today} in {time_zone}; give today or an earlier day.")
    return day


def _write(page: str, target: Path, *, force: bool) -> None:
    """Write the HTML, so that a file of this name is always complete."""
    if is_stream(target):
        target.write_text(page, encoding="utf-8")
        return
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=target.parent) as aside:
        written = Path(aside) / "report"
        written.write_text(page, encoding="utf-8")
        put_in_place(written, target, force=force)
