"""The client for coroutines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from falcon_events.client import retries
from falcon_events.client.async_queue import AsyncQueue
from falcon_events.client.connection import AsyncConnection, Connection
from falcon_events.client.events import Event, QueuedEvent, build_event, split_into_batches, stamp
from falcon_events.client.options import Options
from falcon_events.client.questions import write_question
from falcon_events.client.queue import CLOSED, OnError, check_on_error
from falcon_events.client.replies import ServerReply
from falcon_events.client.retries import Pause, Request, RequestSteps
from falcon_events.contract.replies import Tracked
from falcon_events.errors import ClientClosed, NoAnswer, RequestRefused
from falcon_events.query.async_calls import AsyncQuestionCalls

T = TypeVar("T")


class AsyncClient(AsyncQuestionCalls):
    """A client like Client, for coroutines. It may be used in several event loops, one after the other.

    Its methods, arguments and errors are those of Client. It is an asynchronous context manager. A task of the event loop sends
    enqueued events. Events that are left when the loop ends without close() are sent when the process ends, for at most
    `exit_s` seconds.

    Args:
        url: the server's address with the prefix that the API is mounted under, such as https://www.example.com/tracking.
        api_key: a key of scope `ingest` (to track), `read` (to query properties and ask questions) or `full`.
        timeout_s: how long a connection, a read or a write may take, in seconds.
        retry_s: how long a call retries, in seconds; 0: a single try.
        queue_events: how many events the queue holds, those being sent included.
        queue_bytes: how many bytes the queue holds.
        linger_s: how long an enqueued event waits for others to be sent with it, in seconds.
        queue_retry_s: how long an enqueued event is retried, in seconds.
        exit_s: how long close(), or the end of the process, waits for enqueued events, in seconds.
        on_error: called with every enqueued event that is never stored, and with the reason; None: they are logged.

    Raises:
        SettingError: the address, the key or an option is invalid; the message names it.
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
        self._queue = AsyncQueue(self._connection, Connection(url, api_key, timeout_s), self._options, check_on_error(on_error))
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
        """Store an event; return once the server has committed it. See Client.track()."""
        queued = QueuedEvent(build_event(locals()), time.monotonic())
        return await self._run(retries.track(queued, self._options.retry_s))

    async def track_many(self, events: Iterable[Event]) -> AsyncIterator[Tracked | RequestRefused]:
        """Store many events, up to 1,000 per request; yield the result of each, in order. See Client.track_many()."""
        for part in split_into_batches(events):
            for result in await self._run(retries.track_batch(part, self._options.retry_s)):
                yield result

    async def properties(self, list_id: int | str) -> dict[str, list[str]]:
        """Return the names of all properties ever seen on a list, by event type. See Client.properties()."""
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
        """Queue an event to be sent in the background, together with others; return its EventID. See Client.enqueue()."""
        arguments = {name: value for name, value in locals().items() if name not in ("self", "wait_s")}
        queued = stamp(build_event(arguments))
        await self._queue.add(queued, wait_s)
        return queued.event_id

    def waiting(self) -> int:
        """Return how many enqueued events are not settled yet."""
        return len(self._queue)

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Send enqueued events now, and wait until each is stored or finally refused. See Client.flush()."""
        return await self._queue.flush(timeout_s)

    async def close(self, timeout_s: float | None = None) -> None:
        """Send enqueued events and close the connections. A second call does nothing. See Client.close().

        If it is cancelled, the client accepts no more events. The remaining events are sent while the event loop runs, by
        another close(), or when the process ends.
        """
        try:
            await self._queue.aclose(timeout_s)
        finally:
            self._closed = True
            if not len(self._queue):
                await self._connection.close()

    async def _ask_question(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        return await self._run(retries.ask_question(name, write_question(arguments), kind, self._options.retry_s))

    async def _run(self, steps: RequestSteps[T]) -> T:
        return await retries.adrive(steps, self._ask, self._pause)

    async def _ask(self, request: Request) -> ServerReply | NoAnswer:
        if self._closed:
            raise ClientClosed(CLOSED)
        return await self._connection.ask(request)

    async def _pause(self, pause: Pause) -> None:
        if self._closed:  # a request that was in progress at close() may be stored
            raise pause.error if isinstance(pause.error, NoAnswer) else ClientClosed(CLOSED)
        await asyncio.sleep(pause.seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
