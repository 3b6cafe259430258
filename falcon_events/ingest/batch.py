"""Many events at once: what they share is asked for once, and they are checked, stored and answered together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Principal
from falcon_events.contract.event import EventContract, EventRequest, PlainEvents
from falcon_events.contract.events import EnvelopedEvents, Events, LooseEvents, read_envelope
from falcon_events.contract.replies import Tracked
from falcon_events.contract.schemas import common_error
from falcon_events.errors import EventsError, Failure, InvalidRequest, RequestRefused, StoreUnavailable
from falcon_events.ingest.authorization import Gate
from falcon_events.ingest.bots import not_a_visitor
from falcon_events.ingest.client_address import Addresses
from falcon_events.ingest.new_event import HOST_WANTS, Maker
from falcon_events.ingest.policies import Review
from falcon_events.link.link import Link
from falcon_events.model.access import ListRules
from falcon_events.model.events import NewEvent, Receipt, Result
from falcon_events.model.sender import HOST, Sender
from falcon_events.runtime.steps import Steps

Answer = Tracked | RequestRefused


NO_RULES = ListRules(0)


class _List(msgspec.Struct, frozen=True):
    """What a batch's sender may do with a list, and what becomes of the events there."""

    account: str | None = None
    """None where the list is unknown, or another account's."""
    rules: ListRules = NO_RULES
    bot: str | None = None
    address: str | None = None
    refused: RequestRefused | None = None
    is_plain: bool = False
    """Whether it is known and no event needs a look at its sender again, nor what the host has to say."""


class Batches:
    """Tracks many events at once.

    Args:
        store: where events go.
        gate: who may do what.
        directory: the lists' rules.
        addresses: what is kept of a client's address; None for nothing.
        contract: what one event has to keep to.
        plain: takes most of them.
        maker: makes the events to store.
        clock: the current time in seconds since 1970.
        review: what the host wants of events; None for nothing.
    """

    def __init__(
        self,
        store: Link,
        gate: Gate,
        directory: Directory,
        addresses: Addresses | None,
        contract: EventContract,
        plain: PlainEvents,
        maker: Maker,
        clock: Callable[[], float] = time.time,
        review: Review | None = None,
    ) -> None:
        self._store = store
        self._gate = gate
        self._directory = directory
        self._addresses = addresses
        self._contract = contract
        self._plain = plain
        self._make = maker.make
        self._clock = clock
        self._review = review

    def track_body(self, body: bytes, sender: Sender) -> Steps[list[Answer]]:
        """Checks the events of a batch and stores those that are right, in one commit; what became of each, in order.

        Raises:
            RequestRefused: for the batch as a whole; nothing was stored.
        """
        params = read_envelope(body)
        principal = yield from self._gate.tracking(params, sender)
        return (yield from self._track(EnvelopedEvents(params, body), principal, sender))

    def track_bodies(self, bodies: Sequence[bytes]) -> Steps[list[Answer]]:
        """Does the same with events of the host's own code, in a body each."""
        principal = yield from self._gate.tracking({}, HOST)
        return (yield from self._track(LooseEvents(bodies), principal, HOST))

    def _track(self, events: Events, principal: Principal, sender: Sender) -> Steps[list[Answer]]:
        answers: list[Answer | None] = []
        made: list[NewEvent] = []
        lists: dict[int, _List] = {}
        accept, received_at = self._plain.accept, int(self._clock() * 1e6)
        for number, (members, size) in enumerate(zip(events.members, events.sizes, strict=False)):
            request = accept(members, events.list_id, received_at, own_clock=sender.trusted)
            known = None if request is None else lists.get(request.list_id)
            if request is None or known is None or known.account is None or not known.is_plain or request.is_own_traffic:
                try:
                    event = yield from self._unusual(events, number, size, request, lists, principal, sender)
                except RequestRefused as refused:
                    answers.append(refused)
                    continue
            else:  # most events of a batch, without any step in between
                event = self._make(request, known.account, size, known.rules, None, None)
            if isinstance(event, NewEvent):
                made.append(event)
                answers.append(None)
            else:
                answers.append(event)
        if not made:
            return [answer for answer in answers if answer is not None]
        stored = iter((yield from self._stored(made)))
        return [next(stored) if answer is None else answer for answer in answers]

    def _unusual(
        self,
        events: Events,
        number: int,
        size: int,
        request: EventRequest | None,
        lists: dict[int, _List],
        principal: Principal,
        sender: Sender,
    ) -> Steps[Tracked | NewEvent]:
        """What an event makes that is not accepted yet, or the first one for its list, or not stored as it came."""
        failures: list[Failure] = []
        if request is None:
            params = events.params(number)
            list_id = self._contract.list_id(params)
            try:
                request = self._contract.check(params, own_clock=sender.trusted)
            except InvalidRequest as refused:
                failures.extend(refused.failures)
        else:
            list_id = request.list_id
        known = _NO_LIST if list_id is None else lists.get(list_id)
        if known is None and list_id is not None:
            known = lists[list_id] = yield from self._list(list_id, principal, sender)
        assert known is not None
        if known.refused is not None:
            raise known.refused
        if known.account is None:
            failures.append(self._contract.unknown_list)
        if request is None or known.account is None:
            raise InvalidRequest(422, failures)
        dropped = False
        if self._review is not None:
            request, size, dropped = yield from self._review.run(request, sender, size)
        bot = not_a_visitor(sender, own=True, from_a_page=False) if request.is_own_traffic else known.bot
        return self._make(request, known.account, size, known.rules, bot, known.address, HOST_WANTS if dropped else None)

    def _list(self, list_id: int, principal: Principal, sender: Sender) -> Steps[_List]:
        try:
            account = yield from self._gate.owner(principal, list_id)
        except RequestRefused as refused:
            return _List(refused=refused)
        if account is None:
            return _NO_LIST
        address = None if self._addresses is None else (yield from self._addresses.kept(sender.address))
        bot = not_a_visitor(sender, own=False, from_a_page=sender.origin is not None)
        rules = self._directory.rules_of(list_id)
        return _List(account, rules, bot, address, is_plain=bot is None and address is None and self._review is None)

    def _stored(self, events: list[NewEvent]) -> Steps[list[Answer]]:
        pending = self._store.submit_together(events)
        try:
            outcomes: Sequence[Result] = yield pending
        except RequestRefused as refused:
            return [refused] * len(events)
        except EventsError:
            outcomes = [None] * len(events)
        return [_answer(event, outcome) for event, outcome in zip(events, outcomes, strict=True)]


_NO_LIST = _List()


def _answer(event: NewEvent, outcome: Result) -> Answer:
    if outcome is True or outcome is False:
        return Tracked(
            event.visitor, event.external_id, outcome, event.id or "", dropped=event.dropped is not None, dropped_by=event.dropped
        )
    if isinstance(outcome, Receipt):
        return Tracked(
            outcome.visitor,
            outcome.external_id,
            outcome.identify_event_sent,
            outcome.event_id,
            outcome.duplicate,
            event.dropped is not None,
            event.dropped,
        )
    if isinstance(outcome, str):
        return StoreUnavailable(outcome)
    status, failure = common_error(100005)
    return RequestRefused(status, [failure])
