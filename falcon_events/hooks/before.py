"""before_store: hooks that change, refuse or drop an event, and the check that it is still one that the store takes."""

from __future__ import annotations

import inspect
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from falcon_events.contract.body import read_body
from falcon_events.contract.event import MAX_AHEAD_S, EventContract, EventRequest
from falcon_events.contract.schemas import common_error
from falcon_events.errors import EventDropped, EventRefused, EventsError, RequestRefused
from falcon_events.hooks.events import FIXED, IncomingEvent, incoming, microseconds
from falcon_events.model.reports import BEFORE_STORE_FAILED
from falcon_events.model.sender import Sender
from falcon_events.runtime.steps import Call, Steps

logger = logging.getLogger(__name__)

BeforeHook = Callable[[IncomingEvent], Awaitable[None] | None]


class BeforeStore:
    """Runs hooks on events before they are stored.

    Args:
        hooks: called one after the other; plain or async.
        contract: what an event has to keep to, also when hooks have changed it.
        told: gives the counter of failures, which a forked child has anew.
    """

    def __init__(self, hooks: Iterable[BeforeHook], contract: EventContract, told: Callable[[], Counter[str]]) -> None:
        self._hooks = [(name_of(hook), _guarded(hook)) for hook in hooks]
        self._contract = contract
        self._told = told

    def run(self, request: EventRequest, sender: Sender) -> Steps[tuple[EventRequest, int] | None]:
        """What the hooks make of a request and about how many bytes that takes; None where they drop it.

        Raises:
            EventRefused: a hook refuses the event.
            RequestRefused: a hook failed (status 500); the log says how.
        """
        event = incoming(request, sender)
        for name, hook in self._hooks:
            try:
                error = yield Call(hook, event)
            except Exception as raised:  # one that _guarded lets through
                error = raised
            if isinstance(error, EventRefused):
                raise error
            if isinstance(error, EventDropped):
                return None
            if error is not None:
                raise self._failed(name, error)
        try:
            return self._checked(event, request, sender)
        except Exception as error:
            raise self._failed(", ".join(name for name, _ in self._hooks), error) from error

    def _failed(self, name: str, error: Exception) -> RequestRefused:
        logger.error("before_store: %s failed; the event is not stored", name, exc_info=error)
        self._told()[BEFORE_STORE_FAILED] += 1
        status, failure = common_error(100005)
        refused = RequestRefused(status, [failure])
        refused.__cause__ = error
        return refused

    def _checked(self, event: IncomingEvent, request: EventRequest, sender: Sender) -> tuple[EventRequest, int]:
        before = incoming(request, sender)
        for field in FIXED:
            if getattr(event, field) != getattr(before, field):
                raise TypeError(f"before_store may not change an event's {field}")
        # The way that events of the host's own code take: nothing else says what JSON can hold, and the store with it.
        params = {name: getattr(event, field) for name, field in _PARAMETERS.items()}
        body = json.dumps(params, allow_nan=False, ensure_ascii=False).encode()
        try:
            made = self._contract.check(read_body(body), own_clock=True)
        except RequestRefused as refused:
            raise EventsError(f"before_store has made an event that cannot be stored: {refused}") from None
        changes: dict[str, Any] = {
            "received_at": request.received_at,
            "occurred_at": request.occurred_at,
            "client_timestamp": request.client_timestamp,
            "is_own_traffic": request.is_own_traffic,
        }
        if event.occurred_at != before.occurred_at:
            changes["occurred_at"] = _moment_of(event)
        return msgspec.structs.replace(made, **changes), len(body)


_PARAMETERS = {
    "ListID": "list_id",
    "event": "event",
    "email": "email",
    "properties": "properties",
    "id": "external_id",
    "UUID": "visitor",
    "EventID": "event_id",
    "IdentifyProperties": "identify_properties",
}


def name_of(hook: object) -> str:
    """A hook's name in the log."""
    return f"{getattr(hook, '__module__', '')}.{getattr(hook, '__qualname__', type(hook).__qualname__)}"


def hooks_of(argument: str, given: Any) -> list[Callable[..., Any]]:
    """The callables of an argument that takes one or several.

    Raises:
        TypeError: one of them cannot be called; the message names the argument.
    """
    hooks = [] if given is None else [given] if callable(given) else given
    try:
        hooks = list(hooks)
    except TypeError:
        hooks = [given]
    for hook in hooks:
        if not callable(hook):
            raise TypeError(f"{argument}={hook!r}: a function, or a sequence of functions, is needed.")
    return hooks


def is_async(hook: Callable[..., Any]) -> bool:
    """Whether calling a hook gives a coroutine."""
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004


def _guarded(hook: Callable[..., Any]) -> Callable[[IncomingEvent], Any]:
    """The hook, giving its exception instead of raising it: whoever waits may be a batch that goes on."""

    async def awaited(value: Any) -> Exception | None:
        try:
            return _returned(hook, await value)
        except Exception as error:
            return error

    async def in_the_loop(event: IncomingEvent) -> Exception | None:
        return await awaited(hook(event))

    def in_a_thread(event: IncomingEvent) -> Any:
        try:
            value = hook(event)
        except Exception as error:
            return error
        return awaited(value) if inspect.isawaitable(value) else _returned(hook, value)

    return in_the_loop if is_async(hook) else in_a_thread


def _returned(hook: object, value: object) -> Exception | None:
    if value is None:
        return None
    return TypeError(f"{name_of(hook)} returned {type(value).__name__}: a before_store hook changes the event and returns None")


def _moment_of(event: IncomingEvent) -> int:
    at: object = event.occurred_at
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise TypeError(f"before_store may set an event's occurred_at to an aware datetime, not to {at!r}")
    if at > event.received_at + timedelta(seconds=MAX_AHEAD_S):
        raise ValueError(f"before_store has set occurred_at to {at}, which is more than {MAX_AHEAD_S // 3600} hours ahead")
    return microseconds(at)
