"""The values of a dimension, for the lists that fields of forms offer."""

from __future__ import annotations

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.model.answers import ValuesResult
from falcon_events.runtime.steps import Steps

OFFERED = 20
"""How many values a field offers."""


def show_values(context: Context) -> Steps[Reply]:
    """Show the most frequent values that begin as the reader wrote."""
    view = context.view
    arguments = {
        "dimension": context.request.get("of"),
        "prefix": context.request.get("prefix"),
        "date_range": view.date_range,
        "limit": OFFERED,
    }
    answered = yield from context.ask("values", ValuesResult, arguments)
    return context.render("values.html", title="Values", values=[row.value for row in answered.result.rows])


PAGES = {"values": Page(show_values)}
