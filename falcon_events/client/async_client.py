"""The client for coroutines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from falcon_events.client import retries
from falcon_events.client.answers import Answer
from falcon_events.client.async_queue import Tasks
from falcon_events.client.connection import AsyncConnection, Connection
from falcon_events.client.events import Event, Queued, at_present, batches, made
from falcon_events.client.options import Options
from falcon_events.client.queue import CLOSED, OnError, checked_on_error
from falcon_events.client.retries import Pause, Send, Steps
from falcon_events.contract.replies import Tracked
from falcon_events.errors import ClientClosed, NoAnswer, RequestRefused

T = TypeVar("T")


class AsyncClient:
    """The same as Client, for coroutines: of one event loop, or of one after the other; an asynchronous context manager.

    Its methods, arguments and errors are those of Client. What is enqueued is sent by a task of the event loop; what is left when
    the loop ends without close() is sent when the process ends, for at most `exit_s` seconds.

    Args:
        url: the server's address, with the prefix that the API is mounted under, such as https://www.example.com/tracking.
        api_key: a key of scope `ingest` (tracks), `read` (properties) or `full`.
        timeout_s: how long a connection, a read or a write may take, in seconds.
        retry_s: for how long a call tries, in seconds; 0 for a single try.
        queue_events: how many enqueued events may be on their way.
        queue_bytes: how many bytes these may have.
        linger_s: how long an enqueued event waits for others to be sent with it, in seconds.
        queue_retry_s: for how long an enqueued event is tried, in seconds.
        exit_s: how long close(), or the end of the process, waits for enqueued events, in seconds.
        on_error: called with every enqueued event that is never stored and with the reason; None to have it in the log.

    Raises:
        SettingError: the address, the key or an option cannot be one; the message names it.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_s: float = 10.0,
        retry_s: float = 30.0,
        queue_events: int = 10_000,
        queue_bytes: int = 32 << 20,
        linger_s: float = 0.2,
        queue_retry_s: float = 3600.0,
        exit_s: float = 5.0,
        on_error: OnError | None = None,
    ) -> None:
        self._options = Options(
            timeout_s=timeout_s,
            retry_s=retry_s,
            queue_events=queue_events,
            queue_bytes=queue_bytes,
            linger_s=linger_s,
            queue_retry_s=queue_retry_s,
            exit_s=exit_s,
        )
        self._connection = AsyncConnection(url, api_key, timeout_s)
        self._tasks = Tasks(self._connection, Connection(url, api_key, timeout_s), self._options, checked_on_error(on_error))
        self._closed = False

    async def track(
        self,
        list_id: int | str,
        event: str,
        *,
        email: str | None = None,
        id: str | int | None = None,
        properties: Mapping[str, Any] | None = None,
        uuid: str | None = None,
        timestamp: str | None = None,
        event_id: str | None = None,
        identify_properties: Mapping[str, Any] | None = None,
    ) -> Tracked:
        """Stores an event; returns once the server has committed it. See Client.track()."""
        queued = Queued(made(locals()), time.monotonic())
        return await self._run(retries.track(queued, self._options.retry_s))

    async def track_many(self, events: Iterable[Event]) -> AsyncIterator[Tracked | RequestRefused]:
        """Stores many events, up to 1,000 in one request; yields what became of each, in order. See Client.track_many()."""
        for part in batches(events):
            for result in await self._run(retries.track_batch(part, self._options.retry_s)):
                yield result

    async def properties(self, list_id: int | str) -> dict[str, list[str]]:
        """The names of the properties ever seen on a list, by event type. See Client.properties()."""
        return await self._run(retries.list_properties(list_id, self._options.retry_s))

    async def enqueue(
        self,
        list_id: int | str,
        event: str,
        *,
        email: str | None = None,
        id: str | int | None = None,
        properties: Mapping[str, Any] | None = None,
        uuid: str | None = None,
        timestamp: str | None = None,
        event_id: str | None = None,
        identify_properties: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
    ) -> str:
        """Has an event sent in the background, together with others; gives its EventID. See Client.enqueue()."""
        arguments = {name: value for name, value in locals().items() if name not in ("self", "wait_s")}
        queued = at_present(made(arguments))
        await self._tasks.add(queued, wait_s)
        return queued.event_id

    def waiting(self) -> int:
        """How many enqueued events are on their way."""
        return len(self._tasks)

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Has enqueued events sent now, and waits until each is stored or refused for good. See Client.flush()."""
        return await self._tasks.flush(timeout_s)

    async def close(self, timeout_s: float | None = None) -> None:
        """Sends what is enqueued, and ends the connections; does nothing the second time. See Client.close().

        Where it is cancelled the client takes no more events; what is left is sent as long as the event loop runs, by another
        close(), or when the process ends.
        """
        try:
            await self._tasks.aclose(timeout_s)
        finally:
            self._closed = True
            if not len(self._tasks):
                await self._connection.close()

    async def _run(self, steps: Steps[T]) -> T:
        return await retries.adrive(steps, self._ask, self._rest)

    async def _ask(self, send: Send) -> Answer | NoAnswer:
        if self._closed:
            raise ClientClosed(CLOSED)
        return await self._connection.ask(send)

    async def _rest(self, pause: Pause) -> None:
        if self._closed:  # what was under way at the end may be stored
            raise pause.error if isinstance(pause.error, NoAnswer) else ClientClosed(CLOSED)
        await asyncio.sleep(pause.seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
