"""The queue of a client for coroutines: one task sends what others put in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from falcon_events.client.batch_sender import Delivery
from falcon_events.client.connection import AsyncConnection, Connection
from falcon_events.client.events import Event, Queued
from falcon_events.client.final_flush import send_rest
from falcon_events.client.options import Options
from falcon_events.client.queue import CLOSED, OnError, Outgoing, logger, tell
from falcon_events.client.retries import Pause, adrive
from falcon_events.client.thread_queue import FAILED_PAUSE_S, UNSENT
from falcon_events.errors import ClientClosed, EventsError, QueueFull
from falcon_events.runtime.lifecycle import keep, let_go, mind


class Tasks:
    """Sends events in a task of the running event loop, which starts with the first of them and ends with the last.

    Args:
        connection: sends requests in the event loop.
        at_exit: sends them when there is no event loop any more.
        options: the queue's bounds, and how long it tries.
        on_error: told of every event that is never stored; None to have it in the log.
    """

    def __init__(self, connection: AsyncConnection, at_exit: Connection, options: Options, on_error: OnError | None) -> None:
        self._connection = connection
        self._at_exit = at_exit
        self._options = options
        self._on_error = on_error
        self._closed = self._over = False
        self._begin()
        mind(self)

    def _begin(self) -> None:
        """What belongs to one process."""
        self._outgoing = Outgoing(self._options)
        self._delivery = Delivery(self._options.queue_retry_s, self._settled, self._outgoing.set_back)
        self._under_way: list[Queued] = []
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event = asyncio.Event()
        self._hurried = self._hurries = 0

    def forked(self) -> None:
        """A child has a queue of its own; what is in the parent's is sent by the parent."""
        self._connection.forked()
        self._at_exit.forked()
        self._begin()

    async def add(self, event: Event, wait_s: float) -> None:
        """Puts an event into the queue; raises as Background.add() does."""
        queued = Queued(event, time.monotonic())
        deadline = time.monotonic() + wait_s
        while True:
            if self._closed:
                raise ClientClosed(CLOSED)
            try:
                self._outgoing.add(queued)
                break
            except QueueFull:
                if (left_s := deadline - time.monotonic()) <= 0:
                    raise
            self._start()
            await self._change(left_s)
        keep(self)
        self._start()
        self._notify()

    async def flush(self, timeout_s: float | None) -> bool:
        """Sends what waits without further delay; whether all of it is settled in time; raises ClientClosed."""
        if self._closed:
            raise ClientClosed(CLOSED)
        return await self._drained(timeout_s)

    async def aclose(self, timeout_s: float | None) -> None:
        """Sends what waits and ends the task; does nothing the second time, unless the first was cancelled."""
        if self._over:
            return
        self._closed = True
        await self._drained(self._options.exit_s if timeout_s is None else timeout_s)
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()
        self._end()

    def close(self) -> None:
        """At the end of the process: sends what no event loop has sent."""
        if self._over:
            return
        self._closed = True
        deadline = time.monotonic() + self._options.exit_s
        self._changed = asyncio.Event()  # whoever waits for the old one waits in a loop that is gone
        self._take_back()
        self._loop = None
        send_rest(self._outgoing.take, self._delivery.deliver, self._at_exit, deadline)
        self._end()

    def _end(self) -> None:
        self._over = True
        let_go(self)
        tell(self._on_error, self._outgoing.take_all(), ClientClosed(UNSENT))
        self._at_exit.close()

    def __len__(self) -> int:
        """How many events wait or are under way."""
        return len(self._outgoing)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is not None and self._task.get_loop() is loop and not self._task.done():
            return
        self._take_back()
        if self._loop is loop:
            self._notify()
        else:  # whoever waits for the old one waits in a loop that is gone
            self._loop, self._changed = loop, asyncio.Event()
        self._task = loop.create_task(self._run(), name="falcon-events-client")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._notify()  # somebody may have cancelled it, and others wait for what it had to send

    def _take_back(self) -> None:
        """Queues again what was under way in an event loop that is gone; whatever is stored is stored once."""
        for queued in self._under_way:
            self._outgoing.set_back(queued)
        self._under_way = []

    async def _drained(self, timeout_s: float | None) -> bool:
        """Waits until everything that is there now is settled."""
        if not len(self._outgoing):
            return True
        last = self._outgoing.last

        def is_settled() -> bool:
            if self._outgoing.settled_to(last):
                return True
            self._start()
            return False

        self._start()
        self._hurried += 1
        self._hurries += 1
        self._notify()
        try:
            return await self._until(is_settled, timeout_s)
        finally:
            self._hurried -= 1

    async def _run(self) -> None:
        while (due_s := self._outgoing.due_s()) is not None:
            if due_s > 0 and not self._hurried and not self._closed:
                await self._change(due_s)
                continue
            self._under_way = self._outgoing.take()
            try:
                await adrive(self._delivery.deliver(self._under_way), self._connection.ask, self._pause)
            except Exception:  # nothing would be sent any more without this task
                logger.exception("Sending has failed, and is tried again")
                self._take_back()
                await self._rest(self._hurries, FAILED_PAUSE_S)
            self._under_way = []

    async def _pause(self, pause: Pause) -> None:
        await self._rest(self._hurries, pause.seconds)

    async def _rest(self, hurries: int, seconds: float) -> None:
        """Waits; whoever comes to wait for the end of the queue has the next try made at once."""
        await self._until(lambda: self._hurries > hurries, seconds)

    def _settled(self, events: Sequence[Queued], error: EventsError | None) -> None:
        told = [queued for queued in events if self._outgoing.settle(queued)]
        if error is not None:
            tell(self._on_error, told, error)
        if not len(self._outgoing):
            let_go(self)
        self._notify()

    def _notify(self) -> None:
        """Wakes everybody who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self, timeout_s: float | None) -> None:
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), timeout_s)

    async def _until(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not condition():
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            await self._change(left_s)
        return True
