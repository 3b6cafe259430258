"""The queue of questions: lists take turns, questions give way, and what nobody waits for is skipped or ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from falcon_events.errors import EventsError, StoreClosed, StoreUnavailable
from falcon_events.store.engine.open_read import OpenRead, ReadInterrupted
from falcon_events.store.engine.question_queue import LEAST_BYTES, MAX_WAITING_BYTES, QuestionQueue, Waited
from tests.harness import wait_until


class Held:
    """A question that is answered once `go` is set, and fails when it is interrupted."""

    def __init__(self) -> None:
        self.runs = 0
        self.go = threading.Event()

    def __call__(self, read: OpenRead) -> int:
        """Answers with how many times it was asked."""
        self.runs += 1
        stop = threading.Event()
        with read.running(stop.set):
            wait_until(lambda: stop.is_set() or self.go.is_set(), "the question is let go", seconds=60)
        if stop.is_set():
            raise ReadInterrupted
        return self.runs


@pytest.fixture
def make_queue() -> Iterator[Callable[[int], QuestionQueue]]:
    """Makes queues, which are closed at the end."""
    made: list[QuestionQueue] = []

    def make(slots: int) -> QuestionQueue:
        made.append(QuestionQueue(slots))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


def hold(queue: QuestionQueue, list_id: int, wait_s: float = 60) -> tuple[Held, Future[Any]]:
    """Asks a held question, and waits until it is being answered."""
    held = Held()
    future = queue.submit(held, Waited(list_id, wait_s))
    wait_until(lambda: held.runs == 1, "the question begins")
    return held, future


def test_lists_take_turns(make_queue: Callable[[int], QuestionQueue]) -> None:
    """However many questions of one list wait, the next free slot is another list's."""
    queue, order = make_queue(1), []
    held, _ = hold(queue, 1)
    asked = [queue.submit(lambda _, one=one: order.append(one), Waited(one, 60)) for one in (1, 1, 1, 2, 3, 2)]
    held.go.set()
    for future in asked:
        future.result(60)
    assert order == [1, 2, 3, 1, 2, 1]


def test_the_newest_question_of_a_list_that_holds_all_slots_gives_way(make_queue: Callable[[int], QuestionQueue]) -> None:
    """Another list gets the slot at once; the question is asked again, and answered."""
    queue = make_queue(2)
    (old, first), (new, second) = hold(queue, 1), hold(queue, 1)
    assert queue.submit(lambda _: "answered", Waited(2, 60)).result(60) == "answered"
    old.go.set()
    new.go.set()
    assert (first.result(60), second.result(60)) == (1, 2)


def test_a_question_does_not_give_way_to_its_own_list(make_queue: Callable[[int], QuestionQueue]) -> None:
    """Nor where there is one slot: then the other list waits for its turn."""
    for slots, other in ((2, 1), (1, 2)):
        queue = make_queue(slots)
        held = [hold(queue, 1) for _ in range(slots)]
        waiting = queue.submit(lambda _: "answered", Waited(other, 60))
        for one, _ in held:
            one.go.set()
        assert [future.result(60) for _, future in held] == [1] * slots
        assert waiting.result(60) == "answered"


def test_what_nobody_waits_for_is_skipped_or_ended(make_queue: Callable[[int], QuestionQueue]) -> None:
    """A waiting question never begins; a running one frees its slot."""
    queue = make_queue(1)
    _, running = hold(queue, 1)
    never = Held()
    skipped = queue.submit(never, Waited(1, 60))
    assert queue.abandon(skipped)
    assert skipped.cancelled()
    assert queue.abandon(running)
    with pytest.raises(EventsError, match="was ended"):
        running.result(60)
    assert queue.submit(lambda _: "answered", Waited(1, 60)).result(60) == "answered"
    assert never.runs == 0
    assert not queue.abandon(running)


def test_a_question_waits_no_longer_than_its_limit(make_queue: Callable[[int], QuestionQueue]) -> None:
    """Then it is refused; the one that is being answered goes on."""
    queue = make_queue(1)
    held, running = hold(queue, 1)
    with pytest.raises(StoreUnavailable, match="no turn"):
        queue.submit(lambda _: None, Waited(2, 0.01)).result(60)
    held.go.set()
    assert running.result(60) == 1


def test_waiting_questions_are_bounded_at_the_cost_of_the_list_that_has_most(make_queue: Callable[[int], QuestionQueue]) -> None:
    """Its newest question is refused at once; another list's is not."""
    queue = make_queue(1)
    hold(queue, 1)
    waiting = [queue.submit(lambda _: None, Waited(1, 60)) for _ in range(MAX_WAITING_BYTES // LEAST_BYTES)]
    other = queue.submit(lambda _: None, Waited(2, 60))
    with pytest.raises(StoreUnavailable, match="Too many questions"):
        waiting[-1].result(60)
    large = queue.submit(lambda _: None, Waited(3, 60, MAX_WAITING_BYTES))
    with pytest.raises(StoreUnavailable, match="Too many questions"):
        large.result(60)
    assert not other.done()
    assert not waiting[0].done()


def test_closing_refuses_what_waits_and_ends_what_runs(make_queue: Callable[[int], QuestionQueue]) -> None:
    """No thread is left, and nothing more is taken."""
    queue = make_queue(1)
    _, running = hold(queue, 1)
    waiting = queue.submit(lambda _: None, Waited(1, 60))
    queue.close()
    with pytest.raises(StoreClosed):
        waiting.result(60)
    with pytest.raises(EventsError, match="was ended"):
        running.result(60)
    with pytest.raises(StoreClosed):
        queue.submit(lambda _: None, Waited(1, 60))
