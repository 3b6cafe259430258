"""Parsing a server's replies into results and into this package's errors."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec

from falcon_events.client.events import QueuedEvent
from falcon_events.contract.replies import Tracked
from falcon_events.contract.schemas import common_error
from falcon_events.errors import (
    EventsError,
    Failure,
    InvalidRequest,
    NoAnswer,
    NotAllowed,
    NotAuthenticated,
    QueryTooLong,
    RateLimited,
    RequestRefused,
    StoreUnavailable,
)

T = TypeVar("T")

TOO_LONG = 504
"""The code of a question that took too long. It would take as long again."""
MOST_RETRY_AFTER_S = 3600
"""The longest `Retry-After` that a client obeys, in seconds."""
_COMMON = {code: common_error(code)[0] for code in (429, 503, 99997, 99998, 99999, 100000, 100005)}
_BY_STATUS: dict[int, type[RequestRefused]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: NotAllowed,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
}


class ServerReply(msgspec.Struct, frozen=True):
    """An HTTP reply. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Error(msgspec.Struct):
    code: int = msgspec.field(name="Code")
    message: str = msgspec.field(name="Message")


class _ErrorsReply(msgspec.Struct):
    errors: list[_Error] = msgspec.field(name="Errors")


class _StoredReply(msgspec.Struct):
    uuid: str
    external_id: str
    identify_event_sent: bool


class _BatchResult(msgspec.Struct):
    uuid: str | None = None
    external_id: str | None = None
    identify_event_sent: bool | None = None
    errors: list[_Error] | None = msgspec.field(default=None, name="Errors")


class _BatchReply(msgspec.Struct):
    results: list[_BatchResult] = msgspec.field(name="Results")


class _PropertiesReply(msgspec.Struct):
    properties: dict[str, list[str]] = msgspec.field(name="Properties")


def parse_tracked(reply: ServerReply, event_id: str) -> Tracked:
    """Parse the reply to one event.

    Raises:
        RequestRefused: the event was refused.
        NoAnswer: the reply is not one of this API.
    """
    stored = _decode(reply, _StoredReply)
    return Tracked(
        stored.uuid,
        stored.external_id,
        stored.identify_event_sent,
        reply.headers.get("x-event-id", event_id),
        reply.headers.get("x-event-duplicate") == "true",
        "x-event-dropped" in reply.headers,
    )


def parse_results(reply: ServerReply, events: Sequence[QueuedEvent]) -> list[Tracked | RequestRefused]:
    """Parse the results of a batch's events. Raises as parse_tracked() does if the batch was refused as a whole."""
    found = _decode(reply, _BatchReply).results
    if len(found) != len(events):
        raise NoAnswer(f"The server returned {len(found)} results for {len(events)} events.")
    return [_parse_result(result, queued.event.event_id) for result, queued in zip(found, events, strict=True)]


def parse_properties(reply: ServerReply) -> dict[str, list[str]]:
    """Parse the property names of a list, by event type. Raises as parse_tracked() does."""
    return _decode(reply, _PropertiesReply).properties


def parse_answer(reply: ServerReply, kind: type[T]) -> T:
    """Parse the answer to a question. Raises as parse_tracked() does."""
    return _decode(reply, kind)


def is_temporary(error: EventsError) -> bool:
    """Return whether the same request may succeed later."""
    if isinstance(error, QueryTooLong):
        return False
    if isinstance(error, RequestRefused):
        return error.status in (408, 429) or error.status >= 500
    return isinstance(error, NoAnswer)


def is_divisible(error: EventsError) -> bool:
    """Return whether parts of the batch may succeed: it is too large as a whole, or one of its events is the cause."""
    return isinstance(error, RequestRefused) and error.status in (400, 413, 422)


def is_suspicious(error: EventsError) -> bool:
    """Return whether the request itself may be the cause: it reached the server, which neither stored nor refused it."""
    if isinstance(error, RequestRefused):
        return error.status == 500
    return isinstance(error, NoAnswer) and error.reached


def _decode(reply: ServerReply, kind: type[T]) -> T:
    if reply.status != 200:
        raise _build_error(reply)
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoAnswer("The server replied 200 with a body that is not of this API. Is the URL right?") from None


def _build_error(reply: ServerReply) -> EventsError:
    """Build the error that explains why a reply has no result."""
    status = reply.status
    try:
        failures = _parse_failures(msgspec.json.decode(reply.body, type=_ErrorsReply).errors)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        failures = []
    if failures:
        return _build_refusal(status, failures, _parse_retry_after(reply))
    phrase = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
    words = f"The server replied {phrase} with a body that is not of this API."
    if status == 429:
        return RateLimited(Failure(status, words), _parse_retry_after(reply))
    if 400 <= status < 500:
        return _BY_STATUS.get(status, RequestRefused)(status, [Failure(status, f"{words} Is the URL right?")])
    if status == 503 and "retry-after" in reply.headers:
        return StoreUnavailable(words, _parse_retry_after(reply))
    if 300 <= status < 400:
        target = reply.headers.get("location", "elsewhere")
        return RequestRefused(status, [Failure(status, f"The server redirects to {target}; set `url` to its final address.")])
    return NoAnswer(words)


def _parse_result(result: _BatchResult, event_id: str) -> Tracked | RequestRefused:
    if result.errors:
        failures = _parse_failures(result.errors)
        return _build_refusal(_COMMON.get(failures[0].code, 422), failures, 1)
    if result.uuid is None or result.external_id is None or result.identify_event_sent is None:
        raise NoAnswer("A result in the server's reply lacks uuid, external_id or identify_event_sent.")
    return Tracked(result.uuid, result.external_id, result.identify_event_sent, event_id)


def _parse_failures(errors: Sequence[_Error]) -> list[Failure]:
    return sorted(Failure(error.code, error.message) for error in errors)


def _build_refusal(status: int, failures: Sequence[Failure], retry_after_s: int) -> RequestRefused:
    if status == 429:
        return RateLimited(failures[0], retry_after_s)
    if status == 503 and failures[0].code == TOO_LONG:
        return QueryTooLong(failures[0].message, retry_after_s)
    if status == 503:
        return StoreUnavailable(failures[0].message, retry_after_s)
    return _BY_STATUS.get(status, RequestRefused)(status, failures)


def _parse_retry_after(reply: ServerReply) -> int:
    """Parse `Retry-After`, which has seconds or a date (RFC 9110, 10.2.3), into seconds; 1 if it is missing or invalid."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), MOST_RETRY_AFTER_S)
    try:
        seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 1
    return min(max(0, math.ceil(seconds)), MOST_RETRY_AFTER_S)
