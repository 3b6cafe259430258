"""Operations that were asked for and are not answered yet."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

import msgspec

from falcon_events.errors import StoreUnavailable, error_of
from falcon_events.link import messages
from falcon_events.link.messages import Answer, Ask, Failed

UNKNOWN = "The event store's owner has died; it is not known whether this was done."


class Question:
    """One operation, and how to read its answer."""

    def __init__(self, ask: Ask, returns: Any, repeatable: bool, urgent: bool) -> None:
        self.number = ask.number
        self.frame = messages.encode(ask)
        """What is sent."""
        self.repeatable = repeatable
        self.urgent = urgent
        self.since = time.monotonic()
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()
        self._returns = returns

    def settle(self, answer: Answer | Failed) -> None:
        """Gives whoever asked the answer, or the error."""
        if isinstance(answer, Failed):
            self.future.set_exception(error_of(answer.kind, answer.text))
            return
        try:
            result = msgspec.convert(answer.value, self._returns)
        except msgspec.ValidationError as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Questions:
    """What is not answered yet; not thread-safe by itself."""

    def __init__(self) -> None:
        self._open: dict[int, Question] = {}
        self._number = 0

    def add(self, name: str, arguments: tuple[object, ...], returns: Any, repeatable: bool, urgent: bool) -> Question:
        """A new question, with a number of its own; what cannot be encoded raises, and nothing waits for it."""
        self._number += 1
        question = Question(Ask(self._number, name, list(arguments)), returns, repeatable, urgent)
        self._open[self._number] = question
        return question

    def take(self, number: int) -> Question | None:
        """The question of this number, which is answered now."""
        return self._open.pop(number, None)

    def take_unrepeatable(self) -> list[Question]:
        """The questions that must not be asked twice."""
        return self._take([question for question in self._open.values() if not question.repeatable])

    def take_late(self, wait_s: float, *, connected: bool) -> list[Question]:
        """The questions that have waited for longer than this, in seconds; of an owner that lives, only the urgent ones."""
        before = time.monotonic() - wait_s
        late = [question for question in self._open.values() if question.since < before]
        return self._take([question for question in late if question.urgent or not connected])

    def take_all(self) -> list[Question]:
        """All of them."""
        return self._take(list(self._open.values()))

    def frames(self) -> list[bytes]:
        """What to send to another owner."""
        return [question.frame for question in self._open.values()]

    def __len__(self) -> int:
        return len(self._open)

    def _take(self, questions: list[Question]) -> list[Question]:
        for question in questions:
            del self._open[question.number]
        return questions


def give_up(questions: list[Question], reason: str) -> None:
    """Tells whoever asked that there will be no answer."""
    for question in questions:
        question.future.set_exception(StoreUnavailable(reason))
