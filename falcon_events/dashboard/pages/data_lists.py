"""The lists of an account: created, renamed and deleted."""

from __future__ import annotations

from typing import Any

from falcon_events.access.directory import FIRST_ACCOUNT
from falcon_events.access.protocol import EVERY_ACCOUNT
from falcon_events.access.validation import MAX_NAME
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.rights import find_accounts, find_list, has_own_accounts, may_manage_account
from falcon_events.dashboard.sections import go_to, run_act, show_section
from falcon_events.dashboard.templates import show_text
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.access import Account, EventList
from falcon_events.model.reports import Stats
from falcon_events.runtime.steps import Call, Steps


def show_lists(context: Context) -> Steps[Reply]:
    """Show the lists that the principal may see."""
    return _refuse_list(context) or (yield from _show(context))


def show_table(context: Context) -> Steps[Reply]:
    """Show the lists with their numbers of events."""
    stats: Stats = yield Call(context.tracking.stats)
    rows = [(one, count_events(stats, one.list_id)) for one in context.lists]
    if context.wants_csv:
        cells = [(one.list_id, one.name, one.account, one.created_at.isoformat(), *counted) for one, counted in rows]
        return context.csv("lists", ("list", "name", "account", "created", "events", "first_seen", "last_seen"), cells)
    return context.render("data_lists_table.html", title="Lists", rows=rows)


def change_lists(context: Context) -> Steps[Reply]:
    """Create a list, or rename or delete the page's list."""
    if refused := _refuse_list(context):
        return refused
    return (yield from run_act(context, {"create": _create, "rename": _rename, "delete": _delete}, _show))


def count_events(stats: Stats, list_id: int) -> tuple[int, str | None, str | None]:
    """Return how many events a list has, and when the first and the last of them happened."""
    counts = [one for one in stats.by_type if one.list_id == list_id]
    first = min((one.first_seen for one in counts), default=None)
    return sum(one.events for one in counts), first, max((one.last_seen for one in counts), default=None)


def _show(context: Context, *, status: int = 200, **data: Any) -> Steps[Reply]:
    accounts = yield from find_accounts(context)
    field = context.request.field
    return show_section(
        context,
        "data_lists.html",
        "Lists",
        status=status,
        here=find_list(context),
        accounts=accounts,
        may_manage=may_manage_account(context) and _can_own(context, accounts),
        has_own_accounts=has_own_accounts(context),
        typed={name: field(name) for name in ("name", "new_name", "account", "confirmation")},
        max_name=MAX_NAME,
        **data,
    )


def _refuse_list(context: Context) -> Reply | None:
    """Refuse a list that the principal does not have; without any, the page is there to create the first one."""
    if context.view.list_id or not context.messages:
        return None
    return context.refuse(context.messages, status=404, title="Not found")


def _can_own(context: Context, accounts: list[Account]) -> bool:
    """Whether there is an account for a new list: one of the principal's, or the first one, for somebody who sees them all."""
    return bool(accounts) or context.principal.account == EVERY_ACCOUNT


def _create(context: Context) -> Steps[Reply]:
    accounts = yield from find_accounts(context)
    if not may_manage_account(context) or not _can_own(context, accounts):
        raise EventsError("You may not create lists: you are limited to some, or your application has lists of its own.")
    directory = context.tracking.directory
    wanted = context.request.field("account")
    owners = [one for one in accounts if one.account_id == wanted] if wanted else accounts[:1]
    if accounts and not owners:
        raise NotFound("account: choose one of those that the form offers.")
    name = context.request.field("name").strip()
    made: EventList
    if owners:
        made = yield Call(directory.create_list, owners[0].name, name)
    else:
        made = yield Call(directory.ensure_list, 1, name, FIRST_ACCOUNT)
    return go_to(context, "data", "list-created", list=made.list_id, filter=None, segment=None)


def _rename(context: Context) -> Steps[Reply]:
    here = _find_own(context)
    yield Call(context.tracking.directory.rename_list, here.list_id, context.request.field("new_name").strip())
    return go_to(context, "data.lists", "list-renamed")


def _delete(context: Context) -> Steps[Reply]:
    here = _find_own(context)
    if not may_manage_account(context):
        raise EventsError("You may not delete lists, because you are limited to some.")
    typed = _normalize(context.request.field("confirmation"))
    if typed not in (_normalize(here.name), _normalize(show_text(here.name))):
        raise EventsError("confirmation: type the name of the list as it stands above, to delete it with all its events.")
    yield Call(context.tracking.directory.delete_list, here.list_id)
    context.forget_answers()
    return go_to(context, "data.lists", "list-deleted", list=None, filter=None, segment=None)


def _find_own(context: Context) -> EventList:
    here = find_list(context)
    if here is None or has_own_accounts(context):
        raise NotFound("list: your application has lists of its own, which are not renamed or deleted here.")
    return here


def _normalize(text: str) -> str:
    return " ".join(text.split())


PAGES = {"data.lists": Page(show_lists, change_lists, needs_list=False), "data.lists.table": Page(show_table)}
