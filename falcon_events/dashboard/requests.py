"""Requests of browsers in the form that the dashboard reads. WSGI and ASGI share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

MAX_FIELDS = 1_000
"""How many fields a form or a query string may have."""
MAX_NESTING = 30
"""How deeply the JSON in a parameter may be nested; questions are far from it."""
HEADERS = (
    "HTTP_COOKIE",
    "HTTP_HOST",
    "HTTP_ORIGIN",
    "HTTP_SEC_FETCH_SITE",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
)
"""Every header that the dashboard reads, under its name in a WSGI environment (RFC 3875, 4.1.18)."""


class DashboardRequest(msgspec.Struct, frozen=True):
    """A browser's request for a page of the dashboard.

    Attributes:
        method: `GET`, `HEAD` or `POST`.
        page: the path below `/dashboard/`: empty for the overview, or such as `funnels`.
        query: the parameters of the URL; each has one value or several.
        form: the fields of a POST request.
        headers: the headers in HEADERS that the request has.
        cookies: the request's cookies.
        address: the client's address.
        is_secure: whether the browser uses HTTPS.
        native: the host's own request: a Falcon request, with the server's `scope` or `env`.
    """

    method: str
    page: str
    query: Mapping[str, list[str]]
    form: Mapping[str, list[str]]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    address: str
    is_secure: bool
    native: Any

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of a parameter of the URL."""
        return self.query[name][-1] if name in self.query else default

    def field(self, name: str, default: str = "") -> str:
        """Return the last value of a field of the form."""
        return self.form[name][-1] if name in self.form else default


def parse_fields(text: str) -> dict[str, list[str]]:
    """Return the fields of a query string or of a form that was sent as application/x-www-form-urlencoded.

    Raises:
        ValueError: there are more than MAX_FIELDS fields.
    """
    return parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")


def parse_cookies(header: str) -> dict[str, str]:
    """Return the cookies of a Cookie header (RFC 6265, 5.4). Of two with one name, the first counts."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, found, value = pair.strip().partition("=")
        if found and name:
            cookies.setdefault(name, value.strip('"'))
    return cookies


def decode_parameter(text: str) -> Any:
    """Return the JSON that a parameter of the URL has; None if it is none, or nested deeper than any question."""
    try:
        value = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    level = [value]
    for _ in range(MAX_NESTING):
        level = [part for one in level for part in _list_parts(one)]
    return None if level else value


def _list_parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
