"""Falcon's requests as the core reads them, and replies into Falcon's responses; the same for both flavours."""

from __future__ import annotations

import falcon

from falcon_events.contract.answers import Reply
from falcon_events.http.bodies import Incoming
from falcon_events.http.endpoints import not_allowed, status_reply
from falcon_events.senders import Sender

PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""By which browsers say that nobody looks at a page yet; only the first is of a standard (Fetch, 3.7)."""


def incoming_of(req: falcon.Request, body: bytes | None) -> Incoming:
    """What a door has read of a request."""
    header = req.get_header
    sender = Sender(
        _bearer(header("Authorization") or ""),
        header("Origin"),
        header("User-Agent") or "",
        next((value for name in PURPOSES if (value := header(name))), ""),
        req.remote_addr or "",
    )
    is_preflight = header("Access-Control-Request-Method") is not None
    return Incoming(req.method, req.path, body, req.params, sender, header("Content-Encoding") or "", is_preflight)


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
