"""Answers: what leaves, as status, headers and bytes; the same on WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from falcon_events.contract.schemas import common_error
from falcon_events.errors import Failure, RateLimited, RequestRefused, StoreUnavailable

DROPPED = "X-Event-Dropped"

_encode = msgspec.json.Encoder().encode


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer: its status, its body, and headers beside `Content-Type`."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


class Tracked(msgspec.Struct, frozen=True, gc=False):
    """The answer to a tracked event.

    The documented members, then the stored event's own id, whether it is a repeat, whether it was only counted, and who wanted
    that: `bot`, as no visitor sent it, or `host`, a hook of the application.
    """

    uuid: str
    external_id: str
    identify_event_sent: bool
    event_id: str
    duplicate: bool = False
    dropped: bool = False
    dropped_by: str | None = None


class _EventAnswer(msgspec.Struct, gc=False):
    status: str
    uuid: str
    external_id: str
    identify_event_sent: bool


def _result(result: Tracked | RequestRefused) -> _EventAnswer | dict[str, Any]:
    if isinstance(result, RequestRefused):
        return _errors(result.failures)
    return _EventAnswer("success", result.uuid, result.external_id, result.identify_event_sent)


def _errors(failures: Iterable[Failure]) -> dict[str, Any]:
    return {"Errors": [{"Code": failure.code, "Message": failure.message} for failure in failures]}


def event_reply(tracked: Tracked) -> Reply:
    """200 for a tracked event, with the stored event's id in X-Event-ID."""
    body = _encode(_EventAnswer("success", tracked.uuid, tracked.external_id, tracked.identify_event_sent))
    headers: tuple[tuple[str, str], ...] = (("X-Event-ID", tracked.event_id),)
    if tracked.duplicate:
        headers += (("X-Event-Duplicate", "true"),)
    if tracked.dropped:
        headers += ((DROPPED, tracked.dropped_by or ""),)
    return Reply(200, body, headers)


def events_reply(results: Sequence[Tracked | RequestRefused]) -> Reply:
    """200 for a batch: for each event the answer that it would have got alone."""
    dropped = {result.dropped_by for result in results if isinstance(result, Tracked) and result.dropped_by}
    headers = ((DROPPED, ", ".join(sorted(dropped))),) if dropped else ()
    return Reply(200, _encode({"Results": [_result(result) for result in results]}), headers)


def properties_reply(list_id: int, properties: Mapping[str, Sequence[str]]) -> Reply:
    """200 with the property names of a list, by event type."""
    return Reply(200, _encode({"ListID": str(list_id), "Properties": properties}))


def errors_reply(status: int, failures: Iterable[Failure], headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A failure in the one shape that failures have."""
    return Reply(status, _encode(_errors(failures)), headers)


def refusal_reply(refused: RequestRefused) -> Reply:
    """The answer that a refused request gets."""
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(refused, (StoreUnavailable, RateLimited)):
        headers = (("Retry-After", str(refused.retry_after_s)),)
    elif refused.status == 401:
        headers = (("WWW-Authenticate", "Bearer"),)
    return errors_reply(refused.status, refused.failures, headers)


def common_reply(code: int, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """The answer for one of the codes that belong to no rule of one request, such as 404 or 413."""
    status, failure = common_error(code)
    return errors_reply(status, [failure], headers)
