"""Replies into Falcon's responses; the same for both flavours."""

from __future__ import annotations

import falcon

from falcon_events.contract.replies import Reply
from falcon_events.http.endpoints import not_allowed, status_reply


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
