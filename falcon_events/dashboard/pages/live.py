"""Events as they arrive."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.model.persons import StoredEvent
from falcon_events.query.person_compiler import GENERATED_ID
from falcon_events.runtime.steps import Call, Steps

_is_generated = re.compile(GENERATED_ID).fullmatch
SHOWN = 50
"""How many events the page begins with."""
CHECKED_EVERY_S = 5.0
"""How often it is checked that a reader may still see the events, in seconds."""
MOST_READ = 200
"""How many events are read at once; of more that arrived since, the newest are shown."""


class LiveReader:
    """Reads a list's events as they arrive, for as long as the reader may see them.

    Args:
        context: the page.
        may_still_see: whether the reader may still see the list.
    """

    def __init__(self, context: Context, may_still_see: Callable[[], bool]) -> None:
        self._context = context
        self._may_still_see = may_still_see
        self._check_at = time.monotonic() + CHECKED_EVERY_S

    def read(self, after: int) -> list[tuple[int, bytes]] | None:
        """Return the events after a sequence number, as JSON texts of HTML; None once the reader may not see them any more."""
        if time.monotonic() >= self._check_at:
            if not self._may_still_see():
                return None
            self._check_at = time.monotonic() + CHECKED_EVERY_S
        context = self._context
        found = context.tracking.latest(context.view.list_id, after=after, most=MOST_READ if after else SHOWN)
        wanted = context.request.get("event")
        last = found[-1][0] if found else after
        rows = [
            (seq, msgspec.json.encode(context.render_fragment("live_row.html", event=describe_event(context, event))))
            for seq, event in found
            if wanted in ("", event.event)
        ]
        return rows if not found or (rows and rows[-1][0] == last) else [*rows, (last, b'""')]


def show_live(context: Context) -> Steps[Reply]:
    """Show the last events; the page's script adds those that arrive."""
    latest = partial(context.tracking.latest, context.view.list_id, most=SHOWN)
    found: list[tuple[int, StoredEvent]] = yield Call(latest)
    wanted = context.request.get("event")
    events = [describe_event(context, event) for _, event in reversed(found) if wanted in ("", event.event)]
    return context.render("live.html", title="Live", events=events, wanted=wanted, last=found[-1][0] if found else 0)


def describe_event(context: Context, event: StoredEvent) -> dict[str, Any]:
    """Return what a row shows of an event."""
    properties = event.properties
    subject = properties.get("url") or properties.get("conversion-name") or ""
    return {
        "stored": event,
        "subject": subject if isinstance(subject, str) else "",
        "person": context.links.to("person", **({"email": event.email} if event.email else {"uuid": event.visitor})),
        "name": event.email or _find_id(event) or f"visitor {event.visitor[:8]}",
        "json": msgspec.json.format(msgspec.json.encode(event), indent=2).decode(),
    }


def _find_id(event: StoredEvent) -> str:
    """Return the sender's ID of an event; empty if it has the form of those that are generated for each event."""
    return "" if _is_generated(event.external_id) else event.external_id


PAGES = {"live": Page(show_live)}
