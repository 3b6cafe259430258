"""Signing in with an API key, which becomes a session in a cookie."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from urllib.parse import urlsplit

from falcon_events.access.protocol import Credential
from falcon_events.contract.replies import Reply
from falcon_events.dashboard.context import Context
from falcon_events.dashboard.cookies import SESSION, find_cookie, make_cookie
from falcon_events.dashboard.replies import redirect
from falcon_events.dashboard.requests import DashboardRequest
from falcon_events.errors import EventsError, NotFound, RateLimited
from falcon_events.ingest.client_address import group_address
from falcon_events.runtime.steps import Call, Steps
from falcon_events.tracking import EventTracking

SESSION_S = 14 * 86400
"""How long a session lasts after its last renewal, in seconds."""
COOKIE_S = SESSION_S + 30 * 86400
"""How long a browser keeps the cookie. After the session's end it only shows that there was one."""
RENEWED_AFTER_S = 86400
"""A session that is used is renewed once a day."""
ATTEMPTS_PER_MINUTE = 10
"""How many attempts to sign in an address has."""
ENDED = "Your session has ended, or its key was revoked. Sign in again."
ENDED_BEFORE_CHANGE = "Your session has ended, or its key was revoked, so nothing was changed. Sign in, and send the form again."
WRONG_KEY = "There is no such key, or it is revoked. Create one with: falcon-events keys create --account default --scope read"
WRONG_SCOPE = "This key has the scope ingest, which allows sending events only. Use a key of scope read or full."


def show_sign_in(context: Context) -> Steps[Reply]:
    """Show the form, and that the session has ended if the browser had one."""
    session = find_session(context.request)
    is_over = bool(session) and context.tracking.directory.identify(Credential("session", session)) is None
    return render_form(context, context.request.get("next"), ended=ENDED if is_over else "")
    yield


def render_form(context: Context, next_page: str, *, status: int = 200, reason: str = "", ended: str = "") -> Reply:
    """Render the form.

    Args:
        context: the page.
        next_page: the page to show after signing in.
        status: the HTTP status.
        reason: why the key was refused.
        ended: that the session has ended.
    """
    found = _find_next(next_page)
    return context.render("sign_in.html", status=status, title="Sign in", reason=reason, ended=ended, next=found)


def sign_in(context: Context) -> Steps[Reply]:
    """Begin a session if the form has a key that may read."""
    request, tracking = context.request, context.tracking
    key, next_page = request.field("key").strip(), request.field("next")
    try:
        yield from tracking.pipeline.authorization.count_request("sign-in", group_address(request.address), ATTEMPTS_PER_MINUTE)
    except RateLimited as limited:
        reason = f"Too many attempts. Try again in {math.ceil(limited.retry_after_s)} seconds."
        return render_form(context, next_page, status=429, reason=reason)
    principal = tracking.directory.identify(Credential("api_key", key)) if key else None
    if principal is None or not principal.scope.may_read:
        reason = WRONG_KEY if principal is None else WRONG_SCOPE
        return render_form(context, next_page, status=403, reason=reason)
    session = yield Call(tracking.directory.sign_in, key, SESSION_S)
    return redirect(_find_next(next_page) or "./", make_cookie(request, SESSION, _write_session(session), COOKIE_S))


def sign_out(context: Context) -> Steps[Reply]:
    """End the session, here and in the store."""
    session = find_session(context.request)
    if context.request.method == "POST" and session:
        with suppress(NotFound):
            yield Call(context.tracking.directory.revoke_session, session)
        return redirect("sign-in", make_cookie(context.request, SESSION, "", 0))
    return redirect("./")


def find_session(request: DashboardRequest) -> str:
    """Return the id of the session that the browser has; empty if it has none."""
    return find_cookie(request, SESSION).partition(".")[0]


def renew(tracking: EventTracking, request: DashboardRequest) -> Steps[tuple[str, str] | None]:
    """Renew a session that is used, once a day. Return the header that renews its cookie, or None."""
    session, _, written_at = find_cookie(request, SESSION).partition(".")
    if not session or not written_at.isdigit() or time.time() - int(written_at[:12]) < RENEWED_AFTER_S:
        return None
    try:
        yield Call(tracking.directory.renew_session, session, SESSION_S)
    except EventsError:
        return None
    return make_cookie(request, SESSION, _write_session(session), COOKIE_S)


def _write_session(session: str) -> str:
    """Return the cookie's value: the session's id, and when the cookie was written."""
    return f"{session}.{int(time.time())}"


def _find_next(given: str) -> str:
    """Return the page to show after signing in, if it is one of the dashboard's own; otherwise the overview."""
    parts = urlsplit(given)
    is_ours = given.startswith("./") and not parts.scheme and not parts.netloc and "\\" not in given and ".." not in parts.path
    return given if is_ours and len(given) < 8_000 and given.isprintable() else ""
