"""Reading a request's body under ASGI: with a deadline, and within the limits on how many bytes may be held."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from typing import Any

from falcon_events.errors import RequestRefused
from falcon_events.ingest.bodies import HeldBody, refuse_late
from falcon_events.tracking import EventTracking

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MAX_LENGTH_DIGITS = 20
"""A Content-Length with this many digits or more is over any limit, and is not parsed here."""
DISCONNECTED = HeldBody()
"""The body of a client that has disconnected before it sent anything."""


async def read_body(tracking: EventTracking, announced: str | None, receive: Receive) -> HeldBody | RequestRefused | None:
    """Return a request's body, or None if it is larger than the limit, or why it is refused.

    The body is empty if it ends before its announced length, or if the length is not a number.

    Args:
        tracking: the tracker, which counts the bytes.
        announced: the request's Content-Length.
        receive: returns the server's next message.
    """
    limit = tracking.settings.max_body_bytes
    length = None
    if announced:
        if not (announced.isascii() and announced.isdecimal()):
            return HeldBody()
        if len(announced) >= MAX_LENGTH_DIGITS or (length := int(announced)) > limit:
            return None
    # The first message of most requests is there already. They need no deadline, which costs as much as all else here.
    coroutine = receive()
    if type(coroutine) is not types.CoroutineType:
        coroutine = _wait(coroutine)
    try:
        waits_for = coroutine.send(None)
    except StopIteration as stop:
        message: Message = stop.value
        data: bytes = message.get("body", b"")
        if message["type"] == "http.disconnect":
            return DISCONNECTED
        if not message.get("more_body"):
            return _hold(HeldBody(), data, length, limit)
        return await _read_parts(tracking, length, limit, receive, [data])
    return await _read_parts(tracking, length, limit, receive, [], _continue(coroutine, waits_for))


async def _read_parts(
    tracking: EventTracking,
    length: int | None,
    limit: int,
    receive: Receive,
    parts: list[bytes],
    first: Awaitable[Message] | None = None,
) -> HeldBody | RequestRefused | None:
    loop = asyncio.get_running_loop()
    deadline = asyncio.timeout(tracking.settings.body_wait_s)
    bodies = tracking.bodies

    def end_now() -> None:
        with contextlib.suppress(RuntimeError):  # the body has been read meanwhile
            deadline.reschedule(loop.time())

    body = bodies.begin(lambda: loop.call_soon_threadsafe(end_now))
    is_kept = False
    try:
        size = sum(map(len, parts))
        bodies.count(body, size)
        async with deadline:
            more = True
            while more and size <= limit:
                message = await (receive() if first is None else first)
                first = None
                if message["type"] == "http.disconnect":
                    return HeldBody() if parts else DISCONNECTED
                if part := message.get("body", b""):
                    parts.append(part)
                    size += len(part)
                    bodies.count(body, len(part))
                more = message.get("more_body", False)
        bodies.check(body)
        held = _hold(body, b"".join(parts), length, limit)
        is_kept = held is not None
        return held
    except RequestRefused as refused:
        return refused.with_traceback(None)  # its frames would hold the body until the garbage collector runs
    except TimeoutError:
        return body.refusal or refuse_late()
    finally:
        parts.clear()
        if not is_kept:
            body.let_go()


def _hold(body: HeldBody, data: bytes, length: int | None, limit: int) -> HeldBody | None:
    if len(data) > limit:
        return None
    if length is not None and len(data) != length:
        data = data[:length] if len(data) > length else b""
    body.data = data
    return body


async def _wait(awaitable: Awaitable[Message]) -> Message:
    return await awaitable


@types.coroutine
def _continue(coroutine: Coroutine[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """Await the rest of a coroutine that has run up to its first wait."""
    try:
        while True:
            try:
                value = yield waits_for
            except BaseException as error:
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(value)
    except StopIteration as stop:
        message: Message = stop.value
        return message
