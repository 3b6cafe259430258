"""Shares, as their guests visit them: one page of the dashboard, read-only, without signing in."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Mapping, Sequence

import msgspec

from falcon_events.access.protocol import Principal, Scope
from falcon_events.contract.lists import MAX_LIST_ID
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.answer_cache import AnswerCache
from falcon_events.dashboard.context import Context, Guest, Page
from falcon_events.dashboard.cookies import find_cookie, has_form_token, make_cookie
from falcon_events.dashboard.replies import redirect
from falcon_events.dashboard.requests import DashboardRequest
from falcon_events.dashboard.saved_pages import BOARD, CHOICES, GUEST_PARTS, SIZES, SavedPage, read_shared_location
from falcon_events.dashboard.shared_links import PART, PUBLIC, SHARED, SharedLinks, list_guest_parts
from falcon_events.dashboard.templates import Templates
from falcon_events.dashboard.view import Links, View, read_view
from falcon_events.errors import RateLimited
from falcon_events.ingest.client_address import group_address
from falcon_events.model.boards import Share
from falcon_events.runtime.steps import Call, Steps
from falcon_events.tracking import EventTracking

PATHS = frozenset({SHARED, SHARED + PART, PUBLIC, PUBLIC + PART})
"""The pages that guests visit."""
GONE = "There is no such shared page, or it is not shared any more."
NOT_SHOWN = "This part does not belong to the shared page."
FORM_TOO_OLD = "This form is too old, or comes from another site. Load the page, try again."
WRONG_PASSWORD = "This is not the password."
ATTEMPTS_PER_MINUTE = 10
"""How many passwords an address may try."""
PASSWORD_S = 14 * 86400
"""How long a browser need not ask for the password again, in seconds."""
GUEST = Guest()


class OpenedShare(msgspec.Struct, frozen=True):
    """A share that a guest opens: the share, the parameters that open it, and the page that it shows."""

    share: Share
    credential: Mapping[str, str]
    root: str
    saved: SavedPage

    @property
    def guest(self) -> Guest:
        """How the share is visited."""
        return Guest(is_public=self.root == PUBLIC)

    @property
    def embedders(self) -> str:
        """The pages that may show the share in a frame. A frame of another site cannot ask for a password."""
        return "*" if self.share.embed and not self.share.needs_password else "'none'"

    @property
    def address(self) -> str:
        """The URL of the share."""
        return SharedLinks(self.credential, self.root, self.saved, self.saved, query={}).to_root()


class SharedPages:
    """The pages of shares.

    Args:
        tracking: the tracker.
        templates: the templates of pages.
        cache: the answers that are shown again.
        pages: the pages by their path.
    """

    def __init__(self, tracking: EventTracking, templates: Templates, cache: AnswerCache, pages: Mapping[str, Page]) -> None:
        self._tracking = tracking
        self._templates = templates
        self._cache = cache
        self._pages = pages

    def handle(self, request: DashboardRequest) -> Steps[Reply]:
        """Return the reply to a guest's request.

        Raises:
            EventsError: the page cannot be shown.
        """
        yield from self._tracking.pipeline.authorization.ensure_open()
        opened = yield from self._open(request)
        if opened is None:
            return self.refuse(request, 404, [GONE])
        is_part = request.page.endswith(PART)
        if request.method == "POST":
            if is_part or not opened.share.needs_password:
                return self.refuse(request, 405, ["This page does not take such requests."])
            return (yield from self._check_password(request, opened))
        if opened.share.needs_password and not self._knows_password(request, opened.share):
            return self.refuse(request, 403, ["Load the page to write the password."]) if is_part else self._ask(request, opened)
        return (yield from (self._show_part if is_part else self._show)(request, opened))

    def refuse(self, request: DashboardRequest, status: int, reasons: Sequence[str]) -> Reply:
        """Render why nothing is shown."""
        context = self._build_context(request, View(0), Links(View(0), {}), GUEST, "'none'")
        title = "Not found" if status == 404 else "This cannot be shown"
        return context.render("shared_refused.html", status=status, title=title, reasons=reasons)

    def _open(self, request: DashboardRequest) -> Steps[OpenedShare | None]:
        """Return the share that the request's parameters open; None if they open none."""
        boards, root = self._tracking.boards, request.page.removesuffix(PART)
        credential: dict[str, str]
        share: Share | None
        if root == PUBLIC:
            list_id, share_id = request.get("list"), request.get("share")
            if not (list_id.isascii() and list_id.isdigit() and len(list_id) < 20 and 0 < int(list_id) <= MAX_LIST_ID):
                return None
            found: list[Share] = yield Call(boards.shares, int(list_id))
            share = next((one for one in found if one.share_id == share_id and one.public and one.revoked_at is None), None)
            credential = {"list": str(int(list_id)), "share": share_id}
        else:
            secret = request.get("secret")
            share = (yield Call(boards.find_share, secret)) if secret else None
            credential = {"secret": secret}
        if share is None or not (yield from self._has_list(share.list_id)):
            return None
        saved = read_shared_location(share.location, share.list_id)
        if saved is None or saved.page not in self._pages:
            return None
        return OpenedShare(share, credential, root, saved)

    def _has_list(self, list_id: int) -> Steps[bool]:
        """Whether the share's list still exists, as far as the store knows its lists."""
        if self._tracking.access is not None:
            return True
        return (yield Call(self._tracking.directory.find_owner, list_id)) is not None

    def _show(self, request: DashboardRequest, opened: OpenedShare) -> Steps[Reply]:
        """Show the whole page. Its parts are asked for one by one."""
        saved = opened.saved
        if saved.page == BOARD:
            return (yield from self._show_board(request, opened))
        if saved.page in GUEST_PARTS:
            return (yield from self._show_page(request, opened, saved, saved.page))
        if not saved.page:
            return (yield from self._show_page(request, opened, saved, ""))
        links = SharedLinks(opened.credential, opened.root, saved, saved, query={})
        context = self._build_context(
            saved.build_request(), self._limit(saved.view, opened), links, opened.guest, opened.embedders
        )
        parts = [(links.to_part(part), SIZES.get(part.rpartition(".")[2], "")) for part in list_guest_parts(saved, False)]
        return context.render("shared_page.html", title=saved.title, views=[(None, "", parts)], subject=saved.name)

    def _show_board(self, request: DashboardRequest, opened: OpenedShare) -> Steps[Reply]:
        """Show the views of a board, but for those that show persons."""
        saved = opened.saved
        links = SharedLinks(opened.credential, opened.root, saved, saved, query={})
        context = self._build_context(
            saved.build_request(), self._limit(saved.view, opened), links, opened.guest, opened.embedders
        )
        views = []
        for one in (yield Call(self._tracking.boards.views, opened.share.list_id, saved.name)):
            page = read_shared_location(one.location, opened.share.list_id)
            if page is not None and (parts := list_guest_parts(page, True)):
                shown = [(links.to_part(part, one.name), SIZES.get(part.rpartition(".")[2], "")) for part in parts]
                views.append((one.name, page.describe(context.describe_filter), shown))
        return context.render("shared_page.html", title=saved.name, views=views, subject="")

    def _show_part(self, request: DashboardRequest, opened: OpenedShare) -> Steps[Reply]:
        """Show a part of the page, or of a view of the board, if it belongs there."""
        saved, part, view_name = opened.saved, request.get("show"), None
        if saved.page == BOARD:
            view_name = request.get("view")
            views = yield Call(self._tracking.boards.views, opened.share.list_id, saved.name)
            location = next((one.location for one in views if one.name == view_name), None)
            found = None if location is None else read_shared_location(location, opened.share.list_id)
            if found is None:
                return self.refuse(request, 404, [NOT_SHOWN])
            saved = found
        if part not in list_guest_parts(saved, view_name is not None) or part not in self._pages:
            return self.refuse(request, 404, [NOT_SHOWN])
        return (yield from self._show_page(request, opened, saved, part, view_name))

    def _show_page(
        self, request: DashboardRequest, opened: OpenedShare, saved: SavedPage, page: str, view_name: str | None = None
    ) -> Steps[Reply]:
        """Show a page of the dashboard as it is saved, with the choices that guests have."""
        allowed = CHOICES.get(page, GUEST_PARTS.get(page, frozenset()))
        choices = {name: request.get(name) for name in allowed if name in request.query}
        choices |= {name: "1" for name in ("part", "csv") if page and request.get(name) == "1"}
        inner = saved.build_request(page, **choices)
        part = page if page in GUEST_PARTS else ""
        links = SharedLinks(
            opened.credential, opened.root, opened.saved, saved, part=part, view_name=view_name, query=inner.query
        )
        view, messages = read_view(inner)
        if messages:  # without a filter that cannot be read, guests would see too much
            return self.refuse(inner, 422, messages)
        context = self._build_context(inner, self._limit(view, opened), links, opened.guest, opened.embedders)
        show = self._pages[page].show
        assert show is not None
        return (yield from show(context))

    def _limit(self, view: View, opened: OpenedShare) -> View:
        """Return a view of the share's list, whatever the page's URL says."""
        return msgspec.structs.replace(view, list_id=opened.share.list_id)

    def _build_context(self, request: DashboardRequest, view: View, links: Links, guest: Guest | None, embedders: str) -> Context:
        """Return the context of a page for somebody who may read the view's list and nothing else."""
        principal = Principal("", Scope.READ, None, frozenset({view.list_id}))
        return Context(
            self._tracking,
            self._templates,
            self._cache,
            request,
            principal,
            view,
            [],
            embedders=embedders,
            links=links,
            guest=guest,
        )

    def _ask(self, request: DashboardRequest, opened: OpenedShare, status: int = 200, reason: str = "") -> Reply:
        """Show the form for the password."""
        context = self._build_context(request, View(0), Links(View(0), {}), None, "'none'")
        context.is_bare = True
        return context.render("shared_password.html", status=status, title="Password", reason=reason, address=opened.address)

    def _check_password(self, request: DashboardRequest, opened: OpenedShare) -> Steps[Reply]:
        """Show the page from now on in a browser whose form has the password."""
        if not has_form_token(request, self._tracking.store.uuid_namespace):
            return self._ask(request, opened, 403, FORM_TOO_OLD)
        authorization, boards = self._tracking.pipeline.authorization, self._tracking.boards
        try:
            yield from authorization.count_request("share", group_address(request.address), ATTEMPTS_PER_MINUTE)
        except RateLimited as limited:
            reason = f"Too many attempts. Try again in {math.ceil(limited.retry_after_s)} seconds."
            return self._ask(request, opened, 429, reason)
        if not (yield Call(boards.check_share_password, opened.share, request.field("password"))):
            return self._ask(request, opened, 403, WRONG_PASSWORD)
        expires = str(int(time.time()) + PASSWORD_S)
        value = f"{expires}.{self._sign(opened.share, expires)}"
        return redirect(opened.address, make_cookie(request, _name_cookie(opened.share), value, PASSWORD_S, "Lax"))

    def _knows_password(self, request: DashboardRequest, share: Share) -> bool:
        """Whether the browser has the cookie of somebody who wrote the share's password."""
        expires, _, signature = find_cookie(request, _name_cookie(share)).partition(".")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 12 and int(expires) > time.time()):
            return False
        return hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(share, expires).encode())

    def _sign(self, share: Share, expires: str) -> str:
        """Return the proof that the password was written. It ends with the share and its password."""
        text = f"dashboard share {share.share_id} {expires} {share.password_hash}"
        return hmac.digest(self._tracking.store.uuid_namespace, text.encode(), "sha256").hex()


def _name_cookie(share: Share) -> str:
    return f"falcon_events_{share.share_id}"
