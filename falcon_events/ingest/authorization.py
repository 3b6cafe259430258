"""Who may do what with which list: by the store's own directory or the host's, and by the rate limits."""

from __future__ import annotations

import hashlib
import logging
from typing import NoReturn

from falcon_events.access.directory import Directory
from falcon_events.access.origins import admits
from falcon_events.access.protocol import Access, Credential, Principal
from falcon_events.contract.body import Params
from falcon_events.contract.lists import MAX_LIST_ID
from falcon_events.contract.schemas import common_error
from falcon_events.errors import NotAllowed, NotAuthenticated, RateLimited, StoreError, StoreUnavailable
from falcon_events.link.link import Link
from falcon_events.model.operations import COUNT_REQUEST
from falcon_events.model.sender import Sender
from falcon_events.runtime.steps import Call, Steps
from falcon_events.settings import Settings

logger = logging.getLogger(__name__)

WRONG_SCOPE, WRONG_ORIGIN = 99999, 99997

TRUSTED = Principal("")
"""Host code that calls without a credential: it may do everything; an event then belongs to the list's owner."""


class Authorization:
    """Lets requests in.

    Args:
        store: counts for the rate limits, and knows the directory once it is open.
        directory: the store's own accounts and lists.
        access: the host application's, in place of the directory's; None for the directory.
        settings: the rate limits.
    """

    def __init__(self, store: Link, directory: Directory, access: Access | None, settings: Settings) -> None:
        self._store = store
        self._directory = directory
        self._access = access
        self._settings = settings
        self._ready = False

    def authorize_tracking(self, params: Params, sender: Sender) -> Steps[Principal]:
        """Who tracks; raises NotAuthenticated, NotAllowed, RateLimited or StoreUnavailable."""
        principal = yield from self._enter(params, sender)
        if not principal.scope.may_track:
            raise _not_allowed(WRONG_SCOPE)
        if principal.origins is not None and not admits(principal.origins, sender.origin or ""):
            raise _not_allowed(WRONG_ORIGIN)
        return principal

    def authorize_reading(self, params: Params, sender: Sender) -> Steps[Principal]:
        """Who asks; raises NotAuthenticated, NotAllowed, RateLimited or StoreUnavailable."""
        principal = yield from self._enter(params, sender)
        if not principal.scope.may_read:
            raise _not_allowed(WRONG_SCOPE)
        return principal

    def allows_origin(self, origin: str) -> Steps[bool]:
        """Whether pages of this origin may read answers to tracked events."""
        if self._access is None:
            yield from self._opened()
            return self._directory.allows_origin(origin)
        allows = getattr(self._access, "allows_origin", None)
        return bool(allows is not None and (yield Call(allows, origin)))

    def find_account(self, principal: Principal, list_id: int) -> Steps[str | None]:
        """The account under which the principal uses the list, or None where it may not."""
        if list_id > MAX_LIST_ID or (principal.list_ids is not None and list_id not in principal.list_ids):
            return None
        if principal is TRUSTED and self._access is None:
            return self._directory.owner_of(list_id)
        if principal is TRUSTED:
            return principal.account
        if self._access is None:
            return principal.account if self._directory.owns_list(principal.account, list_id) else None
        owns = yield Call(self._access.owns_list, principal.account, list_id)
        return principal.account if owns else None

    def list_may_exist(self, list_id: int) -> bool:
        """Whether the directory has the list; nobody knows, where the host application has lists of its own."""
        return self._access is not None or self._directory.find_owner(list_id) is not None

    def count_request(self, kind: str, who: str, per_minute: int) -> Steps[None]:
        """Counts a request against a rate limit.

        Args:
            kind: what is limited: `key` or `address`.
            who: which one.
            per_minute: the limit; 0 for none.

        Raises:
            RateLimited: it was one too many.
        """
        if not per_minute:
            return
        yield from self._opened()
        retry_after_s = yield self._store.ask(COUNT_REQUEST, kind, who, per_minute)
        if retry_after_s:
            raise RateLimited(common_error(429)[1], retry_after_s)

    def open_store(self, wait_s: float | None = None) -> None:
        """Opens the store, as the first request would.

        Args:
            wait_s: how long to wait for a process that is opening or closing the file, in seconds; None for ever.

        Raises:
            StoreError: the store's file cannot be opened.
        """
        self._store.open(wait_s)
        self._ready = True

    def reset_after_fork(self) -> None:
        """In a child, the first request opens the store anew."""
        self._ready = False

    def _enter(self, params: Params, sender: Sender) -> Steps[Principal]:
        if not self._ready:
            yield from self._opened()
        if sender.trusted:
            return TRUSTED
        credential = _credential(params, sender.bearer)
        if credential is None:
            _unauthenticated()
        if self._access is None:
            principal = self._directory.identify(credential)
        else:
            principal = yield Call(self._access.identify, credential)
            if isinstance(principal, str):
                principal = Principal(principal)
        if principal is None:
            _unauthenticated()
        if limit := self._settings.rate_limit_per_key:
            yield from self.count_request("key", hashlib.sha256(credential.secret.encode()).hexdigest(), limit)
        return principal

    def _opened(self) -> Steps[None]:
        if not self._ready:
            yield Call(self._prepare)

    def _prepare(self) -> None:
        try:
            self.open_store(self._settings.commit_wait_s)
        except StoreError as error:
            logger.error("the store cannot be opened: %s", error)
            raise StoreUnavailable("The event store cannot be opened; the log has the details.") from error


def _credential(params: Params, bearer: str | None) -> Credential | None:
    """What the request shows: APIKey, else SessionID, else the bearer key. An empty string is no credential."""
    for name, kind in (("APIKey", "api_key"), ("SessionID", "session")):
        secret = params.get(name)
        if secret is None or secret == "":
            continue
        if not isinstance(secret, str):
            _unauthenticated()
        return Credential(kind, secret)  # type: ignore[arg-type]
    return Credential("api_key", bearer) if bearer else None


def _unauthenticated() -> NoReturn:
    status, failure = common_error(99998)
    raise NotAuthenticated(status, [failure])


def _not_allowed(code: int) -> NotAllowed:
    status, failure = common_error(code)
    return NotAllowed(status, [failure])
