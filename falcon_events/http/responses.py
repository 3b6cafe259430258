"""Copying replies into Falcon's responses. WSGI and ASGI share it."""

from __future__ import annotations

from typing import Any

import falcon

from falcon_events.contract.replies import Reply
from falcon_events.errors import StoreUnavailable
from falcon_events.http.endpoints import PROPERTIES, QUESTION_PATHS, reject_method, reply_to_http_error
from falcon_events.ingest.answers import LARGE_BYTES, NO_ROOM, HeldAnswer
from falcon_events.tracking import EventTracking


def hold_if_large(tracking: EventTracking, endpoint: str, reply: Reply) -> tuple[Reply, HeldAnswer | None]:
    """Return a reply and, if it is large, its body to send in parts. If there is no room for a query's, it is replaced by 503."""
    if len(reply.body) <= LARGE_BYTES:
        return reply, None
    held = tracking.answers.hold(reply.body, always=endpoint != PROPERTIES and endpoint not in QUESTION_PATHS)
    return (tracking.pipeline.refusal(StoreUnavailable(NO_ROOM)) if held is None else reply), held


def send(resp: falcon.Response, reply: Reply, stream: Any = None) -> None:
    """Copy a reply into a response.

    Args:
        resp: the response.
        reply: the reply.
        stream: the parts of its body; None: send it as a whole.
    """
    resp.status = reply.status
    if reply.status != 204:  # it has no content, and so no type (RFC 9110, 15.3.5)
        resp.content_type = reply.content_type
        if stream is None:
            resp.data = reply.body
        else:
            resp.set_stream(stream, len(reply.body))
    for name, value in reply.headers:
        resp.set_header(name, value)


def serialize_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Give Falcon's own errors (no such path, ...) the documented form. An unknown method gets 405."""
    if error.status_code == 400 and req.method not in falcon.HTTP_METHODS:
        send(resp, reject_method(req.path))
    else:
        send(resp, reply_to_http_error(error.status_code, error.title or str(error.status)))
