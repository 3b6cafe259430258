"""The commands accounts, lists, keys and sessions: who may do what."""

from __future__ import annotations

from pathlib import Path

import click

from falcon_events.access.directory import DEFAULT_TTL_S
from falcon_events.access.protocol import Scope
from falcon_events.access.sessions import MAX_TTL_S
from falcon_events.access.validation import MAX_KEEP_DAYS
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
)
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.access import ListRules


@click.group()
def accounts() -> None:
    """Manage accounts, which own lists and keys."""


@accounts.command("create")
@click.argument("name", callback=check_text)
@db_option
@json_option
def create_account(name: str, db: str, as_json: bool) -> None:
    """Create an account called NAME (1 to 200 printable characters). A missing store is created."""
    is_new = not Path(db).exists()
    with open_tracking(db, create=True) as tracking:
        account = tracking.directory.create_account(name)
    if is_new:
        click.echo(f"new store {tracking.store.path}", err=True)
    if as_json:
        print_json(account)
    else:
        click.echo(f"account {account.name} created ({account.account_id})")


@accounts.command("list")
@db_option
@json_option
def list_accounts(db: str, as_json: bool) -> None:
    """List the accounts."""
    with open_tracking(db) as tracking:
        rows = tracking.directory.accounts()
    print_rows(rows, as_json, {"name": "account", "account_id": "id", "created_at": "created (UTC)"})


@click.group()
def lists() -> None:
    """Manage lists: audiences or sites of yours. Every event belongs to a list."""


@lists.command("create")
@click.option("--id", "list_id", type=LIST_ID, metavar="N", help="The list's id; by default the next free one.")
@click.option("--account", callback=check_text, required=True, help="The name of the account that owns the list.")
@click.option("--name", callback=check_text, required=True, help="The list's name.")
@db_option
@json_option
def create_list(list_id: int | None, account: str, name: str, db: str, as_json: bool) -> None:
    """Create a list."""
    with open_tracking(db) as tracking:
        made = tracking.directory.create_list(account, name, list_id)
    if as_json:
        print_json(made)
    else:
        click.echo(f"list {made.list_id} created for account {account}")


@lists.command("list")
@db_option
@json_option
def list_lists(db: str, as_json: bool) -> None:
    """List the lists."""
    with open_tracking(db) as tracking:
        rows = tracking.directory.lists()
    print_rows(rows, as_json, {"list_id": "list", "account": "account", "name": "name", "created_at": "created (UTC)"})


@lists.command("rename")
@click.argument("list_id", type=LIST_ID)
@click.argument("name", callback=check_text)
@db_option
def rename_list(list_id: int, name: str, db: str) -> None:
    """Rename a list to NAME."""
    with open_tracking(db) as tracking:
        tracking.directory.rename_list(list_id, name)
    click.echo(f"list {list_id} is now called {name}")


@lists.command("delete")
@click.argument("list_id", type=LIST_ID)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@db_option
def delete_list(list_id: int, yes: bool, db: str) -> None:
    """Delete a list with all its events, bindings and catalogue. Asks first."""
    with open_tracking(db) as tracking:
        if tracking.directory.owner_of(list_id) is None:
            raise NotFound(f"There is no list {list_id}.")
        if not yes and not confirm(f"Delete list {list_id} with all its events? This cannot be undone."):
            click.echo("nothing deleted", err=True)
            raise click.exceptions.Exit(1)
        tracking.directory.delete_list(list_id)
    click.echo(f"list {list_id} deleted")


@lists.command("rules")
@click.argument("list_id", type=LIST_ID)
@click.option(
    "--bots",
    type=click.Choice(["drop", "tag", "keep"]),
    help="What to do with events that no visitor sent (bots, prefetched pages, your own visits): only count them (drop), store"
    " them with the property $bot (tag, the default), or store them unchanged (keep).",
)
@click.option("--deny", multiple=True, metavar="NAME", help="A property to leave out; repeatable.")
@click.option("--redact", multiple=True, metavar="NAME", help="A property whose value to replace by [redacted]; repeatable.")
@click.option(
    "--time-zone", metavar="NAME", help="The time zone of questions about the list, such as Europe/Berlin; default: UTC."
)
@click.option(
    "--index",
    multiple=True,
    metavar="NAME",
    help="A property that questions ask for often: its values get a column, so that these take less time; repeatable, up to 20.",
)
@click.option("--no-index", multiple=True, metavar="NAME", help="A property that needs no column any more; repeatable.")
@click.option(
    "--keep-days",
    type=WholeNumber(1, MAX_KEEP_DAYS),
    metavar="N",
    help="Delete events that happened before the day that is N days before today; their daily totals stay. Default: keep them.",
)
@click.option("--keep-for-ever", is_flag=True, help="Delete no more events because of their age.")
@click.option("--clear", is_flag=True, help="Remove the list's present rules; new rules may be given with it.")
@db_option
@json_option
def list_rules(
    list_id: int,
    bots: str | None,
    deny: tuple[str, ...],
    redact: tuple[str, ...],
    time_zone: str | None,
    index: tuple[str, ...],
    no_index: tuple[str, ...],
    keep_days: int | None,
    keep_for_ever: bool,
    clear: bool,
    db: str,
    as_json: bool,
) -> None:
    """Show or change the rules of a list. Rules not given stay.

    They say what is changed in events before these are stored, in which time zone days are, how long events are kept, and which
    properties have columns.
    """
    if keep_days is not None and keep_for_ever:
        raise click.UsageError("--keep-days and --keep-for-ever exclude each other.")
    with open_tracking(db) as tracking:
        if tracking.directory.owner_of(list_id) is None:
            raise NotFound(f"There is no list {list_id}.")
        rules = ListRules(list_id) if clear else tracking.directory.rules_of(list_id)
        if unknown := set(no_index) - set(rules.indexed):
            raise EventsError(f"--no-index: list {list_id} has no index of {min(unknown)!r}.")
        if clear or bots or deny or redact or time_zone or index or no_index or keep_days or keep_for_ever:
            rules = tracking.directory.set_rules(
                list_id,
                bots=bots or rules.bots,
                denied=deny or rules.denied,
                redacted=redact or rules.redacted,
                time_zone=time_zone or rules.time_zone,
                indexed=(set(index) or set(rules.indexed)) - set(no_index),
                keep_days=None if keep_for_ever else keep_days or rules.keep_days,
            )
    if as_json:
        print_json(rules)
    else:
        click.echo(f"bots      {rules.bots}")
        click.echo(f"denied    {escape(', '.join(rules.denied)) or '-'}")
        click.echo(f"redacted  {escape(', '.join(rules.redacted)) or '-'}")
        click.echo(f"time zone {escape(rules.time_zone)}")
        click.echo(f"indexed   {escape(', '.join(rules.indexed)) or '-'}")
        click.echo(f"keep days {'-' if rules.keep_days is None else rules.keep_days}")


@click.group()
def keys() -> None:
    """Manage API keys."""


@keys.command("create")
@click.option("--account", callback=check_text, required=True, help="The name of the account that the key belongs to.")
@click.option(
    "--scope",
    type=click.Choice([str(scope) for scope in Scope]),
    default="full",
    show_default=True,
    help="What the key allows: everything (full), only tracking (ingest), or only queries (read).",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="For ingest: a web origin that may use the key, such as https://www.example.com or https://*.example.com; repeatable.",
)
@click.option(
    "--list", "list_ids", type=LIST_ID, multiple=True, metavar="N", help="For ingest: a list that the key is for; repeatable."
)
@db_option
@json_option
def create_key(account: str, scope: str, origins: tuple[str, ...], list_ids: tuple[int, ...], db: str, as_json: bool) -> None:
    """Create a key and print it. It cannot be shown again."""
    with open_tracking(db) as tracking:
        made = tracking.directory.create_key(account, scope, origins=origins or None, list_ids=list_ids or None)
    if as_json:
        print_json(made)
    else:
        click.echo(made.key)
        click.echo(f"key {made.key_id} created for account {account}; it is not shown again", err=True)


@keys.command("list")
@db_option
@json_option
def list_keys(db: str, as_json: bool) -> None:
    """List the keys by their ids. The keys themselves are never shown."""
    with open_tracking(db) as tracking:
        rows = tracking.directory.keys()
    columns = {
        "key_id": "key",
        "account": "account",
        "scope": "scope",
        "origins": "origins",
        "list_ids": "lists",
        "created_at": "created (UTC)",
        "revoked_at": "revoked (UTC)",
    }
    print_rows(rows, as_json, columns)


@keys.command("revoke")
@click.argument("key")
@db_option
def revoke_key(key: str, db: str) -> None:
    """Revoke a key. KEY is its id (see `keys list`) or the key itself."""
    with open_tracking(db) as tracking:
        tracking.directory.revoke_key(key)
    click.echo("key revoked")


@click.group()
def sessions() -> None:
    """Manage sessions, which are credentials that expire."""


@sessions.command("create")
@click.option("--account", callback=check_text, required=True, help="The name of the account that the session is for.")
@click.option(
    "--ttl-s",
    type=WholeNumber(1, MAX_TTL_S),
    metavar="N",
    default=DEFAULT_TTL_S,
    show_default=True,
    help="After how many seconds the session expires; the default is a day.",
)
@db_option
@json_option
def create_session(account: str, ttl_s: int, db: str, as_json: bool) -> None:
    """Create a session and print its id. It cannot be shown again."""
    with open_tracking(db) as tracking:
        session_id = tracking.directory.create_session(account, ttl_s)
    if as_json:
        print_json({"session_id": session_id})
    else:
        click.echo(session_id)


@sessions.command("revoke")
@click.argument("session_id")
@db_option
def revoke_session(session_id: str, db: str) -> None:
    """End a session now."""
    with open_tracking(db) as tracking:
        tracking.directory.revoke_session(session_id)
    click.echo("session revoked")
