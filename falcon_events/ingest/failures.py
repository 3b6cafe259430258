"""Raise the exceptions that end a call of the host application, or log them so that the host goes on."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Literal

from falcon_events.errors import EventsError

logger = logging.getLogger("falcon_events.tracking")

OnError = Literal["raise", "log"]


class FailureGuard:
    """A context manager that passes exceptions on (`raise`), or logs them and goes on (`log`).

    An exception that is no Exception, such as KeyboardInterrupt or a canceled task, always passes.

    Args:
        on_error: what to do with an exception.
        list_id: the list of the event, for the log.
        event: the event type or object, for the log. Of an object, only its class is logged.

    Raises:
        EventsError: `on_error` has another value.
    """

    __slots__ = ("_event", "_list_id", "_logs")

    def __init__(self, on_error: OnError, list_id: object, event: object) -> None:
        if on_error not in ("raise", "log"):
            raise EventsError(f"on_error={on_error!r}: expected 'raise' or 'log'.")
        self._logs = on_error == "log"
        self._list_id = list_id
        self._event = event

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not self._logs or not isinstance(error, Exception):
            return False
        event = self._event if isinstance(self._event, str) else type(self._event).__name__
        # The reason of an error of ours is its message. Other exceptions are mistakes, and a traceback shows where.
        unexpected = None if isinstance(error, EventsError) else (type(error), error, trace)
        logger.error("The event %.200r of list %.20r was not tracked: %s", event, self._list_id, error, exc_info=unexpected)
        return True
