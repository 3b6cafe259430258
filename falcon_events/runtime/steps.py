"""Steps: how the core waits without doing I/O itself, so that threads and coroutines run the same code.

A function of the core that has to wait is a generator, annotated as `Steps[T]`. It yields what it waits for: a Future or a
Pending, whose result another thread sets, or a Call, a function that may block or may be async. OTHERS_FIRST lets other
requests go first. The code that runs the steps sends the result back into the generator, or throws the exception into it. The
generator's return value is the function's result.

    def event_types(link: Link, access: Access, list_id: int) -> Steps[list[str]]:
        owns = yield Call(access.owns_list, "account", list_id)  # a Call: the function's result
        if not owns:
            return []
        names = yield link.ask(PROPERTIES, list_id)  # a Future: its result; its exception is raised here
        return list(names)

    waiter = Waiter()
    waiter.run(event_types(link, access, 3))  # in a thread, which blocks
    await waiter.arun(event_types(link, access, 3))  # in a coroutine, whose event loop goes on

Steps call other steps with `yield from`. `Waiter.run` and `Waiter.arun` are all that differs between the sync and the async
flavor. `ingest/stream.py` also drives steps, to have several blocks of events under way in one thread.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from falcon_events.runtime.pending import Pending

if TYPE_CHECKING:
    import asyncio  # loaded where it is used: it takes a tenth of the start of a process that has no event loop

logger = logging.getLogger(__name__)

T = TypeVar("T")

DELIVERED_AT_ONCE = 8
"""How many results one turn of an event loop delivers. Between turns it reads requests, which then join the next batch."""


class Call:
    """A call of a function that may block or belongs to the host application; plain or async."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.function = function
        self.arguments = arguments


class OthersFirst:
    """A wait that is over at once: steps that take long yield it now and then, so that the event loop handles other requests.

    In a thread it does nothing, because the interpreter switches between threads by itself.
    """

    __slots__ = ()

    def done(self) -> bool:
        """Return False, so that a coroutine awaits it."""
        return False

    def result(self) -> None:
        """Return at once."""

    def exception(self) -> None:
        """Return None: it never fails."""

    def add_done_callback(self, callback: Callable[[OthersFirst], object]) -> None:
        """Call `callback` at once; the event loop resumes the coroutine after what is due before it."""
        callback(self)


OTHERS_FIRST = OthersFirst()
Wait = Future[Any] | Pending[Any] | OthersFirst | Call
Steps = Generator[Wait, Any, T]


class Waiter:
    """Run the core's steps, in a thread or in a coroutine."""

    def __init__(self) -> None:
        self._bridges: dict[int, _Bridge] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def run(self, steps: Steps[T]) -> T:
        """Run the steps to their end in this thread, which blocks, and return their result."""
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
        except BaseException:  # such as Ctrl-C, or the cancellation of a coroutine
            steps.close()  # now, and not when the exception's traceback is let go
            raise

    async def arun(self, steps: Steps[T]) -> T:
        """Run the steps to their end in a coroutine, without blocking its event loop, and return their result."""
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
        except BaseException:  # such as Ctrl-C, or the cancellation of a coroutine
            steps.close()  # now, and not when the exception's traceback is let go
            raise

    def close(self) -> None:
        """Stop the event loop that runs the host's async functions for threads, if it was started."""
        with self._starting:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None

    def _bridge(self) -> _Bridge:
        """Return the running loop's bridge."""
        # Looked up by thread, which runs one loop at a time: get_running_loop() costs a system call (Python 3.11: getpid).
        bridge = self._bridges.get(threading.get_ident())
        if bridge is None or not bridge.loop.is_running():
            import asyncio

            bridge = self._new_bridge(asyncio.get_running_loop())
        return bridge

    def _new_bridge(self, loop: asyncio.AbstractEventLoop) -> _Bridge:
        with self._starting:
            # Drop closed loops: a program may start one loop after the other, each in a new thread.
            for thread in [thread for thread, known in self._bridges.items() if known.loop.is_closed()]:
                del self._bridges[thread]
            bridge = self._bridges[threading.get_ident()] = _Bridge(loop)
            return bridge

    def call(self, call: Call) -> Any:
        """Call the function and return its result. An async function runs in a background event loop, and this thread waits.

        Raises:
            RuntimeError: this thread runs that event loop, which would wait for itself.
        """
        value = call.function(*call.arguments)
        if inspect.isawaitable(value):
            if threading.current_thread() is self._thread:
                if inspect.iscoroutine(value):
                    value.close()
                raise RuntimeError("An async hook or Access method would wait for itself: await atrack() in it, not track().")
            import asyncio

            return asyncio.run_coroutine_threadsafe(_await(value), self._start_background_loop()).result()
        return value

    def _start_background_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run_loop, args=(self._loop,), name="falcon-events-host", daemon=True)
                self._thread.start()
            return self._loop


class _Bridge:
    """Delivers results that other threads set into one event loop, and wakes the loop once for many of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._create_future = loop.create_future
        self._finished: deque[tuple[asyncio.Future[Any], Future[Any] | Pending[Any] | OthersFirst]] = deque()
        self._woken = False

    def wait(self, future: Future[Any] | Pending[Any] | OthersFirst) -> asyncio.Future[Any]:
        waiter = self._create_future()
        future.add_done_callback(partial(self._finish, waiter))
        return waiter

    def _finish(self, waiter: asyncio.Future[Any], future: Future[Any] | Pending[Any] | OthersFirst) -> None:
        self._finished.append((waiter, future))
        if not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nothing waits in it any more
                self._finished.clear()

    def _deliver(self) -> None:
        for _ in range(min(DELIVERED_AT_ONCE, len(self._finished))):
            waiter, future = self._finished.popleft()
            if waiter.done():  # the request was canceled, which does not change whether its event is stored
                continue
            error = future.exception()
            if error is None:
                waiter.set_result(future.result())
            else:
                waiter.set_exception(error)
        self._woken = False  # before the check below: what is appended from here on wakes the loop again
        if self._finished:
            self._woken = True
            self.loop.call_soon(self._deliver)


async def _acall(call: Call) -> Any:
    import asyncio

    if inspect.iscoroutinefunction(call.function):
        return await call.function(*call.arguments)
    value = await asyncio.to_thread(_call_in_thread, call)
    return await value if inspect.isawaitable(value) else value


def _call_in_thread(call: Call) -> Any:
    try:
        return call.function(*call.arguments)
    except StopIteration as error:  # an asyncio future does not accept it, and its coroutine would wait forever (Python 3.11)
        raise RuntimeError("A hook or Access method raised StopIteration; raise another exception.") from error


async def _await(value: Any) -> Any:
    try:
        return await value
    except (SystemExit, KeyboardInterrupt) as error:  # it would end the event loop that other threads wait for
        raise RuntimeError(f"A hook or Access method raised {type(error).__name__}; raise another exception.") from error


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
            break
        except (SystemExit, KeyboardInterrupt):  # other threads wait for this loop, so it runs on
            logger.exception("A background task of a hook or Access method raised an exception that would end the process")
    left = asyncio.all_tasks(loop)
    for task in left:  # a thread that waits for one would wait forever
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
