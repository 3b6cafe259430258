"""Waiting, for threads and for coroutines: the only thing in which the two flavours of the core differ.

The core is written as generators that yield what they wait for: a result that the store will give, or a Call that may block.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from falcon_events.runtime.pending import Pending

logger = logging.getLogger(__name__)

T = TypeVar("T")

DELIVERED_AT_ONCE = 8
"""How many results one turn of an event loop takes: between them it reads what has come, which then joins the next batch."""


class Call:
    """A function of the host's, or one that may block: plain or async."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.function = function
        self.arguments = arguments


Wait = Future[Any] | Pending[Any] | Call
Steps = Generator[Wait, Any, T]


class Waiter:
    """Runs the core's steps, in a thread or in a coroutine."""

    def __init__(self) -> None:
        self._bridges: dict[int, _Bridge] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def run(self, steps: Steps[T]) -> T:
        """Runs the steps to their end in this thread, which waits."""
        try:
            wait = next(steps)
            while True:
                try:
                    value = self.call(wait) if isinstance(wait, Call) else wait.result()
                except Exception as error:
                    wait = steps.throw(error)
                else:
                    wait = steps.send(value)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def arun(self, steps: Steps[T]) -> T:
        """Runs the steps to their end in a coroutine; its event loop goes on meanwhile."""
        try:
            wait = next(steps)
            while True:
                try:
                    if isinstance(wait, Call):
                        value = await _acall(wait)
                    else:
                        value = wait.result() if wait.done() else await self._bridge().wait(wait)
                except Exception as error:
                    wait = steps.throw(error)
                else:
                    wait = steps.send(value)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def close(self) -> None:
        """Ends the event loop that runs a host's async methods for waiting threads, if one was needed."""
        with self._starting:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None

    def _bridge(self) -> _Bridge:
        """The running loop's."""
        # A thread runs one loop at a time; to ask which costs a system call (Python 3.11: getpid).
        bridge = self._bridges.get(threading.get_ident())
        if bridge is None or not bridge.loop.is_running():
            bridge = self._new_bridge(asyncio.get_running_loop())
        return bridge

    def _new_bridge(self, loop: asyncio.AbstractEventLoop) -> _Bridge:
        with self._starting:
            # A program that starts one loop after the other, in new threads, shall not collect them here.
            for thread in [thread for thread, known in self._bridges.items() if known.loop.is_closed()]:
                del self._bridges[thread]
            bridge = self._bridges[threading.get_ident()] = _Bridge(loop)
            return bridge

    def call(self, call: Call) -> Any:
        """What the function returns; of an async one, once it is done, in an event loop of its own.

        Raises:
            RuntimeError: it is called in that event loop, and would wait for itself.
        """
        value = call.function(*call.arguments)
        if inspect.isawaitable(value):
            if threading.current_thread() is self._thread:
                if inspect.iscoroutine(value):
                    value.close()
                raise RuntimeError("an async function of the host's waits for itself; await atrack() in it, not track()")
            return asyncio.run_coroutine_threadsafe(_awaited(value), self._background_loop()).result()
        return value

    def _background_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run_loop, args=(self._loop,), name="falcon-events-host", daemon=True)
                self._thread.start()
            return self._loop


class _Bridge:
    """Brings results of futures that other threads finish into one event loop, waking it once for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._create_future = loop.create_future
        self._finished: deque[tuple[asyncio.Future[Any], Future[Any] | Pending[Any]]] = deque()
        self._woken = False

    def wait(self, future: Future[Any] | Pending[Any]) -> asyncio.Future[Any]:
        waiter = self._create_future()
        future.add_done_callback(partial(self._finish, waiter))
        return waiter

    def _finish(self, waiter: asyncio.Future[Any], future: Future[Any] | Pending[Any]) -> None:
        self._finished.append((waiter, future))
        if not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._finished.clear()

    def _deliver(self) -> None:
        for _ in range(min(DELIVERED_AT_ONCE, len(self._finished))):
            waiter, future = self._finished.popleft()
            if waiter.done():  # the request was cancelled; its event is stored or not all the same
                continue
            error = future.exception()
            if error is None:
                waiter.set_result(future.result())
            else:
                waiter.set_exception(error)
        self._woken = False  # before the look: whatever is appended from here on wakes the loop again
        if self._finished:
            self._woken = True
            self.loop.call_soon(self._deliver)


async def _acall(call: Call) -> Any:
    if inspect.iscoroutinefunction(call.function):
        return await call.function(*call.arguments)
    value = await asyncio.to_thread(_plainly, call)
    return await value if inspect.isawaitable(value) else value


def _plainly(call: Call) -> Any:
    try:
        return call.function(*call.arguments)
    except StopIteration as error:  # no asyncio future takes one: its coroutine would wait for ever (Python 3.11)
        raise RuntimeError("a host's function raised StopIteration") from error


async def _awaited(value: Any) -> Any:
    try:
        return await value
    except (SystemExit, KeyboardInterrupt) as error:  # which would end the event loop that others wait at
        raise RuntimeError(f"a host's function raised {type(error).__name__}") from error


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
            break
        except (SystemExit, KeyboardInterrupt):  # of a task that a host's function has left behind: others wait at this loop
            logger.exception("a task of the host's wants to leave")
    left = asyncio.all_tasks(loop)
    for task in left:  # whoever waits for one would wait for ever
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
