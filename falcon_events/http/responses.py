"""Copying replies into Falcon's responses. WSGI and ASGI share it."""

from __future__ import annotations

import falcon

from falcon_events.contract.replies import Reply
from falcon_events.http.endpoints import reject_method, reply_to_http_error


def send(resp: falcon.Response, reply: Reply) -> None:
    """Copy a reply into a response."""
    resp.status = reply.status
    if reply.status != 204:  # it has no content, and so no type (RFC 9110, 15.3.5)
        resp.content_type = reply.content_type
        resp.data = reply.body
    for name, value in reply.headers:
        resp.set_header(name, value)


def serialize_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Give Falcon's own errors (no such path, ...) the documented form. An unknown method gets 405."""
    if error.status_code == 400 and req.method not in falcon.HTTP_METHODS:
        send(resp, reject_method(req.path))
    else:
        send(resp, reply_to_http_error(error.status_code, error.title or str(error.status)))
