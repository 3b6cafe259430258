"""Shares of a list: making one, and ending it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.replies import redirect
from falcon_events.dashboard.saved_pages import BOARD, GUEST_PAGES, SavedPage, read_location, read_own_location
from falcon_events.dashboard.shared_links import PUBLIC, SHARED, list_guest_parts
from falcon_events.errors import EventsError, NotFound
from falcon_events.model.boards import NewShare, Share
from falcon_events.runtime.steps import Call, Steps

ACTS = ("share", "revoke")
ACCESS = ("link", "password", "public")
"""Who may see a share: whoever has the link, whoever knows the password besides, everybody."""


def show_shares(context: Context) -> Steps[Reply]:
    """Show what is shared, and what was."""
    return (yield from _render(context, None))


def act_on_shares(context: Context) -> Steps[Reply]:
    """Share a page, or end a share."""
    act = context.request.field("act")
    if act == "share":
        return (yield from _create(context))
    if act != "revoke":
        raise EventsError(f"act: {act[:50]!r} must be one of {', '.join(ACTS)}.")
    share_id = context.request.field("share")
    if not any(one.share_id == share_id for one in (yield from _find_shares(context))):
        raise NotFound("This share is not there any more.")
    yield Call(context.tracking.boards.revoke_share, share_id)
    return redirect(context.links.to("shares"))


def _create(context: Context) -> Steps[Reply]:
    """Create a share, and show its link, which cannot be shown again."""
    request, list_id = context.request, context.view.list_id
    saved = read_own_location(request.field("location"), list_id)
    if saved.page != BOARD and saved.page not in GUEST_PAGES:
        raise EventsError(f"location: the page {saved.title} cannot be shared. Share the overview or a board.")
    access, embed = request.field("access", "link"), request.field("embed") == "1"
    if access not in ACCESS:
        raise EventsError(f"access: {access[:50]!r} must be one of {', '.join(ACCESS)}.")
    password = request.field("password") or None
    if password and access == "link":
        access = "password"  # whoever writes a password wants it asked for
    if password and access == "public":
        raise EventsError(
            "password: a page that everybody may see asks for none. Choose the link and the password, or leave it empty."
        )
    if access == "password" and password is None:
        raise EventsError("password: write the password that guests have to know, or choose that the link is enough.")
    if password is not None and embed:
        raise EventsError("embed: a page within another one cannot ask for a password. Choose one of the two.")
    create = partial(context.tracking.boards.create_share, password=password, public=access == "public", embed=embed)
    new: NewShare = yield Call(create, list_id, saved.location)
    parameters = {"list": str(list_id), "share": new.share_id} if access == "public" else {"secret": new.secret}
    created = {
        "address": f"./{PUBLIC if access == 'public' else SHARED}?{urlencode(parameters)}",
        "title": saved.title,
        "is_public": access == "public",
        "needs_password": password is not None,
        "embed": embed,
        "left_out": (yield from _count_left_out(context, saved)),
    }
    return (yield from _render(context, created))


def _render(context: Context, created: dict[str, Any] | None) -> Steps[Reply]:
    shares = yield from _find_shares(context)
    rows = [_describe(context, one) for one in reversed(shares)]
    return context.render(
        "shares.html",
        title="Shared pages",
        created=created,
        open=[row for row in rows if row["share"].revoked_at is None],
        ended=[row for row in rows if row["share"].revoked_at is not None],
    )


def _find_shares(context: Context) -> Steps[Sequence[Share]]:
    shares: list[Share] = yield Call(context.tracking.boards.shares, context.view.list_id)
    return shares


def _count_left_out(context: Context, saved: SavedPage) -> Steps[str]:
    """Return a sentence about the views of a board that guests do not see; empty if they see all."""
    if saved.page != BOARD:
        return ""
    views = yield Call(context.tracking.boards.views, context.view.list_id, saved.name)
    pages = [read_location(one.location, one.list_id) for one in views]
    count = sum(page is None or not list_guest_parts(page, True) for page in pages)
    if not count:
        return ""
    they = "it shows" if count == 1 else "they show"
    return f"Guests do not see {count} of the {len(views)} views, as {they} persons or settings."


def _describe(context: Context, share: Share) -> dict[str, Any]:
    """Return what the table shows of a share."""
    saved = read_location(share.location, share.list_id)
    who = "Everybody" if share.public else "Whoever has the link"
    who += " and the password" if share.needs_password else ""
    address = f"./{PUBLIC}?{urlencode({'list': share.list_id, 'share': share.share_id})}"
    return {
        "share": share,
        "about": "A page that is not there any more" if saved is None else saved.describe(context.describe_filter),
        "link": "" if saved is None else saved.write(saved.page),
        "who": who + (", also within other sites" if share.embed and not share.needs_password else ""),
        "public_address": address if share.public else "",
    }


PAGES = {"shares": Page(show_shares, act_on_shares)}
