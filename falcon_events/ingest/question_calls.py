"""The Python API's questions, asked in this process: by threads and by coroutines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from falcon_events.ingest.questions import Questions
from falcon_events.model.sender import HOST, Sender
from falcon_events.query.arguments import write_params
from falcon_events.query.async_calls import AsyncQuestionCalls
from falcon_events.query.calls import QuestionCalls
from falcon_events.runtime.steps import Steps, Waiter

T = TypeVar("T")


class LocalCalls(QuestionCalls):
    """Questions asked by threads.

    Args:
        questions: asks them.
        get_waiter: returns what runs steps.
    """

    def __init__(self, questions: Questions, get_waiter: Callable[[], Waiter]) -> None:
        self._questions = questions
        self._get_waiter = get_waiter

    def _ask_question(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        return self._get_waiter().run(_ask(self._questions, name, arguments, kind))


class AsyncLocalCalls(AsyncQuestionCalls):
    """Questions asked by coroutines; the arguments are those of LocalCalls."""

    def __init__(self, questions: Questions, get_waiter: Callable[[], Waiter]) -> None:
        self._questions = questions
        self._get_waiter = get_waiter

    async def _ask_question(self, name: str, arguments: Mapping[str, Any], kind: type[T]) -> T:
        return await self._get_waiter().arun(_ask(self._questions, name, arguments, kind))


def _ask(questions: Questions, name: str, arguments: Mapping[str, Any], kind: type[T]) -> Steps[T]:
    params = write_params(arguments)
    is_host = arguments.get("api_key") is None and arguments.get("session_id") is None
    return msgspec.json.decode((yield from questions.ask(name, params, HOST if is_host else Sender())), type=kind)
