"""The sections of the page with the data: what they share. Each is a page of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Show
from falcon_events.dashboard.replies import redirect
from falcon_events.errors import EventsError, RequestRefused
from falcon_events.runtime.steps import Steps

SECTIONS = (
    ("data", "Install"),
    ("data.lists", "Lists"),
    ("data.keys", "Keys"),
    ("data.rules", "Rules"),
    ("data.webhooks", "Webhooks"),
    ("data.plan", "Plan"),
    ("data.store", "Store"),
)
DONE = {
    "list-created": "The list is there. Put the snippet into your website, and its events arrive here.",
    "list-renamed": "The list has its new name.",
    "list-deleted": "The list is deleted, with all its events.",
    "key-revoked": "The key is revoked. Whoever used it is refused from now on.",
    "rules-set": "The rules are set. They apply to every event from now on.",
    "webhook-removed": "The webhook is removed. Nothing is posted to it any more.",
    "retried": "The deliveries are tried again now.",
}
"""Messages of a page after a change, by the parameter `done` of its URL."""


def show_section(context: Context, template: str, title: str, *, status: int = 200, **data: Any) -> Reply:
    """Render a section.

    Args:
        context: the page.
        template: the section's template.
        title: the page's title.
        status: the HTTP status.
        data: what the template shows. `failed` is the form whose change was refused, and `reason` why.
    """
    shown = {"failed": "", "reason": "", **data}
    done = DONE.get(context.request.get("done"), "") if context.request.method != "POST" else ""
    return context.render(template, status=status, title=title, sections=SECTIONS, done=done, **shown)


def run_act(context: Context, acts: Mapping[str, Show], show: Callable[..., Steps[Reply]]) -> Steps[Reply]:
    """Make the change that a form's field `act` names. If it is refused, show the section again with the reason.

    Args:
        context: the page.
        acts: the section's changes by name.
        show: renders the section.
    """
    act = context.request.field("act")
    try:
        if act not in acts:
            raise unknown_act(context)
        return (yield from acts[act](context))
    except RequestRefused:
        raise
    except EventsError as error:
        return (yield from show(context, status=422, failed=act, reason=str(error)))


def go_to(context: Context, page: str, done: str, **changes: Any) -> Reply:
    """Send the browser to a section after a change, which it then names.

    Args:
        context: the page.
        page: the section, such as `data.keys`.
        done: one of DONE.
        changes: other parameters of the URL.
    """
    return redirect(context.links.to(page, **changes, done=done))


def unknown_act(context: Context) -> EventsError:
    """Return the error for a form that the page does not have."""
    return EventsError(f"act: {context.request.field('act')[:50]!r} is none of this page's forms.")


def write_names(names: Iterable[str]) -> str:
    """Write names into a text area, one on each line; as JSON strings those that a line does not show as they are."""
    return "\n".join(
        name if name.isprintable() and name == name.strip() and name[:1] != '"' else json.dumps(name) for name in names
    )


def read_names(text: str) -> list[str]:
    """Read names from a text area, as write_names() writes them.

    Raises:
        EventsError: a line begins as a JSON string and is none.
    """
    return [_read_name(line.strip()) for line in text.splitlines() if line.strip()]


def _read_name(line: str) -> str:
    if not line.startswith('"'):
        return line
    try:
        read = json.loads(line)
        read.encode()
    except ValueError:
        raise EventsError(
            f"{line[:60]}: a name that begins with a quotation mark must be written as JSON, with one at its end."
        ) from None
    return str(read)
