"""What a server answered, read back into results and into the errors that this package has for them."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec

from falcon_events.client.events import Queued
from falcon_events.contract.replies import Tracked
from falcon_events.contract.schemas import common_error
from falcon_events.errors import (
    EventsError,
    Failure,
    InvalidRequest,
    NoAnswer,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    RequestRefused,
    StoreUnavailable,
)

T = TypeVar("T")

MOST_RETRY_AFTER_S = 3600
"""No server may make a client wait for longer at once."""
_COMMON = {code: common_error(code)[0] for code in (429, 503, 99997, 99998, 99999, 100000, 100005)}
_BY_STATUS: dict[int, type[RequestRefused]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: NotAllowed,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
}


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Error(msgspec.Struct):
    code: int = msgspec.field(name="Code")
    message: str = msgspec.field(name="Message")


class _Errors(msgspec.Struct):
    errors: list[_Error] = msgspec.field(name="Errors")


class _Stored(msgspec.Struct):
    uuid: str
    external_id: str
    identify_event_sent: bool


class _Result(msgspec.Struct):
    uuid: str | None = None
    external_id: str | None = None
    identify_event_sent: bool | None = None
    errors: list[_Error] | None = msgspec.field(default=None, name="Errors")


class _Results(msgspec.Struct):
    results: list[_Result] = msgspec.field(name="Results")


class _Properties(msgspec.Struct):
    properties: dict[str, list[str]] = msgspec.field(name="Properties")


def tracked(answer: Answer, event_id: str) -> Tracked:
    """The answer to one event.

    Raises:
        RequestRefused: it was refused.
        NoAnswer: nobody knows what this is an answer to.
    """
    stored = _read(answer, _Stored)
    return Tracked(
        stored.uuid,
        stored.external_id,
        stored.identify_event_sent,
        answer.headers.get("x-event-id", event_id),
        answer.headers.get("x-event-duplicate") == "true",
        "x-event-dropped" in answer.headers,
    )


def results(answer: Answer, events: Sequence[Queued]) -> list[Tracked | RequestRefused]:
    """What became of each event of a batch; raises as tracked() does where the batch was refused as a whole."""
    found = _read(answer, _Results).results
    if len(found) != len(events):
        raise NoAnswer(f"The server gave {len(found)} results for {len(events)} events.")
    return [_result(result, queued.event.event_id) for result, queued in zip(found, events, strict=True)]


def properties(answer: Answer) -> dict[str, list[str]]:
    """The property names of a list by event type; raises as tracked() does."""
    return _read(answer, _Properties).properties


def is_passing(error: EventsError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, RequestRefused):
        return error.status == 429 or error.status >= 500
    return isinstance(error, NoAnswer)


def is_divisible(error: EventsError) -> bool:
    """Whether parts of the same batch may succeed: it is too large as a whole, or one of its events is why."""
    return isinstance(error, RequestRefused) and error.status in (400, 413, 422)


def is_suspicious(error: EventsError) -> bool:
    """Whether the request itself may be why: the server had it, and neither took nor refused it."""
    if isinstance(error, RequestRefused):
        return error.status == 500
    return isinstance(error, NoAnswer) and error.reached


def _read(answer: Answer, kind: type[T]) -> T:
    if answer.status != 200:
        raise _error(answer)
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoAnswer("The server answered 200 with something that is no answer of this API. Is the URL right?") from None


def _error(answer: Answer) -> EventsError:
    """Why there is no result."""
    status = answer.status
    try:
        failures = _failures(msgspec.json.decode(answer.body, type=_Errors).errors)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        failures = []
    if failures:
        return _refusal(status, failures, _retry_after_s(answer))
    phrase = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
    words = f"The server answered {phrase}, and not as this API does."
    if status == 429:
        return RateLimited(Failure(status, words), _retry_after_s(answer))
    if 400 <= status < 500:
        return _BY_STATUS.get(status, RequestRefused)(status, [Failure(status, f"{words} Is the URL right?")])
    if status == 503 and "retry-after" in answer.headers:
        return StoreUnavailable(words, _retry_after_s(answer))
    if 300 <= status < 400:
        target = answer.headers.get("location", "elsewhere")
        return RequestRefused(status, [Failure(status, f"The server redirects to {target}; give the address that it is at.")])
    return NoAnswer(words)


def _result(result: _Result, event_id: str) -> Tracked | RequestRefused:
    if result.errors:
        failures = _failures(result.errors)
        return _refusal(_COMMON.get(failures[0].code, 422), failures, 1)
    if result.uuid is None or result.external_id is None or result.identify_event_sent is None:
        raise NoAnswer("The server's results lack what a result has.")
    return Tracked(result.uuid, result.external_id, result.identify_event_sent, event_id)


def _failures(errors: Sequence[_Error]) -> list[Failure]:
    return sorted(Failure(error.code, error.message) for error in errors)


def _refusal(status: int, failures: Sequence[Failure], retry_after_s: int) -> RequestRefused:
    if status == 429:
        return RateLimited(failures[0], retry_after_s)
    if status == 503:
        return StoreUnavailable(failures[0].message, retry_after_s)
    return _BY_STATUS.get(status, RequestRefused)(status, failures)


def _retry_after_s(answer: Answer) -> int:
    """What `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3); 1 where it says nothing that can be read."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), MOST_RETRY_AFTER_S)
    try:
        seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 1
    return min(max(0, math.ceil(seconds)), MOST_RETRY_AFTER_S)
