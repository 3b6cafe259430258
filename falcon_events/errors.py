"""Every exception that this package raises on purpose; all derive from EventsError."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Failure(NamedTuple):
    """One failure of a request, as in the `Errors` array of a reply."""

    code: int
    message: str


class EventsError(Exception):
    """Base of every exception that falcon_events raises on purpose."""


class SettingError(EventsError, ValueError):
    """A setting has an invalid value; the message names the setting and what would be right."""


class PlanError(EventsError, ValueError):
    """A tracking plan is invalid; the message names the file, event or argument and what would be right."""


class RequestRefused(EventsError):
    """A request was refused; nothing of it was stored.

    `status` is the HTTP status that the refusal has over HTTP. `failures` are the documented codes and messages, in ascending
    order of the codes.
    """

    def __init__(self, status: int, failures: Iterable[Failure]) -> None:
        self.status = status
        self.failures = tuple(sorted(set(failures)))
        super().__init__("; ".join(f"{f.message} (code {f.code})" for f in self.failures))

    @property
    def codes(self) -> tuple[int, ...]:
        """The documented codes, in ascending order."""
        return tuple(failure.code for failure in self.failures)


class InvalidRequest(RequestRefused):
    """The body or a parameter is not as documented (HTTP 400, 413 or 422)."""


class EventRefused(InvalidRequest):
    """Raised by a `before_store` hook to refuse an event: its sender gets the reason (HTTP 422, code 18).

    Args:
        reason: the message to the sender, one sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(422, [Failure(18, reason)])


class EventDropped(EventsError):
    """Raised by a `before_store` hook to drop an event: it is counted but not stored, and its sender gets the usual reply."""


class NotAuthenticated(RequestRefused):
    """The credential is missing, unknown, revoked or expired (HTTP 401)."""


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
    """The store cannot accept the request now (HTTP 503); nothing of it was kept.

    `retry_after_s` is how long to wait before the next try, in seconds.
    """

    def __init__(self, reason: str, retry_after_s: int = 1, code: int = 503) -> None:
        super().__init__(503, [Failure(code, reason)])
        self.retry_after_s = retry_after_s


class QueryTooLong(StoreUnavailable):
    """A question took longer than the setting `query_timeout_s` allows, or needs more memory (HTTP 503, code 504)."""

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        super().__init__(reason, retry_after_s, code=504)


class StoreClosed(StoreUnavailable):
    """The tracker was used after its close()."""

    def __init__(self) -> None:
        super().__init__("The event store is closed.")


class NoAnswer(EventsError):
    """A remote server gave no valid reply; whether it stored the event is not known.

    An event that is sent again with the same EventID is stored once. `reached` is False if the connection was never made, and
    True if the server may have had the request.
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
    """There is no store at this path, and the call does not create one."""


class StoreLocked(StoreError):
    """Another process holds the store's file; `pid` is its id, or None if the system does not tell."""

    def __init__(self, path: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is held by {holder}; only one process can hold a store's file at a time.")
        self.pid = pid


class NotFound(EventsError, LookupError):
    """There is no account, list, key, session, view or share with this name or id."""


class AlreadyExists(EventsError, ValueError):
    """An account or list with this name or id exists already."""


def build_error(kind: str, text: str) -> EventsError:
    """Build one of this package's errors from the name of its class."""
    known = globals().get(kind, EventsError)
    error: EventsError = known(text) if known is not StoreClosed else known()
    return error
