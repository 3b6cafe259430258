"""Requests as the core reads them, and replies into Falcon's responses; the same for both flavours."""

from __future__ import annotations

from collections.abc import Mapping

import falcon

from falcon_events.contract.replies import Reply
from falcon_events.http.bodies import Incoming
from falcon_events.http.endpoints import not_allowed, status_reply
from falcon_events.proxies import Proxies
from falcon_events.senders import Sender

PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
"""By which browsers say that nobody looks at a page yet; only the first is of a standard (Fetch, 3.7)."""
FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
HEADERS = (
    "HTTP_AUTHORIZATION",
    "HTTP_ORIGIN",
    "HTTP_USER_AGENT",
    "HTTP_CONTENT_ENCODING",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    FORWARDED_FOR,
    *PURPOSES,
)
"""Every header that the core is told, under its name in a WSGI environment (RFC 3875, 4.1.18)."""


def incoming_of(
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    address: str,
    proxies: Proxies | None,
    query: Mapping[str, str | list[str]] | None = None,
) -> Incoming:
    """What a door has read of a request.

    Args:
        method: the request's.
        path: the request's.
        body: the request's, None where it is over the limit.
        headers: at least those of HEADERS that it has, under the names there.
        address: the peer's.
        proxies: whose word counts for the client's address; None for nobody's.
        query: the query string's parameters, where they matter.
    """
    header = headers.get
    authorization = header("HTTP_AUTHORIZATION")
    sender = Sender(
        _bearer(authorization) if authorization else None,
        header("HTTP_ORIGIN"),
        header("HTTP_USER_AGENT", ""),
        header(PURPOSES[0]) or header(PURPOSES[1]) or header(PURPOSES[2]) or header(PURPOSES[3]) or "",
        address if proxies is None else proxies.client(address, header(FORWARDED_FOR, "")),
    )
    is_preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in headers
    return Incoming(method, path, body, query or {}, sender, header("HTTP_CONTENT_ENCODING", ""), is_preflight)


def send(resp: falcon.Response, reply: Reply) -> None:
    """Puts a reply into a response."""
    resp.status = reply.status
    resp.content_type = reply.content_type
    resp.data = reply.body
    for name, value in reply.headers:
        resp.set_header(name, value)


def serialize_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Falcon's own errors (no such path, ...) in the documented shape; a method that nobody knows is not allowed."""
    if error.status_code == 400 and req.method not in falcon.HTTP_METHODS:
        send(resp, not_allowed(req.path))
    else:
        send(resp, status_reply(error.status_code, error.title or str(error.status)))


def _bearer(authorization: str) -> str | None:
    """The key of `Authorization: Bearer KEY` (RFC 6750, 2.1), if there is one."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None
