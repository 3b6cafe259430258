"""Boards: saved views of a list, one below the other."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.replies import redirect
from falcon_events.dashboard.saved_pages import BOARD, read_location, read_own_location
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.boards import DashboardView
from falcon_events.runtime.steps import Call, Steps

ACTS = ("save", "remove")


def show_boards(context: Context) -> Steps[Reply]:
    """Show the boards of the list."""
    views = yield from _find_views(context)
    return context.render("boards.html", title="Boards", boards=sorted(Counter(one.board for one in views).items()))


def show_names(context: Context) -> Steps[Reply]:
    """Show the names of the boards, for the field that offers them."""
    views = yield from _find_views(context)
    return context.render("boards_names.html", title="Boards", names=sorted({one.board for one in views}))


def show_board(context: Context) -> Steps[Reply]:
    """Show a board. Its views are parts, which load when they come into view."""
    board = context.request.get("name")
    views: list[DashboardView] = yield Call(context.tracking.boards.views, context.view.list_id, board)
    return context.render("board.html", title=board, board=board, views=[_describe(context, one) for one in views])


def act_on_views(context: Context) -> Steps[Reply]:
    """Save a page on a board, or remove a view from it."""
    request, list_id, boards = context.request, context.view.list_id, context.tracking.boards
    act = request.field("act")
    if act == "save":
        saved = read_own_location(request.field("location"), list_id)
        board, name = request.field("board").strip(), request.field("name").strip()
        yield Call(boards.save_view, list_id, board, name, saved.location)
        return redirect(context.links.to(BOARD, name=board))
    if act != "remove":
        raise EventsError(f"act: {act[:50]!r} must be one of {', '.join(ACTS)}.")
    views = yield from _find_views(context)
    found = next((one for one in views if _make_key(one) == request.field("view")), None)
    if found is None:
        raise NotFound("This view is not there any more.")
    yield Call(boards.remove_view, list_id, found.board, found.name)
    is_left = sum(one.board == found.board for one in views) > 1
    return redirect(context.links.to(BOARD, name=found.board) if is_left else context.links.to("boards"))


def _find_views(context: Context) -> Steps[list[DashboardView]]:
    views: list[DashboardView] = yield Call(context.tracking.boards.views, context.view.list_id)
    return views


def _describe(context: Context, view: DashboardView) -> dict[str, Any]:
    """Return what a board shows of a view."""
    saved = read_location(view.location, view.list_id)
    return {
        "name": view.name,
        "key": _make_key(view),
        "link": "" if saved is None else saved.write(saved.page),
        "about": "" if saved is None else saved.describe(context.describe_filter),
        "parts": [] if saved is None else saved.list_parts(),
    }


def _make_key(view: DashboardView) -> str:
    """Return what a form calls a view, as a browser changes some characters of names."""
    return hashlib.sha256(f"{len(view.board)} {view.board} {view.name}".encode()).hexdigest()[:32]


PAGES = {
    "boards": Page(show_boards),
    "boards.names": Page(show_names),
    "board": Page(show_board),
    "views": Page(act=act_on_views),
}
