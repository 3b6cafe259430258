"""Replies of the API as status, headers and body, the same on WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from falcon_events.contract.schemas import common_error
from falcon_events.errors import Failure, RateLimited, RequestRefused, StoreUnavailable

DROPPED = "X-Event-Dropped"

_encode = msgspec.json.Encoder().encode


class Reply(msgspec.Struct, frozen=True):
    """An HTTP response: its status, its body, and headers other than `Content-Type`."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


class Tracked(msgspec.Struct, frozen=True, gc=False):
    """The result of tracking an event.

    After the documented members come the stored event's ID, whether the event is a repeat, whether it was only counted, and
    why: `bot` if no visitor sent it, `host` if a hook of the application dropped it.
    """

    uuid: str
    external_id: str
    identify_event_sent: bool
    event_id: str
    duplicate: bool = False
    dropped: bool = False
    dropped_by: str | None = None


class _EventReply(msgspec.Struct, gc=False):
    status: str
    uuid: str
    external_id: str
    identify_event_sent: bool


def _encode_result(result: Tracked | RequestRefused) -> _EventReply | dict[str, Any]:
    if isinstance(result, RequestRefused):
        return _list_errors(result.failures)
    return _EventReply("success", result.uuid, result.external_id, result.identify_event_sent)


def _list_errors(failures: Iterable[Failure]) -> dict[str, Any]:
    return {"Errors": [{"Code": failure.code, "Message": failure.message} for failure in failures]}


def event_reply(tracked: Tracked) -> Reply:
    """Build the 200 reply to a tracked event, with the stored event's ID in `X-Event-ID`."""
    body = _encode(_EventReply("success", tracked.uuid, tracked.external_id, tracked.identify_event_sent))
    headers: tuple[tuple[str, str], ...] = (("X-Event-ID", tracked.event_id),)
    if tracked.duplicate:
        headers += (("X-Event-Duplicate", "true"),)
    if tracked.dropped:
        headers += ((DROPPED, tracked.dropped_by or ""),)
    return Reply(200, body, headers)


def events_reply(results: Sequence[Tracked | RequestRefused]) -> Reply:
    """Build the 200 reply to a batch, with the body that each event would have received alone."""
    dropped = {result.dropped_by for result in results if isinstance(result, Tracked) and result.dropped_by}
    headers = ((DROPPED, ", ".join(sorted(dropped))),) if dropped else ()
    return Reply(200, _encode({"Results": [_encode_result(result) for result in results]}), headers)


def properties_reply(list_id: int, properties: Mapping[str, Sequence[str]]) -> Reply:
    """Build the 200 reply with the property names of a list, by event type."""
    return Reply(200, _encode({"ListID": str(list_id), "Properties": properties}))


def answer_reply(body: bytes) -> Reply:
    """Build the 200 reply with the answer to a question, which is JSON already."""
    return Reply(200, body)


def errors_reply(status: int, failures: Iterable[Failure], headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Build a reply with failures, in the form that all failures have."""
    return Reply(status, _encode(_list_errors(failures)), headers)


def refusal_reply(refused: RequestRefused) -> Reply:
    """Build the reply to a refused request."""
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(refused, (StoreUnavailable, RateLimited)):
        headers = (("Retry-After", str(refused.retry_after_s)),)
    elif refused.status == 401:
        headers = (("WWW-Authenticate", "Bearer"),)
    return errors_reply(refused.status, refused.failures, headers)


def common_reply(code: int, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Build the reply for a code that belongs to no single rule of a request, such as 404 or 413."""
    status, failure = common_error(code)
    return errors_reply(status, [failure], headers)
