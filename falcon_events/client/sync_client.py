"""The client for threads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from falcon_events.client import retries
from falcon_events.client.answers import Answer
from falcon_events.client.connection import Connection
from falcon_events.client.events import Event, Queued, at_present, batches, made
from falcon_events.client.options import Options
from falcon_events.client.queue import CLOSED, OnError, checked_on_error
from falcon_events.client.retries import Pause, Send, Steps
from falcon_events.client.thread_queue import Background
from falcon_events.contract.replies import Tracked
from falcon_events.errors import ClientClosed, NoAnswer, RequestRefused

T = TypeVar("T")


class Client:
    """A remote server's API. Any number of threads may use it, and after a fork the child, too.

    Every event gets an EventID, so one that is sent again is stored once: requests are tried again after a failed connection, a
    lack of an answer, 429, 503 and other server errors, with growing pauses or as long as `Retry-After` asks. Used as a context
    manager it is closed at the end.

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
        on_error: called with every enqueued event that is never stored and with the reason, in the thread that sends; None to
            have it in the log.

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
        self._connection = Connection(url, api_key, timeout_s)
        self._background = Background(self._connection, self._options, checked_on_error(on_error))

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
        """Stores an event; returns once the server has committed it.

        Args:
            list_id: the list (`ListID`).
            event: the event type (`Event`), at most 200 characters.
            email: the visitor's address (`Email`); required, except for a visitor known by `uuid`.
            id: the owner's id in the sender's system (`ID`), at most 255 characters.
            properties: what JSON can hold, at most 1,000 names (`Properties`).
            uuid: the visitor's uuid, as an earlier answer gave it (`UUID`).
            timestamp: when it happened (`Timestamp`): RFC 3339 with an offset; None for when it arrives.
            event_id: the sender's own UUID for this event (`EventID`); None to have one made up.
            identify_properties: traits of the visitor (`IdentifyProperties`).

        Raises:
            InvalidRequest: a parameter is not as documented.
            NotAuthenticated: the key is unknown or revoked.
            NotAllowed: the key's scope does not allow tracking.
            RateLimited, StoreUnavailable, NoAnswer: the server did not take it in time; after NoAnswer it may be stored.
            ClientClosed: close() was called.
        """
        queued = Queued(made(locals()), time.monotonic())
        return self._run(retries.track(queued, self._options.retry_s))

    def track_many(self, events: Iterable[Event]) -> Iterator[Tracked | RequestRefused]:
        """Stores many events, up to 1,000 in one request; sends them as one iterates over the answers, and not before.

        Args:
            events: the events.

        Yields:
            For each event, in order, its answer or why it was refused. Of an answer in a batch the server does not tell whether
            it is a repeat or was dropped.

        Raises:
            EventsError: as track() does, where the reason is none of the events.
        """
        for part in batches(events):
            yield from self._run(retries.track_batch(part, self._options.retry_s))

    def properties(self, list_id: int | str) -> dict[str, list[str]]:
        """The names of the properties ever seen on a list, by event type, both in ascending code-point order.

        Args:
            list_id: the list (`ListID`).

        Raises:
            InvalidRequest: the list is not to be found.
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
        """Has an event sent in the background, together with others; gives its EventID.

        Args:
            list_id: the list; this and what follows are as with track().
            event: the event type.
            email: the visitor's address.
            id: the owner's id.
            properties: what JSON can hold.
            uuid: the visitor's uuid.
            timestamp: when it happened; None for now, whenever it arrives.
            event_id: the sender's own UUID for this event.
            identify_properties: traits of the visitor.
            wait_s: how long to wait for room in a full queue, in seconds.

        Raises:
            InvalidRequest: it has something that JSON cannot hold.
            QueueFull: there is no room in the queue; nothing of it was kept.
            ClientClosed: close() was called.
        """
        arguments = {name: value for name, value in locals().items() if name not in ("self", "wait_s")}
        queued = at_present(made(arguments))
        self._background.add(queued, wait_s)
        return queued.event_id

    def waiting(self) -> int:
        """How many enqueued events are on their way."""
        return len(self._background)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Has enqueued events sent without further delay, and waits until each is stored or refused for good.

        It waits for those that are there at the call, and not for what others enqueue meanwhile.

        Args:
            timeout_s: how long to wait, in seconds; None for as long as it takes.

        Returns:
            Whether none of them is on its way any more.

        Raises:
            ClientClosed: close() was called.
        """
        return self._background.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Sends what is enqueued, and ends the connections; does nothing the second time.

        Args:
            timeout_s: how long to wait for enqueued events, in seconds; None for `exit_s`. `on_error` is told of those that are
                not sent by then.
        """
        self._background.close(timeout_s)
        self._connection.close()

    def _run(self, steps: Steps[T]) -> T:
        return retries.drive(steps, self._ask, self._rest)

    def _ask(self, send: Send) -> Answer | NoAnswer:
        if self._connection.closed.is_set():
            raise ClientClosed(CLOSED)
        return self._connection.ask(send)

    def _rest(self, pause: Pause) -> None:
        closed = self._connection.closed
        if closed.is_set() and isinstance(pause.error, NoAnswer):  # what was under way at the end may be stored
            raise pause.error
        if closed.wait(pause.seconds):
            raise ClientClosed(CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
