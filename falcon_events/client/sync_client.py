"""The client for threads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from falcon_events.client import retries
from falcon_events.client.connection import Connection
from falcon_events.client.events import Event, QueuedEvent, build_event, split_into_batches, stamp
from falcon_events.client.options import Options
from falcon_events.client.questions import write_question
from falcon_events.client.queue import CLOSED, OnError, check_on_error
from falcon_events.client.replies import ServerReply
from falcon_events.client.retries import Pause, Request, RequestSteps
from falcon_events.client.thread_queue import ThreadQueue
from falcon_events.contract.replies import Tracked
from falcon_events.errors import ClientClosed, NoAnswer, RequestRefused
from falcon_events.query.calls import QuestionCalls

T = TypeVar("T")


class Client(QuestionCalls):
    """A client for the API of a remote server. Any number of threads may use it, and a child after a fork, too.

    Requests are retried after a failed connection, a missing reply, 429, 503 and other server errors. The pauses grow, or are
    as long as `Retry-After` asks. Every event gets an EventID, so an event that is sent again is stored once. As a context
    manager, the client closes itself at the end.

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
        on_error: called with every enqueued event that is never stored, and with the reason, in the thread that sends; None:
            they are logged.

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
        self._connection = Connection(url, api_key, timeout_s)
        self._queue = ThreadQueue(self._connection, self._options, check_on_error(on_error))

    def track(
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
        """Store an event; return once the server has committed it.

        Args:
            list_id: the list (`ListID`).
            event: the event type (`Event`), at most 200 characters.
            email: the visitor's address (`Email`); required, except for a visitor known by `uuid`.
            id: the owner's id in the sender's system (`ID`), at most 255 characters.
            properties: values that JSON can hold, at most 1,000 names (`Properties`).
            uuid: the visitor's uuid, as an earlier reply gave it (`UUID`).
            timestamp: when it happened (`Timestamp`), in RFC 3339 with an offset; None: when it arrives.
            event_id: the sender's own UUID for this event (`EventID`); None: a random one.
            identify_properties: traits of the visitor (`IdentifyProperties`).

        Raises:
            InvalidRequest: a parameter is not as documented.
            NotAuthenticated: the key is unknown or revoked.
            NotAllowed: the key's scope does not allow tracking.
            RateLimited, StoreUnavailable, NoAnswer: the server did not store it in time; after NoAnswer it may be stored.
            ClientClosed: close() was called.
        """
        queued = QueuedEvent(build_event(locals()), time.monotonic())
        return self._run(retries.track(queued, self._options.retry_s))

    def track_many(self, events: Iterable[Event]) -> Iterator[Tracked | RequestRefused]:
        """Store many events, up to 1,000 per request. Requests are sent while you iterate over the results, and not before.

        Args:
            events: the events.

        Yields:
            The result or the refusal of each event, in order. For events in a batch, the server does not say whether an event
            is a repeat or was dropped.

        Raises:
            EventsError: as track() does, if the reason concerns no single event.
        """
        for part in split_into_batches(events):
            yield from self._run(retries.track_batch(part, self._options.retry_s))

    def properties(self, list_id: int | str) -> dict[str, list[str]]:
        """Return the names of all properties ever seen on a list, by event type; both are in ascending code-point order.

        Args:
            list_id: the list (`ListID`).

        Raises:
            InvalidRequest: there is no such list.
            NotAuthenticated, NotAllowed, RateLimited, StoreUnavailable, NoAnswer, ClientClosed: as with track().
        """
        return self._run(retries.list_properties(list_id, self._options.retry_s))

    def enqueue(
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
        """Queue an event to be sent in the background, together with others; return its EventID.

        Args:
            list_id: the list. This and the following arguments are those of track().
            event: the event type.
            email: the visitor's address.
            id: the owner's id.
            properties: values that JSON can hold.
            uuid: the visitor's uuid.
            timestamp: when it happened; None: now, whenever it arrives.
            event_id: the sender's own UUID for this event.
            identify_properties: traits of the visitor.
            wait_s: how long to wait for room in a full queue, in seconds.

        Raises:
            InvalidRequest: an argument has a value that JSON cannot hold.
            QueueFull: the queue had no room in time; nothing of the event was kept.
            ClientClosed: close() was called.
        """
        arguments = {name: value for name, value in locals().items() if name not in ("self", "wait_s")}
        queued = stamp(build_event(arguments))
        self._queue.add(queued, wait_s)
        return queued.event_id

    def waiting(self) -> int:
        """Return how many enqueued events are not settled yet."""
        return len(self._queue)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Send enqueued events without further delay, and wait until each is stored or finally refused.

        It waits for the events that are in the queue when it is called, not for those that others enqueue meanwhile.

        Args:
            timeout_s: how long to wait, in seconds; None: as long as it takes.

        Returns:
            Whether all of them were settled in time.

        Raises:
            ClientClosed: close() was called.
            EventsError: it is called by on_error, which would wait for itself.
        """
        return self._queue.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Send enqueued events and close the connections. A second call does nothing.

        Args:
            timeout_s: how long to wait for enqueued events, in seconds; None: `exit_s`. `on_error` gets the events that are not
                sent by then.
        """
        self._queue.close(timeout_s)
        self._connection.close()

    def _ask_question(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        return self._run(retries.ask_question(name, write_question(arguments), kind, self._options.retry_s))

    def _run(self, steps: RequestSteps[T]) -> T:
        return retries.drive(steps, self._ask, self._pause)

    def _ask(self, request: Request) -> ServerReply | NoAnswer:
        if self._connection.closed.is_set():
            raise ClientClosed(CLOSED)
        return self._connection.ask(request)

    def _pause(self, pause: Pause) -> None:
        closed = self._connection.closed
        if closed.is_set() and isinstance(pause.error, NoAnswer):  # a request that was in progress at close() may be stored
            raise pause.error
        if closed.wait(pause.seconds):
            raise ClientClosed(CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
