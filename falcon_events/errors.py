"""Every exception that this package raises on purpose; all derive from EventsError."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Failure(NamedTuple):
    """One failure of a request, as the answer's `Errors` array carries it."""

    code: int
    message: str


class EventsError(Exception):
    """Base of every exception that falcon_events raises on purpose."""


class SettingError(EventsError, ValueError):
    """A setting has a value that it cannot have; the message names it and what would be right."""


class PlanError(EventsError, ValueError):
    """A tracking plan cannot be one; the message names the file, event or argument and what would be right."""


class RequestRefused(EventsError):
    """A request was refused; nothing of it was stored.

    `status` is the HTTP status of the same refusal over HTTP, `failures` the documented codes
    and messages, ascending by code.
    """

    def __init__(self, status: int, failures: Iterable[Failure]) -> None:
        self.status = status
        self.failures = tuple(sorted(set(failures)))
        super().__init__("; ".join(f"{f.message} (code {f.code})" for f in self.failures))

    @property
    def codes(self) -> tuple[int, ...]:
        """The documented codes, ascending."""
        return tuple(failure.code for failure in self.failures)


class InvalidRequest(RequestRefused):
    """The body or a parameter is not as documented (HTTP 400, 413 or 422)."""


class EventRefused(InvalidRequest):
    """Raised by a `before_store` hook: the event is not stored, and its sender gets the reason (HTTP 422, code 18).

    Args:
        reason: what the sender is told, as one sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(422, [Failure(18, reason)])


class EventDropped(EventsError):
    """Raised by a `before_store` hook: the event is only counted, and its sender gets the usual answer."""


class NotAuthenticated(RequestRefused):
    """No credential, or one that is unknown, revoked or expired (HTTP 401)."""


class NotAllowed(RequestRefused):
    """The credential's scope does not allow this call (HTTP 403)."""


class RateLimited(RequestRefused):
    """The key or the address has made more requests than its limit allows (HTTP 429).

    `retry_after_s` is how long to wait before the next try, in seconds.
    """

    def __init__(self, failure: Failure, retry_after_s: int) -> None:
        super().__init__(429, [failure])
        self.retry_after_s = retry_after_s


class StoreUnavailable(RequestRefused):
    """The store cannot take the request now (HTTP 503); nothing of it was kept.

    `retry_after_s` is how long to wait before the next try, in seconds.
    """

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        super().__init__(503, [Failure(503, reason)])
        self.retry_after_s = retry_after_s


class StoreClosed(StoreUnavailable):
    """The tracker was used after its close()."""

    def __init__(self) -> None:
        super().__init__("The event store is closed.")


class NoAnswer(EventsError):
    """A remote server gave no answer that is one; whether it has stored the request is not known.

    Sent again with the same EventID, an event is stored once. `reached` says whether the server had the request, as far as
    one can tell: else the connection was never made.
    """

    def __init__(self, reason: str, *, reached: bool = True) -> None:
        super().__init__(reason)
        self.reached = reached


class QueueFull(EventsError):
    """A client's queue has no room for another event; nothing of it was kept."""


class ClientClosed(EventsError):
    """A client was used after its close(), or closed before an event was sent."""


class StoreError(EventsError):
    """The store's file cannot be opened or used; the message says why and what to do."""


class StoreMissing(StoreError):
    """There is no store at this path, and the call does not make one."""


class StoreLocked(StoreError):
    """Another process holds the store's file; `pid` names it where the system tells."""

    def __init__(self, path: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is held by {holder}; a store serves one process at a time.")
        self.pid = pid


class NotFound(EventsError, LookupError):
    """An account, list, key or session of this name does not exist."""


class AlreadyExists(EventsError, ValueError):
    """An account or list of this name or id exists already."""


def error_of(kind: str, text: str) -> EventsError:
    """One of this package's errors, by its name."""
    known = globals().get(kind, EventsError)
    error: EventsError = known(text) if known is not StoreClosed else known()
    return error
