"""Calls of operations that the owner has not answered yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from falcon_events.errors import StoreUnavailable, build_error
from falcon_events.link import messages
from falcon_events.link.messages import Answer, AnswerPart, Ask, Failed
from falcon_events.model.operations import Operation, Read

UNKNOWN = "The event store's owner has died; it is not known whether the operation was carried out."
NOT_REPEATED = "The event store's owner has died before it answered. The query is not sent to the next one."
TOO_LATE = "The event store's owner has died before it answered, and the time for the question is over. Ask again."
OWNERS_DIED = "The event store's owner has died {} times before it answered. The operation is not sent again."
MAX_OWNERS = 3
"""How many owners are asked for a slow operation. It may be what they died of."""


class PendingCall:
    """A call of an operation that the owner has not answered yet."""

    def __init__(self, number: int, operation: Operation[..., Any], arguments: Sequence[object], wait_s: float) -> None:
        self.number = number
        self.operation = operation
        self.since = time.monotonic()
        until = self.since + wait_s if operation.urgent else None
        self.frame = messages.encode(Ask(number, operation.name, list(arguments), until))
        """The encoded message that asks for the operation."""
        self.parts = bytearray()
        """The parts of a large answer that have arrived."""
        self.owners = 1
        """How many owners the call was sent to."""
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()

    def settle(self, answer: Answer | Failed) -> None:
        """Set the result or the error that the owner sent."""
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
    """The calls without an answer. Not thread-safe: callers hold a lock."""

    def __init__(self) -> None:
        self._open: dict[int, PendingCall] = {}
        self._number = 0

    def add(self, operation: Operation[..., Any], arguments: Sequence[object], wait_s: float) -> PendingCall:
        """Add a call with a number of its own. Raise, and add nothing, if the arguments cannot be encoded.

        Args:
            operation: the operation.
            arguments: its arguments.
            wait_s: how long the caller waits if the operation is urgent, in seconds.
        """
        self._number += 1
        call = PendingCall(self._number, operation, arguments, wait_s)
        self._open[self._number] = call
        return call

    def take(self, number: int) -> PendingCall | None:
        """Remove and return the call of this number; None if there is none."""
        return self._open.pop(number, None)

    def add_part(self, part: AnswerPart) -> PendingCall | None:
        """Add a part to the answer of a call. Remove and return the call if it was the last part."""
        call = self._open.get(part.number)
        if call is None:
            return None
        call.parts += part.content
        return self._open.pop(part.number) if part.is_last else None

    def take_unrepeatable(self, query_timeout_s: float) -> list[tuple[PendingCall, str]]:
        """Remove and return the calls that must not be sent to another owner, each with the reason."""
        before = time.monotonic() - query_timeout_s
        found = [(call, _find_reason(call, before)) for call in self._open.values()]
        lost = [(call, reason) for call, reason in found if reason is not None]
        self._take([call for call, _ in lost])
        return lost

    def take_late(self, wait_s: float, *, connected: bool) -> list[PendingCall]:
        """Remove and return calls that have waited for over `wait_s` seconds; only urgent ones while an owner is connected."""
        before = time.monotonic() - wait_s
        late = [call for call in self._open.values() if call.since < before]
        return self._take([call for call in late if call.operation.urgent or not connected])

    def take_all(self) -> list[PendingCall]:
        """Remove and return all calls."""
        return self._take(list(self._open.values()))

    def drop(self, future: Future[Any]) -> int | None:
        """Remove the call of this future, and return its number; None if it has been answered."""
        number = next((number for number, call in self._open.items() if call.future is future), None)
        if number is not None:
            del self._open[number]
        return number

    def frames(self) -> list[bytes]:
        """Return the messages to send again to another owner."""
        for call in self._open.values():
            call.parts.clear()
            call.owners += 1
        return [call.frame for call in self._open.values()]

    def __len__(self) -> int:
        return len(self._open)

    def _take(self, calls: list[PendingCall]) -> list[PendingCall]:
        for call in calls:
            del self._open[call.number]
        return calls


def give_up(calls: list[PendingCall], reason: str) -> None:
    """Set StoreUnavailable as the error of calls that will not be answered."""
    for call in calls:
        call.future.set_exception(StoreUnavailable(reason))


def _find_reason(call: PendingCall, before: float) -> str | None:
    """Return why a call must not be sent to another owner, or None.

    Args:
        call: the call.
        before: a timed call must not be older than this, by time.monotonic().
    """
    operation = call.operation
    if not operation.repeatable:
        return NOT_REPEATED if isinstance(operation, Read) else UNKNOWN
    if operation.timed and call.since < before:
        return TOO_LATE
    return OWNERS_DIED.format(MAX_OWNERS) if call.owners >= MAX_OWNERS and not operation.urgent else None
