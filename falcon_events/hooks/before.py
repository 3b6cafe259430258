"""before_store hooks: they change, refuse or drop an event, which is then checked again."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from falcon_events.contract.body import encode_text, read_body
from falcon_events.contract.event import MAX_AHEAD_S, EventContract, EventRequest
from falcon_events.contract.schemas import common_error
from falcon_events.contract.values import encode_json, find_fault
from falcon_events.errors import EventDropped, EventRefused, EventsError, RequestRefused
from falcon_events.hooks.events import FIRST_TIME, FIXED, IncomingEvent, build_incoming_event, to_microseconds
from falcon_events.model.reports import BEFORE_STORE_FAILED
from falcon_events.model.sender import Sender
from falcon_events.runtime.steps import Call, Steps

logger = logging.getLogger(__name__)

BeforeHook = Callable[[IncomingEvent], Awaitable[None] | None]


class BeforeStore:
    """Runner of the hooks for events that are about to be stored.

    Args:
        hooks: functions, plain or async, called one after the other.
        contract: the contract that an event must also fulfil after the hooks have changed it.
        counters: returns the counters of this process; a forked child has new ones.
    """

    def __init__(self, hooks: Iterable[BeforeHook], contract: EventContract, counters: Callable[[], Counter[str]]) -> None:
        self._hooks = [(get_hook_name(hook), _return_errors(hook)) for hook in hooks]
        self._contract = contract
        self._counters = counters

    def run(self, request: EventRequest, sender: Sender) -> Steps[tuple[EventRequest, int] | None]:
        """Call the hooks with a request's event.

        Returns:
            The request as the hooks have changed it, and its approximate size in bytes. None: a hook dropped the event.

        Raises:
            EventRefused: a hook refuses the event.
            RequestRefused: a hook failed (status 500); the log has the details.
        """
        event = build_incoming_event(request, sender)
        for name, hook in self._hooks:
            try:
                error = yield Call(hook, event)
            except Exception as raised:  # one that _return_errors() does not catch
                error = raised
            if isinstance(error, EventRefused):
                raise error
            if isinstance(error, EventDropped):
                return None
            if error is not None:
                raise self._report_failure(name, error)
        try:
            return self._check(event, request, sender)
        except Exception as error:
            raise self._report_failure(", ".join(name for name, _ in self._hooks), error) from error

    def _report_failure(self, name: str, error: Exception) -> RequestRefused:
        """Log and count a failure, and return the error for the sender."""
        logger.error("before_store: %s failed; the event is not stored", name, exc_info=error)
        self._counters()[BEFORE_STORE_FAILED] += 1
        status, failure = common_error(100005)
        refused = RequestRefused(status, [failure])
        refused.__cause__ = error
        return refused

    def _check(self, event: IncomingEvent, request: EventRequest, sender: Sender) -> tuple[EventRequest, int]:
        before = build_incoming_event(request, sender)
        for field in FIXED:
            if getattr(event, field) != getattr(before, field):
                raise TypeError(f"before_store must not change an event's {field}")
        # Encode and check the event like those of track(), so that everything the store gets is valid JSON.
        params = {name: getattr(event, field) for name, field in _PARAMETERS.items()}
        body = _encode(params, event)
        try:
            changed = self._contract.check(read_body(body), own_clock=True)
        except RequestRefused as refused:
            raise EventsError(f"before_store has changed an event so that it cannot be stored: {refused}") from None
        changes: dict[str, Any] = {
            "received_at": request.received_at,
            "occurred_at": request.occurred_at,
            "client_timestamp": request.client_timestamp,
            "is_own_traffic": request.is_own_traffic,
            "automatic": request.automatic,
        }
        if event.occurred_at != before.occurred_at:
            changes["occurred_at"] = _read_occurred_at(event)
        return msgspec.structs.replace(changed, **changes), len(body)


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


def _encode(params: dict[str, Any], event: IncomingEvent) -> bytes:
    try:
        return encode_text(encode_json(params))
    except Exception as error:
        fields = (find_fault(getattr(event, field), field) for field in _PARAMETERS.values())
        raise EventsError(
            f"before_store has changed an event so that it cannot be stored: {next(filter(None, fields), error)}"
        ) from error


def get_hook_name(hook: object) -> str:
    """Return a hook's name for the log."""
    return f"{getattr(hook, '__module__', '')}.{getattr(hook, '__qualname__', type(hook).__qualname__)}"


def list_hooks(argument: str, given: Any) -> list[Callable[..., Any]]:
    """Return the functions of an argument that takes one function or several.

    Args:
        argument: the argument's name, for the error message.
        given: the argument's value.

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
            raise TypeError(f"{argument}={hook!r} must be a function or a sequence of functions.")
    return hooks


def is_async(hook: Callable[..., Any]) -> bool:
    """Whether calling a hook returns a coroutine."""
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004


def _return_errors(hook: Callable[..., Any]) -> Callable[[IncomingEvent], Any]:
    """Wrap a hook so that it returns its exception instead of raising it, because a batch goes on with its other events."""

    async def finish(value: Any) -> Exception | None:
        try:
            return _check_result(hook, await value)
        except Exception as error:
            return error

    async def call_in_loop(event: IncomingEvent) -> Exception | None:
        return await finish(hook(event))

    def call_in_thread(event: IncomingEvent) -> Any:
        try:
            value = hook(event)
        except Exception as error:
            return error
        return finish(value) if inspect.isawaitable(value) else _check_result(hook, value)

    return call_in_loop if is_async(hook) else call_in_thread


def _check_result(hook: object, value: object) -> Exception | None:
    if value is None:
        return None
    name = get_hook_name(hook)
    return TypeError(f"{name} returned {type(value).__name__}: a before_store hook must change the event and return None")


def _read_occurred_at(event: IncomingEvent) -> int:
    at: object = event.occurred_at
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise TypeError(f"before_store has set an event's occurred_at to {at!r}; it must be an aware datetime")
    if at < FIRST_TIME:
        raise ValueError(f"before_store has set an event's occurred_at to {at}; it must not lie before 1970")
    if at > event.received_at + timedelta(seconds=MAX_AHEAD_S):
        raise ValueError(
            f"before_store has set an event's occurred_at to {at}; it must be at most {MAX_AHEAD_S // 3600} hours ahead"
        )
    return to_microseconds(at)
