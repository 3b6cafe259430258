"""Cancelling the work for a client that has disconnected, under ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

GRACE_S = 0.25
"""How long the work goes on for a client that has disconnected, in seconds: the framework's test client disconnects as soon as it
has sent a request, and waits for the answer."""
MAX_STRAY = 100
"""How many messages are skipped that are no disconnect. After a body's end there should be none."""


async def run_while_connected(receive: Receive, work: Coroutine[Any, Any, T], grace_s: float = GRACE_S) -> T | None:
    """Await the work, and cancel it if the client disconnects more than `grace_s` before its end.

    Args:
        receive: returns the server's next message. The request's body has been read.
        work: what to await.
        grace_s: how long the work goes on for a client that has disconnected, in seconds.

    Returns:
        The result; None if the client has disconnected.
    """
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(_watch(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done() and watching.result():
            await asyncio.wait((working,), timeout=grace_s)
            return working.result() if working.done() else None
        return await working
    finally:
        watching.cancel()
        working.cancel()


async def _watch(receive: Receive) -> bool:
    """Wait until the client disconnects. Return False if the server does not tell that."""
    try:
        for _ in range(MAX_STRAY):
            if (await receive())["type"] == "http.disconnect":
                return True
    except Exception:  # the work goes on
        pass
    return False
