"""The visitor of a request to the host application: the UUID in the tracker's cookie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from falcon_events.contract.event import Declined, read_uuid

COOKIE = "oct_uuid"
"""The cookie that the tracker's script keeps the visitor in."""


class HasCookies(Protocol):
    """A request of Falcon, FastAPI, Starlette, Flask or another framework with `request.cookies`."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name."""


class HasDjangoCookies(Protocol):
    """A request of Django."""

    @property
    def COOKIES(self) -> Mapping[str, str]:  # noqa: N802
        """The cookies by name."""


def visitor_of(request: HasCookies | HasDjangoCookies) -> str | None:
    """Return the UUID of the visitor whose browser sent a request, to pass to track() as `uuid`.

    An event that the server tracks then belongs to the same visitor as the views of the pages that this browser shows.

    Args:
        request: a request of Falcon (WSGI or ASGI), FastAPI, Starlette, Flask or Django.

    Returns:
        The UUID, or None if the request has no such cookie, or one whose value is no UUID: a visitor can send any cookie.

    Raises:
        TypeError: the object has no cookies, so it is no request.
    """
    for text in _find_values(request):
        try:
            return read_uuid(text.strip().strip('"'))
        except Declined:
            continue
    return None


def _find_values(request: object) -> Iterator[str]:
    """Yield the values of the cookie as the browser sent them, and then as the framework read them.

    A browser may have several cookies of this name, for the host and for its domain. It sends them all, and the tracker takes the
    first. Frameworks disagree on which of them they keep.
    """
    read = getattr(request, "get_header", None) or getattr(getattr(request, "headers", None), "get", None)
    header = read("Cookie") if callable(read) else None
    for pair in header.split(";") if isinstance(header, str) else ():
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            yield value
    cookies = getattr(request, "COOKIES", None)
    if cookies is None:
        cookies = getattr(request, "cookies", None)
    if not isinstance(cookies, Mapping):
        raise TypeError(f"request={type(request).__name__}: expected a request of a web framework, with its cookies.")
    kept = cookies.get(COOKIE)
    if isinstance(kept, str):
        yield kept
