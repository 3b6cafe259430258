"""Rights of a principal beyond the numbers of a list: accounts, keys, webhooks and facts about the file to see and manage."""

from __future__ import annotations

from falcon_events.access.protocol import EVERY_ACCOUNT
from falcon_events.dashboard.context import Context
from falcon_events.model.access import Account, EventList, Key
from falcon_events.model.webhooks import WebhookState
from falcon_events.runtime.steps import Call, Steps


def has_own_accounts(context: Context) -> bool:
    """Whether the host application has its own accounts, lists and keys, so that those of the store are not used."""
    return context.tracking.access is not None


def may_manage_account(context: Context) -> bool:
    """Whether the principal may create and delete lists: it is not limited to some, and the store has them."""
    return context.may_change and context.principal.list_ids is None and not has_own_accounts(context)


def find_accounts(context: Context) -> Steps[list[Account]]:
    """Return the accounts that the principal belongs to: one, or all for somebody who sees every account."""
    if has_own_accounts(context):
        return []
    accounts: list[Account] = yield Call(context.tracking.directory.accounts)
    account = context.principal.account
    if account == EVERY_ACCOUNT:
        return accounts
    by_id = [one for one in accounts if one.account_id == account]
    return by_id or [one for one in accounts if one.name == account]


def sees_whole_store(context: Context) -> Steps[bool]:
    """Whether the principal may see every list that the store has, and so what is true of the store as a whole."""
    if context.principal.list_ids is not None:
        return False
    if context.principal.account == EVERY_ACCOUNT:
        return True
    own = yield from find_accounts(context)
    accounts: list[Account] = yield Call(context.tracking.directory.accounts)
    return bool(own) and len(own) == len(accounts)


def find_keys(context: Context) -> Steps[list[Key]]:
    """Return the keys that give no more than the principal has: of its accounts, and of its lists if it is limited to some."""
    names = {account.name for account in (yield from find_accounts(context))}
    keys: list[Key] = yield Call(context.tracking.directory.keys)
    limits = context.principal.list_ids
    return [
        key
        for key in keys
        if key.account in names and (limits is None or (key.list_ids is not None and limits.issuperset(key.list_ids)))
    ]


def find_list(context: Context) -> EventList | None:
    """Return the record of the page's list; None if the host application has lists of its own, which the store does not know."""
    return next((one for one in context.lists if one.list_id == context.view.list_id), None)


def list_neighbours(context: Context) -> list[EventList]:
    """Return the lists of the same account as the page's list, with it, that the principal may see."""
    here = find_list(context)
    return [one for one in context.lists if here is not None and one.account == here.account]


def find_webhooks(context: Context) -> Steps[list[WebhookState]]:
    """Return the webhooks that get events of the page's list, and none of lists that the principal may not see."""
    whole = yield from sees_whole_store(context)
    seen = {one.list_id for one in context.lists} | {context.view.list_id}
    webhooks: list[WebhookState] = yield Call(context.tracking.webhooks.states)
    return [
        one
        for one in webhooks
        if (one.list_ids is None or context.view.list_id in one.list_ids)
        and (whole or (one.list_ids is not None and seen.issuperset(one.list_ids)))
    ]
