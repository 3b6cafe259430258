"""Authorization of requests: by the store's own directory or the host application's, and by rate limits."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable
from functools import partial
from typing import NoReturn

from falcon_events.access.directory import Directory
from falcon_events.access.origins import matches_origin
from falcon_events.access.protocol import Access, Credential, Principal
from falcon_events.contract.body import Params
from falcon_events.contract.lists import MAX_LIST_ID
from falcon_events.contract.schemas import common_error
from falcon_events.errors import EventsError, NotAllowed, NotAuthenticated, RateLimited, StoreError, StoreUnavailable
from falcon_events.link.link import Link
from falcon_events.model.operations import COUNT_REQUEST
from falcon_events.model.sender import Sender
from falcon_events.runtime.steps import Call, Steps
from falcon_events.settings import Settings

logger = logging.getLogger(__name__)

WRONG_SCOPE, WRONG_ORIGIN = 99999, 99997
MAX_ORIGINS_LOGGED = 100
"""How many origins a process remembers as logged. It logs no others."""
MAX_ORIGIN_SHOWN = 200
"""How many characters of an origin are logged."""

TRUSTED = Principal("")
"""Code of the host application that calls without a credential. It may do everything; events belong to the list's owner."""


class Authorization:
    """Authenticates the senders of requests and checks what they may do.

    Args:
        store: the link to the store, whose owner counts for the rate limits and sends the directory.
        directory: the store's own accounts and lists.
        access: the host application's accounts and lists, which replace the directory's; None: the directory.
        settings: the rate limits.
    """

    def __init__(self, store: Link, directory: Directory, access: Access | None, settings: Settings) -> None:
        self._store = store
        self._directory = directory
        self._access = access
        self._settings = settings
        self._ready = False
        self._logged_origins: set[str] = set()

    @property
    def may_wait(self) -> bool:
        """Whether an authorization may have to wait: for the host application's code, or for the owner of the store."""
        return self._access is not None or not self._ready or bool(self._settings.rate_limit_per_key)

    def authorize_tracking(self, credential: Credential | None, sender: Sender) -> Steps[Principal]:
        """Return who tracks; raise NotAuthenticated, NotAllowed, RateLimited or StoreUnavailable."""
        principal = yield from self._authenticate(credential, sender)
        if not principal.scope.may_track:
            raise _not_allowed(WRONG_SCOPE)
        if principal.origins is not None and not matches_origin(principal.origins, sender.origin or ""):
            self._log_origin(sender.origin, principal.origins)
            raise _not_allowed(WRONG_ORIGIN)
        return principal

    def is_known(self, credentials: Iterable[Credential], sender: Sender) -> Steps[bool]:
        """Return whether the sender or one of these credentials is known, before a request is read in a way that takes time."""
        yield from self.ensure_open()
        if sender.trusted:
            return True
        for credential in credentials:
            if self._access is None:
                principal = self._directory.identify(credential)
            else:
                principal = yield Call(self._access.identify, credential)
            if principal is not None:
                return True
        return False

    def authorize_reading(self, credential: Credential | None, sender: Sender) -> Steps[Principal]:
        """Return who reads; raise NotAuthenticated, NotAllowed, RateLimited or StoreUnavailable."""
        principal = yield from self._authenticate(credential, sender)
        if not principal.scope.may_read:
            raise _not_allowed(WRONG_SCOPE)
        return principal

    def allows_origin(self, origin: str) -> Steps[bool]:
        """Return whether pages of this origin may read replies to tracked events."""
        if self._access is None:
            yield from self.ensure_open()
            return self._directory.allows_origin(origin)
        allows = getattr(self._access, "allows_origin", None)
        return bool(allows is not None and (yield Call(allows, origin)))

    def find_account(self, principal: Principal, list_id: int) -> Steps[str | None]:
        """Return the account under which the principal uses the list, or None if it may not use it."""
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

    def find_page_key(self, list_id: int, origins: Iterable[str] | None) -> Steps[str]:
        """Return a key for a list's web pages: the store's own, or that of the host's accounts, if these accept it.

        Raises:
            NotFound: there is no such list.
            EventsError: the host's accounts have no such key, or do not accept it for this list.
        """
        if self._access is None:
            key: str = yield Call(partial(self._directory.page_key, list_id, origins=origins))
            return key
        find = getattr(self._access, "page_key", None)
        if find is None:
            raise EventsError(
                "key: with accounts of your own, give a key that your access.identify() accepts, or add a method"
                " page_key(list_id) to your access that returns one."
            )
        if origins is not None:
            raise EventsError("origins: with accounts of your own, your access.identify() says which origins a key is for.")
        found = yield Call(find, list_id)
        if not isinstance(found, str) or not found:
            raise EventsError(f"access.page_key({list_id}) returned {type(found).__name__}; expected a key as text.")
        principal = yield Call(self._access.identify, Credential("api_key", found))
        if isinstance(principal, str):
            principal = Principal(principal)
        accepted = principal is not None and principal.scope.may_track
        if not accepted or (yield from self.find_account(principal, list_id)) is None:
            raise EventsError(f"access.page_key({list_id}) returned a key that your access does not accept for this list.")
        return found

    def check_page_key(self, list_id: int, key: str) -> None:
        """Refuse a key of the store that cannot track on a list, before it is put into a page. Other keys pass.

        Raises:
            EventsError: the key is for reading, or for other lists.
            StoreError: the store's file cannot be opened.
        """
        if self._access is not None:
            return
        if not self._ready:
            self.open_store()
        principal = self._directory.identify(Credential("api_key", key))
        if principal is None:
            return
        if not principal.scope.may_track:
            raise EventsError("key: its scope is read, so that a page could not track with it. Use a key of scope ingest.")
        if principal.list_ids is not None and list_id not in principal.list_ids:
            raise EventsError(f"key: it is not bound to list {list_id}. Use a key of scope ingest for this list.")
        if self._directory.owner_of(list_id) != principal.account:
            raise EventsError(f"key: it belongs to another account than list {list_id}, or there is no such list.")

    def list_may_exist(self, list_id: int) -> bool:
        """Return whether the directory has the list. With lists of the host application, any list may exist."""
        return self._access is not None or self._directory.find_owner(list_id) is not None

    def count_request(self, kind: str, who: str, per_minute: int) -> Steps[None]:
        """Count a request against a rate limit.

        Args:
            kind: what is limited: `key` or `address`.
            who: the hash of the key, or the address.
            per_minute: the limit; 0: no limit.

        Raises:
            RateLimited: the request exceeds the limit.
        """
        if not per_minute:
            return
        yield from self.ensure_open()
        retry_after_s = yield self._store.ask(COUNT_REQUEST, kind, who, per_minute)
        if retry_after_s:
            raise RateLimited(common_error(429)[1], retry_after_s)

    def open_store(self, wait_s: float | None = None) -> None:
        """Open the store, as the first request would.

        Args:
            wait_s: how long to wait for a process that is opening or closing the file, in seconds; None: without limit.

        Raises:
            StoreError: the store's file cannot be opened.
        """
        self._store.open(wait_s)
        self._ready = True

    def reset_after_fork(self) -> None:
        """Have the first request in a forked child open the store again."""
        self._ready = False

    def _authenticate(self, credential: Credential | None, sender: Sender) -> Steps[Principal]:
        if not self._ready:
            yield from self.ensure_open()
        if sender.trusted:
            return TRUSTED
        if credential is None:
            _raise_not_authenticated()
        if self._access is None:
            principal = self._directory.identify(credential)
        else:
            principal = yield Call(self._access.identify, credential)
            if isinstance(principal, str):
                principal = Principal(principal)
        if principal is None:
            _raise_not_authenticated()
        if limit := self._settings.rate_limit_per_key:
            yield from self.count_request("key", hashlib.sha256(credential.secret.encode()).hexdigest(), limit)
        return principal

    def _log_origin(self, origin: str | None, allowed: Collection[str]) -> None:
        """Log that a key was refused because of a page's origin, once for each origin."""
        shown = "a request without an Origin header" if origin is None else f"the origin {origin[:MAX_ORIGIN_SHOWN]!a}"
        if shown in self._logged_origins or len(self._logged_origins) >= MAX_ORIGINS_LOGGED:
            return
        self._logged_origins.add(shown)
        logger.warning(
            "Refused %s: the API key may be used from %s only. An origin is a scheme, a host and a port; localhost and 127.0.0.1"
            " are two. A snippet for another origin: falcon-events snippet --origin ORIGIN",
            shown,
            ", ".join(sorted(allowed)),
        )

    def ensure_open(self) -> Steps[None]:
        """Open the store if this process has not used it yet; raise StoreUnavailable if that fails."""
        if not self._ready:
            yield Call(self._open_for_request)

    def _open_for_request(self) -> None:
        try:
            self.open_store(self._settings.commit_wait_s)
        except StoreError as error:
            logger.error("The event store cannot be opened: %s", error)
            raise StoreUnavailable("The event store cannot be opened; the log has the details.") from error


def read_credential(params: Params, bearer: str | None) -> Credential | None:
    """Return the request's credential: APIKey, else SessionID, else the bearer key. An empty string is not a credential.

    Raises:
        NotAuthenticated: the credential is not a string.
    """
    for name, kind in (("APIKey", "api_key"), ("SessionID", "session")):
        secret = params.get(name)
        if secret is None or secret == "":
            continue
        if not isinstance(secret, str):
            _raise_not_authenticated()
        return Credential(kind, secret)  # type: ignore[arg-type]
    return Credential("api_key", bearer) if bearer else None


def _raise_not_authenticated() -> NoReturn:
    status, failure = common_error(99998)
    raise NotAuthenticated(status, [failure])


def _not_allowed(code: int) -> NotAllowed:
    status, failure = common_error(code)
    return NotAllowed(status, [failure])
