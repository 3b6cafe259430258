"""The API keys of an account: created and revoked. A key is shown once, when it is created."""

from __future__ import annotations

from functools import partial
from typing import Any

from falcon_events.access.keys import NewKey
from falcon_events.access.protocol import Scope
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.rights import find_keys, find_list, has_own_accounts, list_neighbours
from falcon_events.dashboard.sections import go_to, read_names, show_section, unknown_act
from falcon_events.errors import EventsError, NotFound, RequestRefused
from falcon_events.runtime.steps import Call, Steps

SCOPES = {
    Scope.INGEST: "only send events: for websites and servers",
    Scope.READ: "only look: for reports and this dashboard",
    Scope.FULL: "everything: send, look, change and delete",
}
"""The uses of a key by scope, as people read them."""


def show_keys(context: Context) -> Steps[Reply]:
    """Show the keys that give no more than the principal has."""
    if context.wants_csv:
        keys = yield from find_keys(context)
        rows = [
            (
                key.key_id,
                key.account,
                key.scope,
                " ".join(key.origins or ()),
                " ".join(str(one) for one in key.list_ids or ()),
                key.created_at.isoformat(),
                key.revoked_at.isoformat() if key.revoked_at else None,
            )
            for key in keys
        ]
        return context.csv("keys", ("key", "account", "scope", "origins", "lists", "created", "revoked"), rows)
    return (yield from _show(context))


def change_keys(context: Context) -> Steps[Reply]:
    """Create a key and show it, or revoke one."""
    act = context.request.field("act")
    acts = {"create": _create, "revoke": _revoke}
    try:
        if act not in acts:
            raise unknown_act(context)
        if has_own_accounts(context):
            raise EventsError("Your application has keys of its own; those of the store are not used.")
        return (yield from acts[act](context))
    except RequestRefused:
        raise
    except EventsError as error:
        return (yield from _show(context, status=422, failed=act, reason=str(error)))


def _show(context: Context, *, status: int = 200, made: NewKey | None = None, **data: Any) -> Steps[Reply]:
    keys = yield from find_keys(context)
    form = context.request.form if made is None else {}
    return show_section(
        context,
        "data_keys.html",
        "Keys",
        status=status,
        made=made,
        keys=sorted(keys, key=lambda key: (key.revoked_at is not None, key.created_at)),
        has_accounts=len({key.account for key in keys}) > 1,
        here=find_list(context),
        lists=list_neighbours(context),
        is_limited=context.principal.list_ids is not None,
        has_own_accounts=has_own_accounts(context),
        scopes=SCOPES,
        scope=form.get("scope", [Scope.INGEST])[-1],
        origins=form.get("origins", [""])[-1],
        chosen=set(form.get("lists", [])),
        **data,
    )


def _create(context: Context) -> Steps[Reply]:
    here = find_list(context)
    if here is None:
        raise NotFound("list: the store has no account for this list.")
    offered = {str(one.list_id): one.list_id for one in list_neighbours(context)}
    wanted = context.request.form.get("lists", [])
    if not offered.keys() >= set(wanted):
        raise NotFound("lists: choose some of the lists that the form offers.")
    if not wanted and context.principal.list_ids is not None:
        raise EventsError("lists: choose at least one. You are limited to some lists, and so is every key that you create.")
    make = partial(
        context.tracking.directory.create_key,
        here.account,
        context.request.field("scope"),
        origins=read_names(context.request.field("origins")) or None,
        list_ids=[offered[one] for one in wanted] or None,
    )
    made: NewKey = yield Call(make)
    return (yield from _show(context, made=made))


def _revoke(context: Context) -> Steps[Reply]:
    wanted = context.request.field("key")
    if not any(key.key_id == wanted for key in (yield from find_keys(context))):
        raise NotFound("key: you have no such key.")
    yield Call(context.tracking.directory.revoke_key, wanted)
    return go_to(context, "data.keys", "key-revoked")


PAGES = {"data.keys": Page(show_keys, change_keys)}
