"""Pages of a long list: which one the URL names, and the links to the others."""

from __future__ import annotations

import msgspec

from falcon_events.dashboard.context import Context
from falcon_events.query.names import MAX_OFFSET


class Pager(msgspec.Struct, frozen=True):
    """Where a page of rows stands in its list, and the addresses of the pages around it; None: there is none."""

    first: int
    last: int
    total: int
    before: str | None
    after: str | None
    beginning: str


def read_page_number(context: Context, rows: int) -> int:
    """Return the number of the page that the URL names, from 1 on. A part of a page is the first one unless it can be turned.

    Args:
        context: the page.
        rows: how many rows a page has; with it, the page begins within the limits of a question.
    """
    text = context.request.get("page", "1")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
    return min(max(number, 1), MAX_OFFSET // rows)


def make_pager(context: Context, page: str, number: int, rows: int, shown: int, total: int) -> Pager:
    """Return where a page of rows stands in its list.

    Args:
        context: the page.
        page: the path that shows other pages of the list.
        number: the number of this page.
        rows: how many rows a page has.
        shown: how many this page has.
        total: how many the list has.
    """
    links = context.links
    skipped = (number - 1) * rows
    return Pager(
        first=skipped + 1 if shown else 0,
        last=skipped + shown,
        total=total,
        before=links.here(page, page=number - 1 if number > 2 else None) if number > 1 else None,
        after=links.here(page, page=number + 1) if skipped + rows < min(total, MAX_OFFSET) else None,
        beginning=links.here(page, page=None),
    )
