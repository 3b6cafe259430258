"""The queue of a client for threads: one thread sends what others put in."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from falcon_events.client.answers import Answer
from falcon_events.client.batch_sender import Delivery
from falcon_events.client.connection import Connection
from falcon_events.client.events import Event, Queued
from falcon_events.client.final_flush import send_rest
from falcon_events.client.options import Options
from falcon_events.client.queue import CLOSED, OnError, Outgoing, logger, tell
from falcon_events.client.retries import Send, drive
from falcon_events.errors import ClientClosed, EventsError, NoAnswer, QueueFull
from falcon_events.runtime.lifecycle import keep, let_go, mind

UNSENT = "The client was closed before this event was known to be stored."
FAILED_PAUSE_S = 1.0
"""How long sending rests after a failure that it has no name for."""


class Background:
    """Sends events in a thread of its own, which starts with the first of them.

    Args:
        connection: sends a request and waits for the answer.
        options: the queue's bounds, and how long it tries.
        on_error: told of every event that is never stored; None to have it in the log.
    """

    def __init__(self, connection: Connection, options: Options, on_error: OnError | None) -> None:
        self._connection = connection
        self._options = options
        self._on_error = on_error
        self._closed = False
        self._begin()
        mind(self)

    def _begin(self) -> None:
        """What belongs to one process."""
        self._changed = threading.Condition()
        self._outgoing = Outgoing(self._options)
        self._delivery = Delivery(self._options.queue_retry_s, self._settled, self._set_back)
        self._thread: threading.Thread | None = None
        self._hurried = self._hurries = 0
        self._telling: set[int] = set()
        self._over = self._is_threadless = False

    def forked(self) -> None:
        """A child has a queue of its own; what is in the parent's is sent by the parent."""
        self._connection.forked()
        self._begin()

    def add(self, event: Event, wait_s: float) -> None:
        """Puts an event into the queue.

        Raises:
            InvalidRequest: it has something that JSON cannot hold.
            QueueFull: there was no room for it in time.
            ClientClosed: close() was called.
        """
        queued = Queued(event, time.monotonic())
        deadline = time.monotonic() + wait_s
        with self._changed:
            while True:
                if self._closed:
                    raise ClientClosed(CLOSED)
                try:
                    self._outgoing.add(queued)
                    break
                except QueueFull:
                    if (left_s := deadline - time.monotonic()) <= 0:
                        raise
                self._changed.wait(left_s)
            keep(self)
            self._start()
            self._changed.notify_all()

    def flush(self, timeout_s: float | None) -> bool:
        """Sends what waits without further delay; whether all of it is settled in time.

        Raises:
            ClientClosed: close() was called.
            EventsError: on_error calls this.
        """
        with self._changed:
            if self._closed:
                raise ClientClosed(CLOSED)
            if self._thread is threading.current_thread():
                raise EventsError("flush() is called by on_error, which would wait for itself.")
            if self._starts():
                return self._drained(timeout_s)
            last = self._outgoing.last
        self._send_here(math.inf if timeout_s is None else time.monotonic() + timeout_s)
        return self._outgoing.settled_to(last)

    def close(self, timeout_s: float | None = None) -> None:
        """Sends what waits and ends the thread; does nothing the second time.

        Args:
            timeout_s: how long that may take, in seconds; None for the client's `exit_s`.
        """
        timeout_s = self._options.exit_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + timeout_s
        is_sender = self._thread is threading.current_thread()
        with self._changed:
            if self._over:
                return
            self._closed = True  # what an interrupted close() leaves is sent by the next one
            is_sent = is_sender or self._starts()
            if is_sent and not is_sender:
                self._drained(timeout_s)
        if not is_sent:
            self._send_here(deadline)
        with self._changed:
            self._over = True
            left = self._outgoing.take_all()
            let_go(self)
            self._changed.notify_all()
        tell(self._on_error, left, ClientClosed(UNSENT))
        if self._thread is not None and not left and not is_sender:  # else it may wait for an answer still
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def __len__(self) -> int:
        """How many events wait or are under way."""
        return len(self._outgoing)

    def _drained(self, timeout_s: float | None) -> bool:
        """Waits until everything that is there now is settled, and told of where that is due; with the lock held."""
        last = self._outgoing.last
        self._hurried += 1
        self._hurries += 1
        self._changed.notify_all()
        try:
            return self._changed.wait_for(
                lambda: self._outgoing.settled_to(last) and all(number > last for number in self._telling), timeout_s
            )
        finally:
            self._hurried -= 1

    def _starts(self) -> bool:
        """Whether nothing waits, or there is a thread that sends it."""
        return not len(self._outgoing) or self._start()

    def _start(self) -> bool:
        """Starts the thread, unless it runs; False where that cannot be, as at the end of a process (Python 3.12)."""
        if self._thread is not None and self._thread.is_alive():
            return True
        thread = threading.Thread(target=self._run, name="falcon-events-client", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._is_threadless:
                logger.warning("No thread sends the enqueued events, so that flush() and close() will: %s", error)
            self._is_threadless = True
            return False
        self._thread, self._is_threadless = thread, False
        return True

    def _send_here(self, deadline: float) -> None:
        """Sends what waits in the caller's thread."""
        delivery = Delivery(self._options.queue_retry_s, self._settled, self._set_back)
        under_way: list[Queued] = []

        def take() -> list[Queued]:
            with self._changed:
                under_way[:] = self._outgoing.take()
                return list(under_way)

        send_rest(take, delivery.deliver, self._connection, deadline)
        for queued in under_way:
            self._set_back(queued)

    def _run(self) -> None:
        while (part := self._next()) is not None:
            try:
                drive(self._delivery.deliver(part), self._ask, lambda pause: self._rest(pause.seconds))
            except ClientClosed:
                return
            except BaseException:  # nothing would be sent any more without this thread
                logger.exception("Sending has failed, and is tried again")
                for queued in part:
                    self._set_back(queued)
                self._rest(FAILED_PAUSE_S)

    def _next(self) -> list[Queued] | None:
        """The next batch, once it is due; None at the end."""
        with self._changed:
            while not self._over:
                due_s = self._outgoing.due_s()
                if due_s is not None and (due_s <= 0 or self._hurried):
                    return self._outgoing.take()
                self._changed.wait(due_s)
        return None

    def _ask(self, send: Send) -> Answer | NoAnswer:
        if self._over:
            raise ClientClosed(CLOSED)
        return self._connection.ask(send)

    def _rest(self, seconds: float) -> None:
        """Waits; whoever comes to wait for the end of the queue has the next try made at once."""
        with self._changed:
            hurries = self._hurries
            self._changed.wait_for(lambda: self._over or self._hurries > hurries, seconds)

    def _settled(self, events: Sequence[Queued], error: EventsError | None) -> None:
        with self._changed:
            told = [queued for queued in events if self._outgoing.settle(queued)]
            numbers = {queued.number for queued in told}
            self._telling |= numbers
        try:
            if error is not None:
                tell(self._on_error, told, error)
        finally:
            with self._changed:  # whoever waits for the end of the queue has been told of everything then
                self._telling -= numbers
                if not len(self._outgoing):
                    let_go(self)
                self._changed.notify_all()

    def _set_back(self, queued: Queued) -> None:
        with self._changed:
            self._outgoing.set_back(queued)
