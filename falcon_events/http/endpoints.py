"""The endpoints: which path and method is answered by what; shared by every door."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import jsonschema  # noqa: F401  a server judges requests: this is loaded with it, not with the first wrong one
import msgspec

from falcon_events.admin.metrics import CONTENT_TYPE
from falcon_events.contract.body import unreadable
from falcon_events.contract.replies import Reply, common_reply, errors_reply, refusal_reply
from falcon_events.errors import EventsError, Failure, RequestRefused, StoreUnavailable
from falcon_events.http.requests import Incoming, inflated
from falcon_events.ingest.authorization import WRONG_ORIGIN
from falcon_events.model.reports import HealthState
from falcon_events.runtime.steps import Steps
from falcon_events.tracking import EventTracking

logger = logging.getLogger("falcon_events.requests")

EVENT = "/api/v1/event"
PROPERTIES = "/api/v1/website_events.properties"
EVENTS = "/api/v1/events"
PATHS = (EVENT, EVENTS, PROPERTIES)
"""The documented endpoints."""
FROM_PAGES = (EVENT, EVENTS)
"""What a page of another origin may use."""
PREFLIGHT_HEADERS = (
    ("Access-Control-Allow-Methods", "POST"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Encoding, Content-Type"),
    ("Access-Control-Max-Age", "7200"),
)
EXPOSED = "Retry-After, X-Event-Dropped, X-Event-Duplicate, X-Event-ID"

Action = Callable[[EventTracking, Incoming], Steps[Reply]]


def _event(tracking: EventTracking, incoming: Incoming) -> Steps[Reply]:
    return tracking.pipeline.event_reply(incoming.body or b"", incoming.sender)


def _events(tracking: EventTracking, incoming: Incoming) -> Steps[Reply]:
    return tracking.pipeline.events_reply(incoming.body or b"", incoming.sender)


def _properties(tracking: EventTracking, incoming: Incoming) -> Steps[Reply]:
    return tracking.pipeline.properties_reply(incoming.body or b"", incoming.sender)


def _properties_query(tracking: EventTracking, incoming: Incoming) -> Steps[Reply]:
    given = [value for name, value in incoming.query.items() if name.lower() == "listid"]
    last = given[-1] if given else None
    return tracking.pipeline.properties_query_reply(last[-1] if isinstance(last, list) else last, incoming.sender)


def _preflight(tracking: EventTracking, incoming: Incoming) -> Steps[Reply]:
    """A browser asks whether a page of another origin may send an event (Fetch, 4.8); the answer's headers say so."""
    if incoming.sender.origin is None or not incoming.preflight:
        return not_allowed(incoming.path)
    if not (yield from tracking.pipeline.authorization.allows_origin(incoming.sender.origin)):
        return common_reply(WRONG_ORIGIN)
    return Reply(204, b"", PREFLIGHT_HEADERS)


ACTIONS: dict[str, dict[str, Action]] = {
    EVENT: {"POST": _event, "OPTIONS": _preflight},
    EVENTS: {"POST": _events, "OPTIONS": _preflight},
    PROPERTIES: {"GET": _properties_query, "POST": _properties},
}


def answer(tracking: EventTracking, endpoint: str, incoming: Incoming) -> Steps[Reply]:
    """The answer of an endpoint to what a door has read."""
    began = time.perf_counter()
    if incoming.body is None:
        reply = common_reply(413)
    else:
        try:
            if incoming.encoding:
                incoming = inflated(incoming, tracking.settings.max_body_bytes)
            if limit := tracking.settings.rate_limit_per_address:
                yield from tracking.pipeline.authorization.count_request("address", incoming.sender.address, limit)
        except RequestRefused as refused:
            reply = tracking.pipeline.refusal(refused)
        else:
            reply = yield from ACTIONS[endpoint][incoming.method](tracking, incoming)
    if incoming.sender.origin is not None and endpoint in FROM_PAGES:
        reply = yield from _shared(tracking, incoming.sender.origin, reply)
    if tracking.settings.log_requests:
        logger.info("%s %s %d %.1f ms", incoming.method, incoming.path, reply.status, (time.perf_counter() - began) * 1e3)
    return reply


def _shared(tracking: EventTracking, origin: str, reply: Reply) -> Steps[Reply]:
    """The reply, for pages of this origin to read where a key admits it (Fetch, 3.2)."""
    headers: tuple[tuple[str, str], ...] = (("Vary", "Origin"),)
    try:
        if (yield from tracking.pipeline.authorization.allows_origin(origin)):
            headers += (("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED))
    except RequestRefused:  # the store cannot be opened, so nobody knows
        pass
    return msgspec.structs.replace(reply, headers=reply.headers + headers)


def paths_of(tracking: EventTracking) -> tuple[str, ...]:
    """Every path that a mounted or wrapping tracker answers."""
    settings = tracking.settings
    return (*PATHS, *(path for path in (settings.tracker_path, settings.openapi_path) if path))


def not_allowed(path: str) -> Reply:
    """The answer to a method that the endpoint at this path, below whatever prefix, does not have."""
    allowed = next((actions for endpoint, actions in ACTIONS.items() if path.endswith(endpoint)), ("GET",))
    return common_reply(405, (("Allow", ", ".join(method for method in allowed if method != "OPTIONS")),))


def health_reply(tracking: EventTracking) -> Reply:
    """200 while the store is in order, 503 with the reason otherwise."""
    health = tracking.store.health()
    return _state_reply(health.reason if health.state is HealthState.FAILED else None)


def ready_reply(tracking: EventTracking) -> Reply:
    """200 while the next event would be taken, 503 with the reason otherwise."""
    return _state_reply(tracking.store.health().reason)


def metrics_reply(tracking: EventTracking) -> Reply:
    """The metrics of all processes that use the store."""
    try:
        return Reply(200, tracking.metrics(), content_type=CONTENT_TYPE)
    except StoreUnavailable as refused:
        return refusal_reply(refused)
    except EventsError as error:
        return _state_reply(str(error))


OPERATIONS: dict[str, Callable[[EventTracking], Reply]] = {
    "/healthz": health_reply,
    "/readyz": ready_reply,
    "/metrics": metrics_reply,
}
"""What the standalone application answers to GET beside the API; each may wait for the store."""


def _state_reply(reason: str | None) -> Reply:
    if reason is None:
        return Reply(200, b'{"status":"ok"}')
    return errors_reply(503, [Failure(503, reason)], (("Retry-After", "1"),))


def status_reply(status: int, title: str) -> Reply:
    """The answer for an error that the web framework found, such as a path that does not exist."""
    if status in (404, 405):
        return common_reply(status)
    if status == 400:
        return refusal_reply(unreadable())
    return errors_reply(status, [Failure(status, title)])


def unforeseen_reply() -> Reply:
    """The answer to an exception that nobody expected; its traceback goes to the log."""
    logger.exception("a request failed")
    return common_reply(100005)
