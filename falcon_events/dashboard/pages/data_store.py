"""The store: whether it accepts events, how large it is, and what it holds of the lists that the principal may see."""

from __future__ import annotations

import time

from falcon_events._version import __version__
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import MAX_CSV_ROWS, Context, Page
from falcon_events.dashboard.pages.data_lists import count_events
from falcon_events.dashboard.rights import sees_whole_store
from falcon_events.dashboard.sections import show_section
from falcon_events.model.reports import OwnerState, Stats
from falcon_events.runtime.steps import Call, Steps

MOST = 200
"""How many event types the page shows."""


def show_store(context: Context) -> Steps[Reply]:
    """Show the page, whose numbers are a part."""
    return show_section(context, "data_store.html", "Store", sees_all=(yield from sees_whole_store(context)))


def show_facts(context: Context) -> Steps[Reply]:
    """Show the facts: those about the whole store only to somebody who may see all of it."""
    list_id = context.view.list_id
    stats: Stats = yield Call(context.tracking.stats)
    types = sorted((one for one in stats.by_type if one.list_id == list_id), key=lambda one: (-one.events, one.event))
    if context.wants_csv:
        rows = [(one.event, one.events, one.first_seen, one.last_seen, one.deleted) for one in types[:MAX_CSV_ROWS]]
        return context.csv("event-types", ("event", "events", "first_seen", "last_seen", "deleted"), rows)
    sees_all = yield from sees_whole_store(context)
    owner: OwnerState | None = (yield Call(context.tracking.owner)) if sees_all else None
    events, first, last = count_events(stats, list_id)
    return context.render(
        "data_facts.html",
        title="Facts",
        health=(yield Call(context.tracking.health)),
        stats=stats if sees_all else None,
        owner=owner,
        owned_s=time.time() - owner.since.timestamp() if owner is not None else None,
        path=str(context.tracking.store.path) if sees_all else "",
        release=__version__,
        events=events,
        first=first,
        last=last,
        dropped=sum(one.events for one in stats.dropped if one.list_id == list_id),
        deleted=sum(one.deleted for one in types),
        bots=[one for one in stats.bots if one.list_id == list_id],
        types=types[:MOST],
        more=max(len(types) - MOST, 0),
    )


PAGES = {"data.store": Page(show_store), "data.store.facts": Page(show_facts)}
