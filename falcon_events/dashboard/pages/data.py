"""Data: how events come in. The other sections have modules of their own."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.pages import data_keys, data_lists, data_plan, data_rules, data_store, data_webhooks
from falcon_events.dashboard.rights import has_own_accounts
from falcon_events.dashboard.sections import read_names, show_section
from falcon_events.errors import EventsError, RequestRefused
from falcon_events.model.persons import StoredEvent
from falcon_events.model.reports import Stats
from falcon_events.runtime.steps import Call, Steps

EVERY_S = 5
"""How often the page asks whether an event has come, in seconds."""
ROOT = "/dashboard/"


def show_install(context: Context) -> Steps[Reply]:
    """Show how a website and a server send events to the list."""
    return (yield from _show_install(context, {"url": _guess_address(context), "origins": ""}))


def make_snippet(context: Context) -> Steps[Reply]:
    """Show the snippet, with a page key, which is created when it is first needed. A repeat shows the same."""
    url, origins = context.request.field("url").strip(), context.request.field("origins")
    form = {"url": url, "origins": origins}
    try:
        bound = read_names(origins) or None
        make = partial(context.tracking.snippet, context.view.list_id, url=url, origins=bound)
        snippet: str = yield Call(make)
    except RequestRefused:
        raise
    except EventsError as error:
        return (yield from _show_install(context, form, status=422, failed="snippet", reason=str(error)))
    return (yield from _show_install(context, form, snippet=snippet, bound=bound))


def show_arrival(context: Context) -> Steps[Reply]:
    """Show whether an event has come, and when the first and the last one did."""
    list_id = context.view.list_id
    found: list[tuple[int, StoredEvent]] = yield Call(partial(context.tracking.latest, list_id, most=1))
    first = context.request.get("first") or None
    if found and first is None:
        first = yield from _find_first(context)
    last = found[-1][1] if found else None
    return context.render("data_arrival.html", title="Events received", last=last, first=_check_moment(first))


def _show_install(context: Context, form: dict[str, str], *, status: int = 200, **data: Any) -> Steps[Reply]:
    first = yield from _find_first(context)
    shown = {"snippet": "", "bound": None, **data}
    return show_section(
        context,
        "data_install.html",
        "Install",
        status=status,
        form=form,
        first=first,
        every_s=EVERY_S,
        address=form["url"].rstrip("/") or _guess_address(context),
        has_own_accounts=has_own_accounts(context),
        **shown,
    )


def _find_first(context: Context) -> Steps[str | None]:
    """Return when the first event of the list happened; None if it has none."""
    stats: Stats = yield Call(context.tracking.stats)
    return min((one.first_seen for one in stats.by_type if one.list_id == context.view.list_id), default=None)


def _check_moment(text: str | None) -> datetime | None:
    """Return a moment that the URL has, if it is one."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _guess_address(context: Context) -> str:
    """Return where the tracker is mounted, as far as the request shows it: a proxy may serve it below a prefix."""
    request = context.request
    native = request.native
    path, root = str(getattr(native, "path", "")), str(getattr(native, "root_path", ""))
    full = path if path.startswith(root) else root + path
    prefix = full.rpartition(ROOT)[0] if ROOT in full else ""
    return f"http{'s' if request.is_secure else ''}://{request.headers.get('HTTP_HOST', 'localhost')}{prefix}"


PAGES = {
    "data": Page(show_install, make_snippet),
    "data.arrival": Page(show_arrival),
    **data_lists.PAGES,
    **data_keys.PAGES,
    **data_rules.PAGES,
    **data_webhooks.PAGES,
    **data_plan.PAGES,
    **data_store.PAGES,
}
