"""The queue of a client for threads: one thread sends the events that others enqueue."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from falcon_events.client.batch_sender import BatchSender
from falcon_events.client.connection import Connection
from falcon_events.client.events import Event, QueuedEvent
from falcon_events.client.final_flush import flush_remaining
from falcon_events.client.options import Options
from falcon_events.client.queue import CLOSED, OnError, OutgoingQueue, logger, report_lost
from falcon_events.client.replies import ServerReply
from falcon_events.client.retries import Request, drive
from falcon_events.errors import ClientClosed, EventsError, NoAnswer, QueueFull
from falcon_events.runtime.lifecycle import keep_alive, register, release

UNSENT = "The client was closed before this event was known to be stored."
FAILED_PAUSE_S = 1.0
"""The pause after an unexpected failure to send, in seconds."""


class ThreadQueue:
    """A queue that sends its events in its own thread, which starts with the first of them.

    Args:
        connection: sends a request and waits for the reply.
        options: the queue's limits, and how long it retries.
        on_error: called with every event that is never stored; None: they are logged.
    """

    def __init__(self, connection: Connection, options: Options, on_error: OnError | None) -> None:
        self._connection = connection
        self._options = options
        self._on_error = on_error
        self._closed = False
        self._reset()
        register(self)

    def _reset(self) -> None:
        """Set up what belongs to one process."""
        self._changed = threading.Condition()
        self._queue = OutgoingQueue(self._options)
        self._sender = BatchSender(self._options.queue_retry_s, self._settle, self._requeue)
        self._thread: threading.Thread | None = None
        self._flushing = self._flushes = 0
        self._reporting: set[int] = set()
        self._over = self._is_threadless = False

    def reset_after_fork(self) -> None:
        """Start with an empty queue in a child. The parent sends the events in its queue."""
        self._connection.reset_after_fork()
        self._reset()

    def add(self, event: Event, wait_s: float) -> None:
        """Add an event to the queue.

        Raises:
            InvalidRequest: it has a value that JSON cannot hold.
            QueueFull: there was no room for it in time.
            ClientClosed: close() was called.
        """
        queued = QueuedEvent(event, time.monotonic())
        deadline = time.monotonic() + wait_s
        with self._changed:
            while True:
                if self._closed:
                    raise ClientClosed(CLOSED)
                try:
                    self._queue.add(queued)
                    break
                except QueueFull:
                    if (left_s := deadline - time.monotonic()) <= 0:
                        raise
                self._changed.wait(left_s)
            keep_alive(self)
            self._start()
            self._changed.notify_all()

    def flush(self, timeout_s: float | None) -> bool:
        """Send waiting events without further delay; return whether all of them are settled in time.

        Raises:
            ClientClosed: close() was called.
            EventsError: it is called by on_error, which would wait for itself.
        """
        with self._changed:
            if self._closed:
                raise ClientClosed(CLOSED)
            if self._thread is threading.current_thread():
                raise EventsError("flush() must not be called by on_error: it would wait for itself.")
            if self._has_sender():
                return self._drain(timeout_s)
            last = self._queue.last
        self._send_here(math.inf if timeout_s is None else time.monotonic() + timeout_s)
        return self._queue.has_settled(last)

    def close(self, timeout_s: float | None = None) -> None:
        """Send waiting events and end the thread. A second call does nothing.

        Args:
            timeout_s: how long that may take, in seconds; None: the client's `exit_s`.
        """
        timeout_s = self._options.exit_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + timeout_s
        is_sender = self._thread is threading.current_thread()
        with self._changed:
            if self._over:
                return
            self._closed = True  # the next close() sends what an interrupted one leaves
            is_sent = is_sender or self._has_sender()
            if is_sent and not is_sender:
                self._drain(timeout_s)
        if not is_sent:
            self._send_here(deadline)
        with self._changed:
            self._over = True
            left = self._queue.take_all()
            release(self)
            self._changed.notify_all()
        report_lost(self._on_error, left, ClientClosed(UNSENT))
        if self._thread is not None and not left and not is_sender:  # otherwise it may still wait for a reply
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def __len__(self) -> int:
        """Return how many events wait or are being sent."""
        return len(self._queue)

    def _drain(self, timeout_s: float | None) -> bool:
        """Wait until every event that is in the queue now is settled and, if lost, reported. The caller holds the lock."""
        last = self._queue.last
        self._flushing += 1
        self._flushes += 1
        self._changed.notify_all()
        try:
            return self._changed.wait_for(
                lambda: self._queue.has_settled(last) and all(number > last for number in self._reporting), timeout_s
            )
        finally:
            self._flushing -= 1

    def _has_sender(self) -> bool:
        """Return whether the queue is empty, or a thread sends its events; start the thread if necessary."""
        return not len(self._queue) or self._start()

    def _start(self) -> bool:
        """Start the thread unless it runs; return False if it cannot start, as at the end of a process (Python 3.12)."""
        if self._thread is not None and self._thread.is_alive():
            return True
        thread = threading.Thread(target=self._run, name="falcon-events-client", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._is_threadless:
                logger.warning("No thread sends the enqueued events; flush() and close() send them instead: %s", error)
            self._is_threadless = True
            return False
        self._thread, self._is_threadless = thread, False
        return True

    def _send_here(self, deadline: float) -> None:
        """Send waiting events in the caller's thread."""
        sender = BatchSender(self._options.queue_retry_s, self._settle, self._requeue)
        under_way: list[QueuedEvent] = []

        def take() -> list[QueuedEvent]:
            with self._changed:
                under_way[:] = self._queue.take()
                return list(under_way)

        flush_remaining(take, sender.send, self._connection, deadline)
        for queued in under_way:
            self._requeue(queued)

    def _run(self) -> None:
        while (part := self._next_batch()) is not None:
            try:
                drive(self._sender.send(part), self._ask, lambda pause: self._sleep(pause.seconds))
            except ClientClosed:
                return
            except BaseException:  # without this thread, nothing would be sent any more
                logger.exception("Sending %d events failed unexpectedly; it is retried", len(part))
                for queued in part:
                    self._requeue(queued)
                self._sleep(FAILED_PAUSE_S)

    def _next_batch(self) -> list[QueuedEvent] | None:
        """Return the next batch once it is due, or None at the end."""
        with self._changed:
            while not self._over:
                due_s = self._queue.compute_due_s()
                if due_s is not None and (due_s <= 0 or self._flushing):
                    return self._queue.take()
                self._changed.wait(due_s)
        return None

    def _ask(self, request: Request) -> ServerReply | NoAnswer:
        if self._over:
            raise ClientClosed(CLOSED)
        return self._connection.ask(request)

    def _sleep(self, seconds: float) -> None:
        """Wait before the next try. A call of flush() or close() ends the wait at once."""
        with self._changed:
            flushes = self._flushes
            self._changed.wait_for(lambda: self._over or self._flushes > flushes, seconds)

    def _settle(self, events: Sequence[QueuedEvent], error: EventsError | None) -> None:
        with self._changed:
            settled = [queued for queued in events if self._queue.settle(queued)]
            numbers = {queued.number for queued in settled}
            self._reporting |= numbers
        try:
            if error is not None:
                report_lost(self._on_error, settled, error)
        finally:
            with self._changed:  # flush() and close() return only after everything is reported
                self._reporting -= numbers
                if not len(self._queue):
                    release(self)
                self._changed.notify_all()

    def _requeue(self, queued: QueuedEvent) -> None:
        with self._changed:
            self._queue.requeue(queued)
