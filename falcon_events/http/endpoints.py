"""The endpoints: which action each path and method has. WSGI and ASGI share them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import jsonschema  # noqa: F401  loaded when the server starts, not when the first invalid request arrives
import msgspec

from falcon_events.admin.metrics import CONTENT_TYPE
from falcon_events.contract.body import unreadable_body
from falcon_events.contract.replies import Reply, common_reply, errors_reply, refusal_reply
from falcon_events.contract.schemas import QUESTION_NAMES
from falcon_events.errors import EventsError, Failure, RequestRefused, StoreUnavailable
from falcon_events.http.requests import IncomingRequest, inflate
from falcon_events.ingest.authorization import WRONG_ORIGIN
from falcon_events.ingest.bodies import HeldBody
from falcon_events.ingest.client_address import group_address
from falcon_events.model.reports import HealthState
from falcon_events.runtime.steps import Steps
from falcon_events.tracking import EventTracking

logger = logging.getLogger("falcon_events.requests")

EVENT = "/api/v1/event"
PROPERTIES = "/api/v1/website_events.properties"
EVENTS = "/api/v1/events"
QUESTION_PATHS = {f"/api/v1/website_events.{name}": name for name in QUESTION_NAMES}
PATHS = (EVENT, EVENTS, PROPERTIES, *QUESTION_PATHS)
"""The documented endpoints."""
HEALTH = "/healthz"
FROM_PAGES = (EVENT, EVENTS)
"""The endpoints that pages of other origins may use."""
PREFLIGHT_HEADERS = (
    ("Allow", "OPTIONS, POST"),  # without it, Falcon's CORS middleware takes the other headers off
    ("Access-Control-Allow-Methods", "POST"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Encoding, Content-Type"),
    ("Access-Control-Max-Age", "7200"),
)
EXPOSED = "Retry-After, X-Event-Dropped, X-Event-Duplicate, X-Event-ID"

Action = Callable[[EventTracking, IncomingRequest], Steps[Reply]]


def _track_event(tracking: EventTracking, incoming: IncomingRequest) -> Steps[Reply]:
    return tracking.pipeline.event_reply(incoming.body or HeldBody(), incoming.sender)


def _track_events(tracking: EventTracking, incoming: IncomingRequest) -> Steps[Reply]:
    return tracking.pipeline.events_reply(incoming.body or HeldBody(), incoming.sender)


def _list_properties(tracking: EventTracking, incoming: IncomingRequest) -> Steps[Reply]:
    return tracking.pipeline.properties_reply(incoming.body or HeldBody(), incoming.sender)


def _query_properties(tracking: EventTracking, incoming: IncomingRequest) -> Steps[Reply]:
    given = [value for name, value in incoming.query.items() if name.lower() == "listid"]
    last = given[-1] if given else None
    return tracking.pipeline.properties_query_reply(last[-1] if isinstance(last, list) else last, incoming.sender)


def _ask(name: str) -> Action:
    """Return the action that answers a question."""
    return lambda tracking, incoming: tracking.pipeline.question_reply(name, incoming.body or HeldBody(), incoming.sender)


def _handle_preflight(tracking: EventTracking, incoming: IncomingRequest) -> Steps[Reply]:
    """Tell a browser whether a page of another origin may send an event (Fetch, 4.8)."""
    if incoming.sender.origin is None or not incoming.preflight:
        return reject_method(incoming.path)
    if not (yield from tracking.pipeline.authorization.allows_origin(incoming.sender.origin)):
        return common_reply(WRONG_ORIGIN)
    return Reply(204, b"", PREFLIGHT_HEADERS)


ACTIONS: dict[str, dict[str, Action]] = {
    EVENT: {"POST": _track_event, "OPTIONS": _handle_preflight},
    EVENTS: {"POST": _track_events, "OPTIONS": _handle_preflight},
    PROPERTIES: {"GET": _query_properties, "POST": _list_properties},
    **{path: {"POST": _ask(name)} for path, name in QUESTION_PATHS.items()},
}


def handle(tracking: EventTracking, endpoint: str, incoming: IncomingRequest) -> Steps[Reply]:
    """Return the endpoint's reply to a request."""
    began = time.perf_counter()
    body = incoming.body
    if body is None:
        reply = common_reply(413) if incoming.refusal is None else tracking.pipeline.refusal(incoming.refusal)
    else:
        try:
            if tracking.settings.rate_limit_per_address or incoming.encoding:
                yield from _prepare(tracking, incoming, body)
            reply = yield from ACTIONS[endpoint][incoming.method](tracking, incoming)
        except RequestRefused as refused:
            reply = tracking.pipeline.refusal(refused)
        finally:  # also when the request is canceled
            body.let_go()
    if incoming.sender.origin is not None and endpoint in FROM_PAGES:
        is_refusal = reply.status >= 400 and incoming.method == "POST"
        reply = yield from _add_cors_headers(tracking, incoming.sender.origin, reply, is_refusal)
    if tracking.settings.log_requests:
        logger.info("%s %s %d %.1f ms", incoming.method, incoming.path, reply.status, (time.perf_counter() - began) * 1e3)
    return reply


def _prepare(tracking: EventTracking, incoming: IncomingRequest, body: HeldBody) -> Steps[None]:
    """Count a request against the rate limit of its address, then decompress its body, which takes time and memory."""
    if limit := tracking.settings.rate_limit_per_address:
        yield from tracking.pipeline.authorization.count_request("address", group_address(incoming.sender.address), limit)
    if incoming.encoding:
        inflate(body, incoming.encoding, tracking.settings.max_body_bytes)


def _add_cors_headers(tracking: EventTracking, origin: str, reply: Reply, is_refusal: bool) -> Steps[Reply]:
    """Let pages of this origin read the reply, if a key admits the origin (Fetch, 3.2).

    Pages of every origin may read why they are refused. Otherwise they could not tell a refusal from a broken network.
    """
    headers: tuple[tuple[str, str], ...] = (("Vary", "Origin"),)
    try:
        if is_refusal or (yield from tracking.pipeline.authorization.allows_origin(origin)):
            headers += (("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED))
    except RequestRefused:  # the store cannot be opened, so its keys are not known
        pass
    return msgspec.structs.replace(reply, headers=reply.headers + headers)


def list_paths(tracking: EventTracking) -> tuple[str, ...]:
    """Return every path that a mounted tracker or its middleware handles."""
    settings = tracking.settings
    return (*PATHS, *(path for path in (settings.tracker_path, settings.openapi_path) if path))


def normalize_prefix(prefix: str) -> str:
    """Return a mount's prefix with one slash at its start and none at its end: `tracking/` and `/tracking` are the same."""
    inner = prefix.strip("/")
    return f"/{inner}" if inner else ""


def reject_method(path: str) -> Reply:
    """Return the reply to a method that the endpoint at this path does not have. The path may have a prefix."""
    allowed = next((actions for endpoint, actions in ACTIONS.items() if path.endswith(endpoint)), ("GET",))
    return common_reply(405, (("Allow", ", ".join(method for method in allowed if method != "OPTIONS")),))


def report_health(tracking: EventTracking) -> Reply:
    """Return 200 while the store works, otherwise 503 with the reason. A full queue is not a failure here."""
    health = tracking.store.health()
    return _report_state(health.reason if health.state is HealthState.FAILED else None)


def report_readiness(tracking: EventTracking) -> Reply:
    """Return 200 while the next event would be accepted, otherwise 503 with the reason."""
    return _report_state(tracking.store.health().reason)


def report_metrics(tracking: EventTracking) -> Reply:
    """Return the metrics of all processes that use the store."""
    try:
        return Reply(200, tracking.metrics(), content_type=CONTENT_TYPE)
    except StoreUnavailable as refused:
        return refusal_reply(refused)
    except EventsError as error:
        return _report_state(str(error))


OPERATIONS: dict[str, Callable[[EventTracking], Reply]] = {
    HEALTH: report_health,
    "/readyz": report_readiness,
    "/metrics": report_metrics,
}
"""GET endpoints that the standalone application has beside the API. Each of them may wait for the store."""


def _report_state(reason: str | None) -> Reply:
    if reason is None:
        return Reply(200, b'{"status":"ok"}')
    return errors_reply(503, [Failure(503, reason)], (("Retry-After", "1"),))


def reply_to_http_error(status: int, title: str) -> Reply:
    """Return the reply to an error that the web framework raised, such as a path that does not exist."""
    if status in (404, 405):
        return common_reply(status)
    if status == 400:
        return refusal_reply(unreadable_body())
    return errors_reply(status, [Failure(status, title)])


def reply_to_exception() -> Reply:
    """Log the traceback of an unexpected exception and return the reply to its request."""
    logger.exception("A request failed with an unexpected error")
    return common_reply(100005)
