"""The webhooks that get the events of a list, and what could not be delivered to them."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlsplit

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import MAX_CSV_ROWS, Context, Page
from falcon_events.dashboard.rights import find_webhooks, sees_whole_store
from falcon_events.dashboard.sections import go_to, read_names, run_act, show_section
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.webhooks import BLOCKED, FAILED, WAITING, Delivery, Webhook, WebhookState
from falcon_events.runtime.steps import Call, Steps

SHOWN = 20
"""How many deliveries of a state the page shows of a webhook."""
STATES = {
    FAILED: "given up after ten attempts",
    WAITING: "tried again at the time given",
    BLOCKED: "waits for an earlier event of its visitor",
}
"""The states of a delivery, as people read them."""


def show_webhooks(context: Context) -> Steps[Reply]:
    """Show the webhooks, and their deliveries that wait or failed."""
    if context.wants_csv:
        return (yield from _list_deliveries(context))
    return (yield from _show(context))


def change_webhooks(context: Context) -> Steps[Reply]:
    """Create a webhook, remove it, or try its deliveries again."""
    return (yield from run_act(context, {"create": _create, "remove": _remove, "retry": _retry}, _show))


def _show(context: Context, *, status: int = 200, made: Webhook | None = None, **data: Any) -> Steps[Reply]:
    webhooks = yield from find_webhooks(context)
    shown = []
    for one in webhooks:
        deliveries: list[Delivery] = []
        for state in STATES:
            deliveries += yield from _find_deliveries(context, one, state, SHOWN)
        shown.append((one, deliveries))
    field = context.request.field if made is None else lambda name, default="": default
    return show_section(
        context,
        "data_webhooks.html",
        "Webhooks",
        status=status,
        made=made,
        webhooks=shown,
        states=STATES,
        sees_all=(yield from sees_whole_store(context)),
        names={one.list_id: one.name for one in context.lists},
        show_url=partial(_show_url, context),
        typed={name: field(name) for name in ("url", "events")},
        of_all=field("lists", "this") == "all",
        from_start=field("since", "now") == "start",
        **data,
    )


def _list_deliveries(context: Context) -> Steps[Reply]:
    rows = []
    for one in (yield from find_webhooks(context)):
        for found in (yield from _find_deliveries(context, one, None, MAX_CSV_ROWS)):
            next_try = found.next_attempt_at.isoformat() if found.next_attempt_at else None
            told = (found.state, found.attempts, next_try, found.last_status, found.last_error)
            rows.append((found.event_id, _show_url(context, one.url), found.list_id, found.visitor, *told))
    header = ("event", "webhook", "list", "visitor", "state", "attempts", "next_try", "last_status", "last_error")
    return context.csv("deliveries", header, rows)


def _find_deliveries(context: Context, webhook: WebhookState, state: str | None, most: int) -> Steps[list[Delivery]]:
    """Return deliveries of a webhook of the page's list."""
    ask = partial(context.tracking.deliveries, url=webhook.url, state=state, most=most)
    try:
        found: list[Delivery] = yield Call(ask)
    except NotFound:  # removed since it was listed
        return []
    seen = {one.list_id for one in context.lists} | {context.view.list_id}
    return [one for one in found if one.list_id in seen]


def _show_url(context: Context, url: str) -> str:
    """Return a webhook's URL. Its path may be a secret, so whoever may only read sees the host."""
    if context.may_change:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{'' if parts.port is None else f':{parts.port}'}/…"


def _create(context: Context) -> Steps[Reply]:
    if not (yield from sees_whole_store(context)):
        raise EventsError("You may not create webhooks: they belong to the store, of which you may see some lists only.")
    url = context.request.field("url").strip()
    known: list[WebhookState] = yield Call(context.tracking.webhooks.states)
    if any(one.url == url for one in known):
        raise EventsError("url: there is a webhook of this URL already. Remove it first, or change it by the command line.")
    deliver = partial(
        context.tracking.deliver,
        url,
        lists=None if context.request.field("lists") == "all" else [context.view.list_id],
        events=read_names(context.request.field("events")) or None,
        since="start" if context.request.field("since") == "start" else "now",
    )
    made: Webhook = yield Call(deliver)
    return (yield from _show(context, made=made))


def _remove(context: Context) -> Steps[Reply]:
    webhook = yield from _find_webhook(context)
    yield Call(context.tracking.stop_delivering, webhook.url)
    return go_to(context, "data.webhooks", "webhook-removed")


def _retry(context: Context) -> Steps[Reply]:
    webhook = yield from _find_webhook(context)
    retry = partial(context.tracking.retry_deliveries, context.request.field("event") or None, url=webhook.url)
    yield Call(retry)
    return go_to(context, "data.webhooks", "retried")


def _find_webhook(context: Context) -> Steps[WebhookState]:
    wanted = context.request.field("webhook")
    for one in (yield from find_webhooks(context)):
        if one.webhook_id == wanted:
            return one
    raise NotFound("webhook: this list has no such webhook.")


PAGES = {"data.webhooks": Page(show_webhooks, change_webhooks)}
