"""An application whose hooks do what an event's property `do` says, and write what was committed to the file of HOST_RECORD."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from falcon_events import CommittedEvent, EventDropped, EventRefused, EventTracking, IncomingEvent, Plan
from falcon_events.http import asgi_app, wsgi_app

PLAN = Plan(schemas={"checkout": {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}})


def obey(event: IncomingEvent) -> IncomingEvent | None:
    """Refuses, drops, fails, answers or spoils."""
    match event.properties.get("do"):
        case "refuse":
            raise EventRefused("Not today.")
        case "drop":
            raise EventDropped
        case "fail":
            raise ZeroDivisionError("hidden from clients")
        case "return":
            return event
        case "spoil":
            event.properties["bytes"] = b"spoiled"
        case "move":
            event.list_id += 1
        case "rename":
            event.event = "checkout"
    return None


async def enrich(event: IncomingEvent) -> None:
    """Adds what the host knows."""
    event.properties["agent"] = event.user_agent
    if event.properties.pop("price", None) is not None:
        event.properties["total"] = 12.5


async def record(events: Sequence[CommittedEvent]) -> None:
    """A line for each committed event."""
    _write(events)
    if any(one.properties.get("do") == "fail later" for one in events):
        raise ZeroDivisionError("hidden from clients")


def _write(events: Sequence[CommittedEvent]) -> None:
    with Path(os.environ["HOST_RECORD"]).open("a") as lines:
        for one in events:
            given = [os.getpid(), one.event_id, one.event, one.email, one.properties, one.identify_event_sent]
            lines.write(json.dumps(given) + "\n")


def tracker() -> EventTracking:
    """The store of HOST_DB, with all hooks and the plan."""
    return EventTracking(os.environ["HOST_DB"], before_store=[obey, enrich], after_commit=record, plan=PLAN)


tracking = tracker()
wsgi = wsgi_app(tracking, operations=True)
asgi = asgi_app(tracking, operations=True)
