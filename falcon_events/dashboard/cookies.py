"""Cookies of the dashboard, and the tokens that prove that a form comes from one of its pages."""

from __future__ import annotations

import hmac
import re
import secrets

from falcon_events.dashboard.requests import DashboardRequest

SESSION, FORMS = "falcon_events_session", "falcon_events_forms"
"""The cookies: of the session, and of the tokens in forms."""
FORM_TOKEN = "token"
"""The field of a form that has its token."""
_SECRET_CHARS = 32


def find_cookie(request: DashboardRequest, name: str) -> str:
    """Return the value of one of the dashboard's cookies; empty if the request has none."""
    return request.cookies.get(_prefix(name, request), "")


def make_cookie(request: DashboardRequest, name: str, value: str, max_age_s: int, same_site: str = "Strict") -> tuple[str, str]:
    """Return the header that sets one of the dashboard's cookies.

    Scripts cannot read it.

    Args:
        request: the request; over HTTPS, the cookie is only sent over HTTPS.
        name: the cookie's name.
        value: its value.
        max_age_s: how long it is valid, in seconds; 0 removes it.
        same_site: `Strict`: requests that other sites start do not carry it; `Lax`: links on other sites do.
    """
    secure = "; Secure" if request.is_secure else ""
    attributes = f"Path=/; Max-Age={max_age_s}; HttpOnly; SameSite={same_site}{secure}"
    return "Set-Cookie", f"{_prefix(name, request)}={value}; {attributes}"


def find_form_secret(request: DashboardRequest) -> str:
    """Return the browser's secret for forms, which is a new one if the request has none."""
    found = find_cookie(request, FORMS)
    is_ours = len(found) >= _SECRET_CHARS and found.isascii() and found.replace("-", "").replace("_", "").isalnum()
    return found if is_ours else secrets.token_urlsafe(_SECRET_CHARS)


def make_form_token(key: bytes, form_secret: str) -> str:
    """Return the token that a form carries.

    Args:
        key: the store's secret bytes.
        form_secret: the browser's secret for forms.
    """
    return hmac.digest(key, b"dashboard form " + form_secret.encode(), "sha256").hex()


def is_own_form(request: DashboardRequest, key: bytes) -> bool:
    """Whether a POST request was sent by one of the dashboard's own pages, in this browser."""
    origin = request.headers.get("HTTP_ORIGIN")
    if request.headers.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
        return False
    if origin is not None and "HTTP_SEC_FETCH_SITE" not in request.headers and not _is_same_host(origin, request):
        return False
    return has_form_token(request, key)


def has_form_token(request: DashboardRequest, key: bytes) -> bool:
    """Whether a POST request has the token of this browser's forms, which other sites do not know."""
    form_secret = find_cookie(request, FORMS)
    return bool(form_secret) and hmac.compare_digest(
        request.field(FORM_TOKEN).encode(), make_form_token(key, form_secret).encode()
    )


def _is_same_host(origin: str, request: DashboardRequest) -> bool:
    """Whether a form comes from the host that it was sent to. A proxy may leave the port out, by which cookies do not differ."""
    sent_from, host = origin.partition("://")[2].lower(), request.headers.get("HTTP_HOST", "").lower()
    return host != "" and host in (sent_from, re.sub(r":\d+$", "", sent_from))


def _prefix(name: str, request: DashboardRequest) -> str:
    """Return a cookie's full name. Over HTTPS, no other host of the domain can set it (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{name}" if request.is_secure else name
