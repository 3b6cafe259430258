"""The queue of a client for coroutines: one task sends the events that others enqueue."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from falcon_events.client.batch_sender import BatchSender
from falcon_events.client.connection import AsyncConnection, Connection
from falcon_events.client.events import Event, QueuedEvent
from falcon_events.client.final_flush import flush_remaining
from falcon_events.client.options import Options
from falcon_events.client.queue import CLOSED, OnError, OutgoingQueue, logger, report_lost
from falcon_events.client.retries import Pause, adrive
from falcon_events.client.thread_queue import FAILED_PAUSE_S, UNSENT
from falcon_events.errors import ClientClosed, EventsError, QueueFull
from falcon_events.runtime.lifecycle import keep_alive, register, release


class AsyncQueue:
    """A queue that sends its events in a task of the running event loop. The task starts and ends as events come and go.

    Args:
        connection: sends requests in the event loop.
        at_exit: sends requests when there is no event loop any more.
        options: the queue's limits, and how long it retries.
        on_error: called with every event that is never stored; None: they are logged.
    """

    def __init__(self, connection: AsyncConnection, at_exit: Connection, options: Options, on_error: OnError | None) -> None:
        self._connection = connection
        self._at_exit = at_exit
        self._options = options
        self._on_error = on_error
        self._closed = self._over = False
        self._reset()
        register(self)

    def _reset(self) -> None:
        """Set up what belongs to one process."""
        self._queue = OutgoingQueue(self._options)
        self._sender = BatchSender(self._options.queue_retry_s, self._settle, self._queue.requeue)
        self._under_way: list[QueuedEvent] = []
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event = asyncio.Event()
        self._flushing = self._flushes = 0

    def reset_after_fork(self) -> None:
        """Start with an empty queue in a child. The parent sends the events in its queue."""
        self._connection.reset_after_fork()
        self._at_exit.reset_after_fork()
        self._reset()

    async def add(self, event: Event, wait_s: float) -> None:
        """Add an event to the queue. Raises as ThreadQueue.add() does."""
        queued = QueuedEvent(event, time.monotonic())
        deadline = time.monotonic() + wait_s
        while True:
            if self._closed:
                raise ClientClosed(CLOSED)
            try:
                self._queue.add(queued)
                break
            except QueueFull:
                if (left_s := deadline - time.monotonic()) <= 0:
                    raise
            self._start()
            await self._wait_for_change(left_s)
        keep_alive(self)
        self._start()
        self._notify()

    async def flush(self, timeout_s: float | None) -> bool:
        """Send waiting events without further delay; return whether all are settled in time. Raises ClientClosed."""
        if self._closed:
            raise ClientClosed(CLOSED)
        return await self._drain(timeout_s)

    async def aclose(self, timeout_s: float | None) -> None:
        """Send waiting events and end the task. A second call does nothing unless the first was cancelled."""
        if self._over:
            return
        self._closed = True
        await self._drain(self._options.exit_s if timeout_s is None else timeout_s)
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()
        self._end()

    def close(self) -> None:
        """Send, at the end of the process, the events that no event loop has sent."""
        if self._over:
            return
        self._closed = True
        deadline = time.monotonic() + self._options.exit_s
        self._changed = asyncio.Event()  # the old one belongs to a loop that has ended
        self._requeue_unsent()
        self._loop = None
        flush_remaining(self._queue.take, self._sender.send, self._at_exit, deadline)
        self._end()

    def _end(self) -> None:
        self._over = True
        release(self)
        report_lost(self._on_error, self._queue.take_all(), ClientClosed(UNSENT))
        self._at_exit.close()

    def __len__(self) -> int:
        """Return how many events wait or are being sent."""
        return len(self._queue)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is not None and self._task.get_loop() is loop and not self._task.done():
            return
        self._requeue_unsent()
        if self._loop is loop:
            self._notify()
        else:  # the old event belongs to a loop that has ended
            self._loop, self._changed = loop, asyncio.Event()
        self._task = loop.create_task(self._run(), name="falcon-events-client")
        self._task.add_done_callback(self._handle_end)

    def _handle_end(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._notify()  # the task may have been cancelled while others wait for its events

    def _requeue_unsent(self) -> None:
        """Queue the events again that a task was sending when it ended. An event that is sent twice is stored once."""
        for queued in self._under_way:
            self._queue.requeue(queued)
        self._under_way = []

    async def _drain(self, timeout_s: float | None) -> bool:
        """Wait until every event that is in the queue now is settled; return whether that is done in time."""
        if not len(self._queue):
            return True
        last = self._queue.last

        def is_settled() -> bool:
            if self._queue.has_settled(last):
                return True
            self._start()
            return False

        self._start()
        self._flushing += 1
        self._flushes += 1
        self._notify()
        try:
            return await self._wait_until(is_settled, timeout_s)
        finally:
            self._flushing -= 1

    async def _run(self) -> None:
        while (due_s := self._queue.compute_due_s()) is not None:
            if due_s > 0 and not self._flushing and not self._closed:
                await self._wait_for_change(due_s)
                continue
            self._under_way = self._queue.take()
            try:
                await adrive(self._sender.send(self._under_way), self._connection.ask, self._pause)
            except Exception:  # without this task, nothing would be sent any more
                logger.exception("Sending %d events failed unexpectedly; it is retried", len(self._under_way))
                self._requeue_unsent()
                await self._sleep(self._flushes, FAILED_PAUSE_S)
            self._under_way = []

    async def _pause(self, pause: Pause) -> None:
        await self._sleep(self._flushes, pause.seconds)

    async def _sleep(self, flushes: int, seconds: float) -> None:
        """Wait before the next try. A call of flush() or close() ends the wait at once."""
        await self._wait_until(lambda: self._flushes > flushes, seconds)

    def _settle(self, events: Sequence[QueuedEvent], error: EventsError | None) -> None:
        settled = [queued for queued in events if self._queue.settle(queued)]
        if error is not None:
            report_lost(self._on_error, settled, error)
        if not len(self._queue):
            release(self)
        self._notify()

    def _notify(self) -> None:
        """Wake everything that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait_for_change(self, timeout_s: float | None) -> None:
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), timeout_s)

    async def _wait_until(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not condition():
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            await self._wait_for_change(left_s)
        return True
