"""Calls of operations that the owner has not answered yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from falcon_events.errors import StoreUnavailable, build_error
from falcon_events.link import messages
from falcon_events.link.messages import Answer, Ask, Failed
from falcon_events.model.operations import Operation

UNKNOWN = "The event store's owner has died; it is not known whether this was done."


class PendingCall:
    """One operation that is under way, and how to read its result."""

    def __init__(self, number: int, operation: Operation[..., Any], arguments: Sequence[object]) -> None:
        self.number = number
        self.operation = operation
        self.frame = messages.encode(Ask(number, operation.name, list(arguments)))
        """The message that asks for it."""
        self.since = time.monotonic()
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()

    def settle(self, answer: Answer | Failed) -> None:
        """Give the result, or the error, to those who wait for it."""
        if isinstance(answer, Failed):
            self.future.set_exception(build_error(answer.kind, answer.text))
            return
        try:
            result = msgspec.convert(answer.value, self.operation.result)
        except msgspec.ValidationError as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class PendingCalls:
    """The operations that are under way; not thread-safe by itself."""

    def __init__(self) -> None:
        self._open: dict[int, PendingCall] = {}
        self._number = 0

    def add(self, operation: Operation[..., Any], arguments: Sequence[object]) -> PendingCall:
        """Add an operation, with a number of its own; arguments that cannot be encoded raise, and nothing is added."""
        self._number += 1
        call = PendingCall(self._number, operation, arguments)
        self._open[self._number] = call
        return call

    def take(self, number: int) -> PendingCall | None:
        """Take the call of this number, which is answered now."""
        return self._open.pop(number, None)

    def take_unrepeatable(self) -> list[PendingCall]:
        """Take the calls that must not be sent to a second owner."""
        return self._take([call for call in self._open.values() if not call.operation.repeatable])

    def take_late(self, wait_s: float, *, connected: bool) -> list[PendingCall]:
        """Take the calls that have waited for more than `wait_s` seconds; while an owner is connected, only the urgent ones."""
        before = time.monotonic() - wait_s
        late = [call for call in self._open.values() if call.since < before]
        return self._take([call for call in late if call.operation.urgent or not connected])

    def take_all(self) -> list[PendingCall]:
        """Take all calls."""
        return self._take(list(self._open.values()))

    def frames(self) -> list[bytes]:
        """Return the messages to send to another owner."""
        return [call.frame for call in self._open.values()]

    def __len__(self) -> int:
        return len(self._open)

    def _take(self, calls: list[PendingCall]) -> list[PendingCall]:
        for call in calls:
            del self._open[call.number]
        return calls


def give_up(calls: list[PendingCall], reason: str) -> None:
    """Give those who wait StoreUnavailable: there will be no answer."""
    for call in calls:
        call.future.set_exception(StoreUnavailable(reason))
