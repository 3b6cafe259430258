"""Queue of questions: a few threads answer them, and the lists take turns, so that the questions of one list delay its own."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from falcon_events.errors import StoreClosed, StoreUnavailable
from falcon_events.store.engine.open_read import INTERRUPT_INTERVAL_S, OpenRead, ReadInterrupted

NO_TURN = "Other questions are being answered, and there was no turn for this one within {:g} seconds. Try again later."
FULL = "Too many questions of this list wait for their turn. Try again later."
MAX_WAITING_BYTES = 16 << 20
"""The most that waiting questions may take together, in bytes."""
LEAST_BYTES = 128 << 10
"""The least bytes that a question is counted with, so that at most 128 of them wait."""

Job = Callable[[OpenRead], Any]
Then = Callable[[Any], Future[Any] | None]


class Waited(NamedTuple):
    """The wait of a question: the list whose turn it takes, the longest time that it waits for it, and its size in bytes."""

    list_id: int
    wait_s: float
    size: int = 0


@dataclass(eq=False)
class QueuedQuestion:
    """A question that waits for its turn or is being answered."""

    job: Job
    waits: Waited
    then: Then | None
    deadline: float
    future: Future[Any] = field(default_factory=Future)
    read: OpenRead = field(default_factory=lambda: OpenRead(slow=True))
    ends: bool = False
    """Whether it is interrupted because nobody waits for its answer."""
    gives_way: bool = False
    """Whether it is interrupted to let another list have its slot. It is then asked again."""

    @property
    def weight(self) -> int:
        """The bytes that it is counted with while it waits."""
        return max(self.waits.size, LEAST_BYTES)


class QuestionQueue:
    """Answers questions in a few threads, which start with the first question.

    A free slot goes to the list that holds the fewest slots; of several, to the one that has waited longest for its turn. Where
    one list holds all slots and another one asks, the question that began last gives way, and is asked again later.

    Args:
        slots: how many questions are answered at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._changed = threading.Condition()
        self._waiting: dict[int, deque[QueuedQuestion]] = {}
        """The waiting questions by list; the list whose turn is next comes first."""
        self._running: list[QueuedQuestion] = []
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, job: Job, waits: Waited, then: Then | None = None) -> Future[Any]:
        """Add a question.

        Args:
            job: answers it, and can be interrupted.
            waits: how it waits.
            then: called with the answer; returns the future that has the result instead, or None.

        Returns:
            The future of the result. It fails with StoreUnavailable if the question gets no turn in time.

        Raises:
            StoreClosed: close() was called.
        """
        question = QueuedQuestion(job, waits, then, time.monotonic() + waits.wait_s)
        with self._changed:
            if self._closed:
                raise StoreClosed
            self._start_threads()
            self._waiting.setdefault(waits.list_id, deque()).append(question)
            surplus = self._take_surplus()
            self._let_give_way(waits.list_id)
            self._changed.notify_all()
        for one in surplus:
            one.future.set_exception(StoreUnavailable(FULL))
        return question.future

    def abandon(self, future: Future[Any]) -> bool:
        """Skip a question that waits, or interrupt it until it ends. Return whether it is one of this queue."""
        with self._changed:
            for question in self._running:
                if question.future is future:
                    question.ends = True
                    self._changed.notify_all()
                    return True
            found = next((one for queue in self._waiting.values() for one in queue if one.future is future), None)
            if found is not None:
                self._remove(found)
        if found is not None and not found.future.cancel():  # it has begun once, and gave way
            found.future.set_exception(ReadInterrupted())
        return found is not None

    def list_running(self) -> list[OpenRead]:
        """Return the reads of the questions that are being answered."""
        with self._changed:
            return [question.read for question in self._running]

    def close(self) -> None:
        """Refuse the waiting questions, interrupt the others, and end the threads."""
        with self._changed:
            self._closed = True
            waiting = [one for queue in self._waiting.values() for one in queue]
            self._waiting.clear()
            for question in self._running:
                question.ends = True
            self._changed.notify_all()
        for question in waiting:
            question.future.set_exception(StoreClosed())
        for thread in self._threads:
            thread.join()

    def _start_threads(self) -> None:
        if self._threads:
            return
        for target, name, number in ((self._answer, "query", self._slots), (self._keep_time, "query-time", 1)):
            for _ in range(number):
                thread = threading.Thread(target=target, name=f"falcon-events-{name}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer(self) -> None:
        """Answer questions until the queue is closed."""
        while (question := self._take()) is not None:
            try:
                result = question.job(question.read)
            except BaseException as error:
                is_interrupted = isinstance(error, ReadInterrupted) or not isinstance(error, StoreUnavailable)
                if self._finish(question, is_interrupted=is_interrupted):
                    question.future.set_exception(error)
            else:
                self._finish(question)
                _settle(question, result)

    def _take(self) -> QueuedQuestion | None:
        """Wait for the next question, and return it; None if the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            held = Counter(question.waits.list_id for question in self._running)
            queue = self._waiting[min(self._waiting, key=held.__getitem__)]
            question = queue[0]
            self._remove(question)
            if queue:  # the other lists come first now
                self._waiting[question.waits.list_id] = self._waiting.pop(question.waits.list_id)
            question.read, question.gives_way = OpenRead(slow=True), False
            if not question.future.running():
                question.future.set_running_or_notify_cancel()
            self._running.append(question)
            self._changed.notify_all()
            return question

    def _finish(self, question: QueuedQuestion, *, is_interrupted: bool = False) -> bool:
        """Free the slot of a question. Return False if it gave way and waits again."""
        with self._changed:
            self._running.remove(question)
            question.read.done.set()
            waits_again = is_interrupted and question.gives_way and not question.ends and not self._closed
            if waits_again:
                self._waiting.setdefault(question.waits.list_id, deque()).appendleft(question)
            self._changed.notify_all()
            return not waits_again

    def _let_give_way(self, list_id: int) -> None:
        """If another list than this one holds all slots, let its newest question give way. The caller holds the lock."""
        holders = {question.waits.list_id for question in self._running}
        if self._slots < 2 or len(self._running) < self._slots or len(holders) > 1 or list_id in holders:
            return
        if not any(question.ends or question.gives_way for question in self._running):
            self._running[-1].gives_way = True

    def _take_surplus(self) -> list[QueuedQuestion]:
        """Remove and return the newest questions of the lists that wait with the most. The caller holds the lock."""
        surplus = []
        weights = {list_id: sum(one.weight for one in queue) for list_id, queue in self._waiting.items()}
        while sum(weights.values()) > MAX_WAITING_BYTES:
            heaviest = max(weights, key=weights.__getitem__)
            newest = self._waiting[heaviest][-1]
            weights[heaviest] -= newest.weight
            self._remove(newest)
            surplus.append(newest)
        return surplus

    def _remove(self, question: QueuedQuestion) -> None:
        """Remove a waiting question. The caller holds the lock."""
        queue = self._waiting[question.waits.list_id]
        queue.remove(question)
        if not queue:
            del self._waiting[question.waits.list_id]

    def _keep_time(self) -> None:
        """Refuse questions that have waited too long, and interrupt those that end or give way, until the queue is closed."""
        while True:
            with self._changed:
                if self._closed and not self._running:
                    return
                now = time.monotonic()
                waiting = [one for queue in self._waiting.values() for one in queue]
                late = [one for one in waiting if one.deadline <= now]
                for question in late:
                    self._remove(question)
                stopped = [question.read for question in self._running if question.ends or question.gives_way]
                if not late and not stopped:
                    self._changed.wait(min((one.deadline - now for one in waiting), default=None))
                    continue
            for question in late:
                question.future.set_exception(StoreUnavailable(NO_TURN.format(question.waits.wait_s)))
            for read in stopped:
                read.interrupt()
            if stopped:
                stopped[0].done.wait(INTERRUPT_INTERVAL_S)


def _settle(question: QueuedQuestion, result: Any) -> None:
    """Set the result of an answered question, or have another future set it."""
    try:
        following = None if question.then is None else question.then(result)
    except BaseException as error:
        question.future.set_exception(error)
        return
    if following is None:
        question.future.set_result(result)
        return

    def copy(done: Future[Any]) -> None:
        if (error := done.exception()) is not None:
            question.future.set_exception(error)
        else:
            question.future.set_result(done.result())

    following.add_done_callback(copy)
