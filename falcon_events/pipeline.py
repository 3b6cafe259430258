"""The one way of every request: read, authenticate, check, store, answer. No HTTP server, no database."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable
from typing import NoReturn

from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Access, Credential, Principal
from falcon_events.contract.answers import Reply, Tracked, common_reply, event_reply, properties_reply, refusal_reply
from falcon_events.contract.body import Params, read_body
from falcon_events.contract.event import EventContract, EventRequest
from falcon_events.contract.lists import MAX_LIST_ID
from falcon_events.contract.properties import check_properties_request, list_not_found
from falcon_events.contract.schemas import common_error
from falcon_events.errors import (
    Failure,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    RequestRefused,
    StoreError,
    StoreUnavailable,
)
from falcon_events.link.link import Link
from falcon_events.settings import Settings
from falcon_events.store.records import NewEvent
from falcon_events.visitors import derived_uuid
from falcon_events.waiting import Call, Steps

logger = logging.getLogger(__name__)

TRUSTED = Principal("")
"""Host code that calls without a credential: it may do everything; an event then belongs to the list's owner."""


class Pipeline:
    """Answers requests.

    Args:
        store: where events go and properties come from.
        directory: the store's own accounts and lists.
        access: the host application's, in place of the directory's; None for the directory.
        settings: which rules are lifted, and how large a body may be.
        clock: the current time in seconds since 1970.
    """

    def __init__(
        self,
        store: Link,
        directory: Directory,
        access: Access | None,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._directory = directory
        self._access = access
        self._settings = settings
        self._contract = EventContract(anonymous_events=settings.anonymous_events, clock=clock)
        self._ready = False

    def event_reply(self, body: bytes, bearer: str | None) -> Steps[Reply]:
        """The answer to POST /api/v1/event; never raises.

        Args:
            body: the request's body.
            bearer: the key of the header `Authorization: Bearer`, if there is one.
        """
        try:
            return event_reply((yield from self.track(body, bearer)))
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.refused[100005] += 1
            return _unforeseen()

    def properties_reply(self, body: bytes, bearer: str | None) -> Steps[Reply]:
        """The answer to POST /api/v1/website_events.properties; never raises."""
        return (yield from self._properties_reply(lambda: read_body(body), bearer))

    def properties_query_reply(self, list_id: str | None, bearer: str | None) -> Steps[Reply]:
        """The answer to GET /api/v1/website_events.properties?ListID=...; never raises."""
        return (yield from self._properties_reply(lambda: {} if list_id is None else {"ListID": list_id}, bearer))

    def track(self, body: bytes, bearer: str | None = None, *, trusted: bool = False) -> Steps[Tracked]:
        """Checks and stores the event of a request's body.

        Args:
            body: the request's body.
            bearer: the key of the header `Authorization: Bearer`, if there is one.
            trusted: whether the caller may do without a credential.

        Raises:
            RequestRefused: with the documented codes; nothing was stored.
        """
        params = read_body(body)
        if not self._ready:
            yield Call(self._prepare)
        principal = TRUSTED if trusted else (yield from self._identified(params, bearer))
        if not principal.scope.may_track:
            _forbidden()
        request: EventRequest | None = None
        failures: list[Failure] = []
        try:
            request = self._contract.check(params)
        except InvalidRequest as refused:
            failures.extend(refused.failures)
        list_id = self._contract.list_id(params)
        account = None if list_id is None else (yield from self._owner(principal, list_id))
        if account is None:
            failures.append(self._contract.unknown_list)
        if request is None or account is None:
            raise InvalidRequest(422, failures)
        return (yield from self._store_event(request, account, len(body)))

    def properties(
        self, params: Params, bearer: str | None = None, *, trusted: bool = False
    ) -> Steps[tuple[int, dict[str, list[str]]]]:
        """A list's id and its property names by event type.

        Raises:
            RequestRefused: with the documented codes.
        """
        if not self._ready:
            yield Call(self._prepare)
        principal = TRUSTED if trusted else (yield from self._identified(params, bearer))
        if not principal.scope.may_read:
            _forbidden()
        list_id = check_properties_request(params)
        if (yield from self._owner(principal, list_id)) is None:
            raise list_not_found()
        names = yield self._store.ask("properties", list_id, returns=dict[str, list[str]], urgent=True)
        return list_id, names

    def refusal(self, refused: RequestRefused) -> Reply:
        """The answer to a refused request, which is counted."""
        self._store.refused.update(refused.codes)
        return refusal_reply(refused)

    def _properties_reply(self, read: Callable[[], Params], bearer: str | None) -> Steps[Reply]:
        try:
            return properties_reply(*(yield from self.properties(read(), bearer)))
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.refused[100005] += 1
            return _unforeseen()

    def admit(self, kind: str, who: str, per_minute: int) -> Steps[None]:
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
        if not self._ready:
            yield Call(self._prepare)
        retry_after_s = yield self._store.ask("hit", kind, who, per_minute, returns=int, urgent=True)
        if retry_after_s:
            raise RateLimited(common_error(429)[1], retry_after_s)

    def prepare(self, wait_s: float | None = None) -> None:
        """Opens the store, as the first request would.

        Args:
            wait_s: how long to wait for a process that is opening or closing the file, in seconds; None for ever.

        Raises:
            StoreError: the store's file cannot be opened.
        """
        self._store.open(wait_s)
        self._ready = True

    def forked(self) -> None:
        """In a child, the first request opens the store anew."""
        self._ready = False

    def _prepare(self) -> None:
        try:
            self.prepare(self._settings.commit_wait_s)
        except StoreError as error:
            logger.error("the store cannot be opened: %s", error)
            raise StoreUnavailable("The event store cannot be opened; the log has the details.") from error

    def _identified(self, params: Params, bearer: str | None) -> Steps[Principal]:
        credential = _credential(params, bearer)
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
            yield from self.admit("key", hashlib.sha256(credential.secret.encode()).hexdigest(), limit)
        return principal

    def _owner(self, principal: Principal, list_id: int) -> Steps[str | None]:
        """The account under which the principal uses the list, or None where it may not."""
        if list_id > MAX_LIST_ID:
            return None
        if principal is TRUSTED and self._access is None:
            return self._directory.owner_of(list_id)
        if principal is TRUSTED:
            return principal.account
        if self._access is None:
            return principal.account if self._directory.owns_list(principal.account, list_id) else None
        owns = yield Call(self._access.owns_list, principal.account, list_id)
        return principal.account if owns else None

    def _store_event(self, request: EventRequest, account: str, size: int) -> Steps[Tracked]:
        external_id = request.external_id or str(uuid.uuid4())
        visitor = request.visitor or self._visitor(request)
        if request.is_test:
            event_id = request.event_id or str(uuid.uuid4())
            return Tracked(visitor, external_id, identify_event_sent=False, event_id=event_id)
        receipt = yield self._store.submit(
            NewEvent(
                request.event_id,
                account,
                request.list_id,
                request.event,
                visitor,
                external_id,
                request.email,
                request.occurred_at,
                request.received_at,
                request.properties,
                request.traits,
                size,
            )
        )
        return Tracked(receipt.visitor, receipt.external_id, receipt.identify_event_sent, receipt.event_id, receipt.duplicate)

    def _visitor(self, request: EventRequest) -> str:
        namespace = self._store.uuid_namespace
        if request.external_id is not None:
            return derived_uuid(namespace, request.list_id, "id", request.external_id)
        if request.email is not None:
            return derived_uuid(namespace, request.list_id, "email", request.email.lower())
        return str(uuid.uuid4())


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


def _forbidden() -> NoReturn:
    status, failure = common_error(99999)
    raise NotAllowed(status, [failure])


def _unforeseen() -> Reply:
    logger.exception("a request failed")
    return common_reply(100005)
