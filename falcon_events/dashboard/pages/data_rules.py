"""The rules of a list: what is changed in its events before they are stored, and for how long they are kept."""

from __future__ import annotations

from functools import partial
from typing import Any

from falcon_events.access.validation import MAX_KEEP_DAYS, check_keep_days
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.sections import go_to, read_names, show_section, write_names
from falcon_events.errors import EventsError, RequestRefused
from falcon_events.model.access import MAX_INDEXED, ListRules
from falcon_events.model.reports import PruneReport
from falcon_events.runtime.steps import Call, Steps

BOTS = {
    "tag": "Store them with the property $bot, which says why",
    "drop": "Count them, but do not store them",
    "keep": "Store them like all others",
}
"""The ways to treat events that no visitor sent, as people read them."""
NAMES = ("denied", "redacted", "indexed")


def show_rules(context: Context) -> Steps[Reply]:
    """Show the form with the present rules."""
    return _show(context, _write_form(context.rules))
    yield


def set_rules(context: Context) -> Steps[Reply]:
    """Set the rules. If that deletes events, ask first, and say how many."""
    field = context.request.field
    form = {name: field(name) for name in ("bots", "time_zone", "keep_days", *NAMES)}
    try:
        keep_days = _read_days(form["keep_days"])
        names = {name: read_names(form[name]) for name in NAMES}
        before = context.rules.keep_days
        if keep_days is not None and (before is None or keep_days < before) and field("confirmed") != str(keep_days):
            prune = partial(context.tracking.prune, context.view.list_id, dry_run=True, keep_days=keep_days)
            reports: list[PruneReport] = yield Call(prune)
            if any(report.events for report in reports):
                return _show(context, form, deletes=reports[0])
        change = partial(
            context.tracking.directory.set_rules,
            context.view.list_id,
            bots=form["bots"],
            time_zone=form["time_zone"].strip(),
            keep_days=keep_days,
            **names,
        )
        yield Call(change)
    except RequestRefused:
        raise
    except EventsError as error:
        return _show(context, form, status=422, failed="rules", reason=str(error))
    context.forget_answers()
    return go_to(context, "data.rules", "rules-set")


def _show(context: Context, form: dict[str, str], *, status: int = 200, **data: Any) -> Reply:
    shown = {"deletes": None, **data}
    return show_section(
        context,
        "data_rules.html",
        "Rules",
        status=status,
        form=form,
        bots=BOTS,
        max_days=MAX_KEEP_DAYS,
        max_indexed=MAX_INDEXED,
        **shown,
    )


def _write_form(rules: ListRules) -> dict[str, str]:
    names = {name: write_names(getattr(rules, name)) for name in NAMES}
    keep_days = "" if rules.keep_days is None else str(rules.keep_days)
    return {"bots": rules.bots, "time_zone": rules.time_zone, "keep_days": keep_days, **names}


def _read_days(text: str) -> int | None:
    if not text.strip():
        return None
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise EventsError(f"keep_days: {text[:20]!r} must be a whole number from 1 to {MAX_KEEP_DAYS}, or empty.")
    days = int(digits)
    check_keep_days(days)
    return days


PAGES = {"data.rules": Page(show_rules, set_rules)}
