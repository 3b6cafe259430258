"""The one way of every request: read, authenticate, check, store, answer. No HTTP server, no database."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Access, Principal
from falcon_events.contract.body import Params, read_body
from falcon_events.contract.event import EventContract, EventRequest, PlainEvents
from falcon_events.contract.properties import check_properties_request, list_not_found
from falcon_events.contract.replies import (
    Reply,
    Tracked,
    common_reply,
    event_reply,
    events_reply,
    properties_reply,
    refusal_reply,
)
from falcon_events.errors import (
    Failure,
    InvalidRequest,
    RequestRefused,
)
from falcon_events.hooks.before import BeforeHook, BeforeStore
from falcon_events.ingest.authorization import Gate
from falcon_events.ingest.batch import Batches
from falcon_events.ingest.bots import not_a_visitor
from falcon_events.ingest.client_address import Addresses
from falcon_events.ingest.new_event import HOST_WANTS, Maker
from falcon_events.ingest.policies import Review
from falcon_events.link.link import Link
from falcon_events.model.events import NewEvent, Receipt
from falcon_events.model.sender import Sender
from falcon_events.runtime.steps import Steps
from falcon_events.settings import Settings

if TYPE_CHECKING:
    from falcon_events.plan.plan import Plan

logger = logging.getLogger(__name__)


class Pipeline:
    """Answers requests.

    Args:
        store: where events go and properties come from.
        directory: the store's own accounts and lists.
        access: the host application's, in place of the directory's; None for the directory.
        settings: which rules are lifted, and how large a body may be.
        clock: the current time in seconds since 1970.
        before_store: the host's hooks.
        plan: the host's tracking plan.
    """

    def __init__(
        self,
        store: Link,
        directory: Directory,
        access: Access | None,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        before_store: Sequence[BeforeHook] = (),
        plan: Plan | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._addresses = Addresses(store, settings.client_address, clock)
        self._keeps_addresses = settings.client_address != "none"
        self.gate = Gate(store, directory, access, settings)
        self._maker = Maker(store)
        self._contract = EventContract(anonymous_events=settings.anonymous_events, clock=clock)
        self._review = self._reviewer(before_store, plan)
        self.batches = Batches(
            store,
            self.gate,
            directory,
            self._addresses if self._keeps_addresses else None,
            self._contract,
            PlainEvents(anonymous_events=settings.anonymous_events),
            self._maker,
            clock,
            self._review,
        )
        """Tracks many events at once."""

    def _reviewer(self, before_store: Sequence[BeforeHook], plan: Plan | None) -> Review | None:
        if not before_store and plan is None:
            return None

        def told() -> Counter[str]:
            return self._store.counts.told

        return Review(BeforeStore(before_store, self._contract, told) if before_store else None, plan, told)

    def forked(self) -> None:
        """Starts anew in a forked child."""
        self.gate.forked()
        self._maker.forked()

    def event_reply(self, body: bytes, sender: Sender) -> Steps[Reply]:
        """The answer to POST /api/v1/event; never raises.

        Args:
            body: the request's body.
            sender: who sends it.
        """
        try:
            return event_reply((yield from self.track(body, sender)))
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.counts.refused[100005] += 1
            return _unforeseen()

    def events_reply(self, body: bytes, sender: Sender) -> Steps[Reply]:
        """The answer to POST /api/v1/events; never raises."""
        try:
            results = yield from self.batches.track_body(body, sender)
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.counts.refused[100005] += 1
            return _unforeseen()
        for result in results:
            if isinstance(result, RequestRefused):
                self._store.counts.refused.update(result.codes)
        return events_reply(results)

    def properties_reply(self, body: bytes, sender: Sender) -> Steps[Reply]:
        """The answer to POST /api/v1/website_events.properties; never raises."""
        return (yield from self._properties_reply(lambda: read_body(body), sender))

    def properties_query_reply(self, list_id: str | None, sender: Sender) -> Steps[Reply]:
        """The answer to GET /api/v1/website_events.properties?ListID=...; never raises."""
        return (yield from self._properties_reply(lambda: {} if list_id is None else {"ListID": list_id}, sender))

    def track(self, body: bytes, sender: Sender) -> Steps[Tracked]:
        """Checks and stores the event of a request's body.

        Args:
            body: the request's body.
            sender: who sends it.

        Raises:
            RequestRefused: with the documented codes; nothing was stored.
        """
        params = read_body(body)
        principal = yield from self.gate.tracking(params, sender)
        made = yield from self._made(params, principal, sender, len(body))
        if isinstance(made, Tracked):
            return made
        (pending,) = self._store.submit([made])
        return _tracked((yield pending), made)

    def _made(self, params: Params, principal: Principal, sender: Sender, size: int) -> Steps[Tracked | NewEvent]:
        """The event to store, or the answer to one that is only checked; raises InvalidRequest."""
        request: EventRequest | None = None
        failures: list[Failure] = []
        try:
            request = self._contract.check(params, own_clock=sender.trusted)
        except InvalidRequest as refused:
            failures.extend(refused.failures)
        list_id = self._contract.list_id(params) if request is None else request.list_id
        account = None if list_id is None else (yield from self.gate.owner(principal, list_id))
        if account is None:
            failures.append(self._contract.unknown_list)
        if request is None or account is None:
            raise InvalidRequest(422, failures)
        dropped = False
        if self._review is not None:
            request, size, dropped = yield from self._review.run(request, sender, size)
        address = (yield from self._addresses.kept(sender.address)) if self._keeps_addresses else None
        bot = not_a_visitor(sender, own=request.is_own_traffic, from_a_page=sender.origin is not None)
        rules = self._directory.rules_of(request.list_id)
        return self._maker.make(request, account, size, rules, bot, address, HOST_WANTS if dropped else None)

    def properties(self, params: Params, sender: Sender) -> Steps[tuple[int, dict[str, list[str]]]]:
        """A list's id and its property names by event type.

        Raises:
            RequestRefused: with the documented codes.
        """
        principal = yield from self.gate.reading(params, sender)
        list_id = check_properties_request(params)
        if (yield from self.gate.owner(principal, list_id)) is None:
            raise list_not_found()
        names = yield self._store.ask("properties", list_id, returns=dict[str, list[str]], urgent=True)
        return list_id, names

    def refusal(self, refused: RequestRefused) -> Reply:
        """The answer to a refused request, which is counted."""
        self._store.counts.refused.update(refused.codes)
        return refusal_reply(refused)

    def _properties_reply(self, read: Callable[[], Params], sender: Sender) -> Steps[Reply]:
        try:
            return properties_reply(*(yield from self.properties(read(), sender)))
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.counts.refused[100005] += 1
            return _unforeseen()


def _tracked(receipt: Receipt, event: NewEvent) -> Tracked:
    return Tracked(
        receipt.visitor,
        receipt.external_id,
        receipt.identify_event_sent,
        receipt.event_id,
        receipt.duplicate,
        event.dropped is not None,
        event.dropped,
    )


def _unforeseen() -> Reply:
    logger.exception("a request failed")
    return common_reply(100005)
