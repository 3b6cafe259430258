"""The dashboard: from a browser's request to a page. Says who may see what, and checks forms."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import msgspec

from falcon_events.access.protocol import EVERY_ACCOUNT, Credential, Principal, Scope
from falcon_events.contract.lists import MAX_LIST_ID
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.answer_cache import AnswerCache
from falcon_events.dashboard.context import Context, Page
from falcon_events.dashboard.cookies import is_own_form
from falcon_events.dashboard.host_users import HostUsers, Who
from falcon_events.dashboard.pages import PAGES
from falcon_events.dashboard.pages.live import LiveReader
from falcon_events.dashboard.pickers import simplify_address
from falcon_events.dashboard.replies import redirect
from falcon_events.dashboard.requests import DashboardRequest
from falcon_events.dashboard.shared import PATHS as SHARED_PATHS, SharedPages
from falcon_events.dashboard.sign_in import (
    ENDED_BEFORE_CHANGE,
    find_session,
    render_form,
    renew,
    show_sign_in,
    sign_in,
    sign_out,
)
from falcon_events.dashboard.templates import Templates
from falcon_events.dashboard.view import Links, View, read_view
from falcon_events.errors import EventsError, RequestRefused
from falcon_events.model.access import EventList
from falcon_events.runtime.steps import Call, Steps
from falcon_events.tracking import EventTracking

logger = logging.getLogger(__name__)
requests_logger = logging.getLogger("falcon_events.requests")

SIGN_IN, SIGN_OUT = "sign-in", "sign-out"
NOBODY = Principal("", Scope.READ, None, frozenset())
TITLES = {400: "This cannot be asked", 403: "Not allowed", 404: "Not found", 405: "Not here", 422: "This cannot be asked"}


class Dashboard:
    """The pages of a tracker.

    Args:
        tracking: the tracker.
        who: the host's function that says who sent a request; None: people sign in with an API key.
        embedders: the pages that may show the dashboard in a frame, such as `https://intranet.example.com`; empty: none may.
        pages: the pages by their path.
    """

    def __init__(
        self,
        tracking: EventTracking,
        who: Who | None = None,
        *,
        embedders: Sequence[str] = (),
        pages: Mapping[str, Page] = PAGES,
    ) -> None:
        self._tracking = tracking
        self._users = None if who is None else HostUsers(who)
        self._embedders = " ".join(embedders) or "'none'"
        self._pages = pages
        self._templates = Templates()
        self._cache = AnswerCache()
        self._shared = SharedPages(tracking, self._templates, self._cache, pages)

    def handle(self, request: DashboardRequest) -> Steps[Reply]:
        """Return the reply to a request; never raise. The log gets no query string: that of a share has its secret."""
        began = time.perf_counter()
        reply = yield from self._reply(request)
        if self._tracking.settings.log_requests:
            taken_ms = (time.perf_counter() - began) * 1e3
            requests_logger.info("%s /dashboard/%s %d %.1f ms", request.method, quote(request.page), reply.status, taken_ms)
        return reply

    def _reply(self, request: DashboardRequest) -> Steps[Reply]:
        is_shared = request.page in SHARED_PATHS
        refuse = self._shared.refuse if is_shared else self._refuse
        try:
            return (yield from (self._shared.handle if is_shared else self._handle)(request))
        except RequestRefused as refused:
            return refuse(request, refused.status, [failure.message for failure in refused.failures])
        except EventsError as error:
            return refuse(request, 400, [str(error)])
        except Exception:
            logger.exception("A page of the dashboard failed with an unexpected exception")
            return refuse(request, 500, ["The page failed unexpectedly; the server's log has the details."])

    def open_stream(
        self, request: DashboardRequest, run: Callable[[Steps[bool]], bool]
    ) -> Steps[Callable[[int], list[tuple[int, bytes]] | None] | None]:
        """Return what reads the events of a list as they arrive, for the page with live events; None if the reader may not.

        It returns the events after a sequence number, each with its own, and None once the reader may not see them any more.

        Args:
            request: the browser's request.
            run: runs steps in a thread where they may call the host's function.
        """
        principal = yield from self.find_principal(request)
        if principal is None:
            return None
        context = yield from self._make_context(request, principal)
        if not context.view.list_id:
            return None

        def may_still_see() -> Steps[bool]:
            try:
                found = yield from self.find_principal(request)
                return found is not None and (yield from self.may_see(found, context.view.list_id))
            except Exception:
                logger.exception("The stream of events ends, since it is not known who reads it")
                return False

        return LiveReader(context, lambda: run(may_still_see())).read

    def find_principal(self, request: DashboardRequest) -> Steps[Principal | None]:
        """Return who sent the request; None if nobody is known to."""
        yield from self._tracking.pipeline.authorization.ensure_open()
        if self._users is not None:
            return (yield from self._users.identify(request.native))
        session = find_session(request)
        principal = self._tracking.directory.identify(Credential("session", session)) if session else None
        return principal if principal is not None and principal.scope.may_read else None

    def may_see(self, principal: Principal, list_id: int) -> Steps[bool]:
        """Whether the principal may see a list, which exists."""
        return (yield from self._may_see_among(principal, list_id, (yield from self._find_lists(principal))))

    def _may_see_among(self, principal: Principal, list_id: int, lists: Sequence[EventList]) -> Steps[bool]:
        """Whether the principal may see a list, where `lists` are those of _find_lists()."""
        if not 0 < list_id <= MAX_LIST_ID or (principal.list_ids is not None and list_id not in principal.list_ids):
            return False
        if self._tracking.access is not None and principal.account != EVERY_ACCOUNT:
            return bool((yield Call(self._tracking.access.owns_list, principal.account, list_id)))
        return any(found.list_id == list_id for found in lists)

    def _handle(self, request: DashboardRequest) -> Steps[Reply]:
        principal = yield from self.find_principal(request)
        if request.method == "POST" and not is_own_form(request, self._tracking.store.uuid_namespace):
            return self._refuse(
                request, 403, ["This form is too old, or comes from another site. Go back, load the page, try again."]
            )
        if self._users is None and request.page in (SIGN_IN, SIGN_OUT):
            context = self._make_bare_context(request)
            if request.page == SIGN_OUT:
                return (yield from sign_out(context))
            return (yield from (sign_in if request.method == "POST" else show_sign_in)(context))
        page = self._pages.get(request.page)
        if principal is None:
            return (yield from self._turn_away(request))
        if request.method != "POST" and (simpler := simplify_address(request)) is not None:
            return redirect(simpler)
        if page is None:
            return self._refuse(request, 404, ["There is no such page."])
        if (request.method == "POST" and page.act is None) or (request.method != "POST" and page.show is None):
            return self._refuse(request, 405, ["This page does not take such requests."])
        context = yield from self._make_context(request, principal)
        if page.needs_list and not context.view.list_id:
            return self._refuse_list(context)
        if request.method == "POST":
            if not context.may_change:
                return self._refuse(request, 403, ["You may only read here. Changes need a key of scope full."])
            assert page.act is not None
            return (yield from page.act(context))
        assert page.show is not None
        reply = yield from page.show(context)
        if self._users is None and not context.is_part and (cookie := (yield from renew(self._tracking, request))):
            reply = msgspec.structs.replace(reply, headers=(*reply.headers, cookie))
        return reply

    def _make_context(self, request: DashboardRequest, principal: Principal) -> Steps[Context]:
        """Return the context of a page. Its list is the one that the URL names, or else the first that the principal may see."""
        view, messages = read_view(request)
        lists = yield from self._find_lists(principal)
        if not view.list_id and lists and not messages:
            view = msgspec.structs.replace(view, list_id=lists[0].list_id)
        elif not (yield from self._may_see_among(principal, view.list_id, lists)):
            messages += [f"list: you have no list {view.list_id}."] if view.list_id else []
            view = msgspec.structs.replace(view, list_id=0)
        context = Context(
            self._tracking,
            self._templates,
            self._cache,
            request,
            principal,
            view,
            lists,
            embedders=self._embedders,
            can_sign_out=self._users is None,
        )
        context.messages += messages
        return context

    def _find_lists(self, principal: Principal) -> Steps[list[EventList]]:
        """Return the lists that a principal may see. With accounts of the host's own, they are those that the principal names."""
        directory = self._tracking.directory
        found: list[EventList] = yield Call(directory.lists)
        names = principal.list_ids
        if principal.account != EVERY_ACCOUNT and self._tracking.access is None:
            found = [one for one in found if principal.account in (one.account, directory.owner_of(one.list_id))]
        elif principal.account != EVERY_ACCOUNT:
            found = []
        if names is not None and self._tracking.access is not None:  # the store need not know a list of the host's own
            known = {one.list_id for one in found}
            found += [EventList(one, "", f"List {one}", datetime.now(UTC)) for one in sorted(names) if one not in known]
        return [one for one in found if names is None or one.list_id in names]

    def _turn_away(self, request: DashboardRequest) -> Steps[Reply]:
        """Send a browser to the form for signing in, or refuse it where the host says who may come in."""
        if self._users is not None:
            return self._refuse(request, 403, ["You are not signed in, or may not see this."])
        links = Links(read_view(request)[0], request.query)
        if request.method == "POST":
            page = self._pages.get(request.page)
            shown = links.here(request.page) if page is not None and page.show is not None else ""
            return render_form(self._make_bare_context(request), shown, status=401, ended=ENDED_BEFORE_CHANGE)
        if request.get("part") == "1":
            return self._refuse(request, 401, ["Your session has ended. Load the page to sign in again."])
        return redirect(f"./{SIGN_IN}?{urlencode({'next': links.here(request.page)})}")
        yield

    def _refuse_list(self, context: Context) -> Reply:
        if context.messages:
            return context.refuse(context.messages, status=404, title="Not found")
        return context.render("no_lists.html", status=200, title="No list yet")

    def _refuse(self, request: DashboardRequest, status: int, reasons: Sequence[str]) -> Reply:
        """Render why a page is refused."""
        context = self._make_bare_context(request, self._embedders)
        title = TITLES.get(status, "Not now")
        return context.refuse(reasons, status=status, title=title)

    def _make_bare_context(self, request: DashboardRequest, embedders: str = "'none'") -> Context:
        """Return the context of a page that shows nothing of a list. No site may show the form for signing in in a frame."""
        return Context(self._tracking, self._templates, self._cache, request, NOBODY, View(0), [], embedders=embedders)
