"""Batches: check events, store the valid ones in one commit, and return each result. One event is a batch of one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

import msgspec

from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Credential, Principal, Scope
from falcon_events.contract.envelope import Envelope, find_credentials, read_envelope
from falcon_events.contract.event import EventContract, EventRequest
from falcon_events.contract.events import EnvelopedEvents, Events, LooseEvents, SingleEvent
from falcon_events.contract.replies import Tracked
from falcon_events.contract.schemas import common_error
from falcon_events.errors import Failure, InvalidRequest, RequestRefused
from falcon_events.ingest.authorization import Authorization, read_credential
from falcon_events.ingest.bodies import SMALL_BYTES, HeldBody
from falcon_events.ingest.bots import find_bot
from falcon_events.ingest.client_address import ClientAddresses
from falcon_events.ingest.new_event import DROPPED_BY_HOST, EventBuilder
from falcon_events.ingest.policies import Policies
from falcon_events.link.link import Link
from falcon_events.model.access import ListRules
from falcon_events.model.events import NewEvent, Outcome, Receipt
from falcon_events.model.sender import HOST, Sender
from falcon_events.runtime.steps import OTHERS_FIRST, Steps

TrackResult = Tracked | RequestRefused
"""The result for the sender of an event: it was stored, or the reason why not."""

NO_RULES = ListRules(0)
LOG_EVERY_S = 10.0
"""The least time between two log lines about events that fail unexpectedly, in seconds."""

SLICE_S = 0.005
"""How long a batch is checked before other requests have their turn, in seconds. Events that are refused take longest."""

logger = logging.getLogger(__name__)


class _List(msgspec.Struct, frozen=True):
    """A list as the sender of a batch may use it, and what is added to the sender's events for it."""

    account: str | None = None
    """The account that the events belong to. None: the list is unknown or belongs to another account."""
    rules: ListRules = NO_RULES
    bot: str | None = None
    address: str | None = None
    refused: RequestRefused | None = None
    is_plain: bool = False
    """Whether the sender is not a bot, no address is stored and the host has no policies. Such events skip _check()."""


class BatchTracker:
    """Checks events and stores the valid ones together.

    Args:
        store: the link to the store.
        authorization: decides who may track for which list.
        directory: has the lists' rules.
        addresses: reduces client addresses to what is stored; None: no address is stored.
        contract: the rules of one event.
        builder: builds the events to store.
        clock: returns the current time in seconds since 1970.
        policies: the host's hooks and plan; None: it has neither.
        hides_known_addresses: whether pages are not told that an address is known.
    """

    def __init__(
        self,
        store: Link,
        authorization: Authorization,
        directory: Directory,
        addresses: ClientAddresses | None,
        contract: EventContract,
        builder: EventBuilder,
        clock: Callable[[], float] = time.time,
        policies: Policies | None = None,
        *,
        hides_known_addresses: bool = False,
    ) -> None:
        self._hides_known_addresses = hides_known_addresses
        self._store = store
        self._authorization = authorization
        self._directory = directory
        self._addresses = addresses
        self._contract = contract
        self._build = builder.build
        self._clock = clock
        self._policies = policies
        self._log_at = 0.0
        self._unlogged = 0

    def track_envelope(self, body: HeldBody, sender: Sender) -> Steps[list[TrackResult]]:
        """Track the events in a body of POST /api/v1/events; return the result of each, in order.

        Raises:
            RequestRefused: the batch as a whole is refused; nothing was stored.
        """
        envelope = yield from self._read_envelope(body.data, sender)
        credential = read_credential(envelope.params, sender.bearer)
        if len(body.data) > SMALL_BYTES and self._authorization.may_wait:  # decoded, it may take 25 times its size meanwhile
            del envelope
            principal = yield from self._authorization.authorize_tracking(credential, sender)
            envelope = read_envelope(body.data)
        else:
            principal = yield from self._authorization.authorize_tracking(credential, sender)
        events = EnvelopedEvents(envelope)
        del envelope  # it holds the body
        return (yield from self._track(events, principal, sender, body))

    def _read_envelope(self, body: bytes, sender: Sender) -> Steps[Envelope]:
        """Read a batch. A large one that cannot be decoded is split into its events only if its sender seems to be known."""
        try:
            return read_envelope(body, splits=len(body) <= SMALL_BYTES)
        except InvalidRequest as refused:
            if len(body) <= SMALL_BYTES:
                raise
            unreadable = refused.with_traceback(None)
        given = [Credential("api_key", sender.bearer)] if sender.bearer else []
        given += [Credential("api_key" if name == "apikey" else "session", secret) for name, secret in find_credentials(body)]
        if not (yield from self._authorization.is_known(given, sender)):
            raise unreadable
        return read_envelope(body)

    def track_event(self, body: HeldBody, sender: Sender) -> Steps[TrackResult]:
        """Track the event in a body of POST /api/v1/event; return its result.

        Raises:
            RequestRefused: the body cannot be read, or the sender may not track.
        """
        event = SingleEvent(body.data)
        credential = read_credential(event.members[0], sender.bearer)
        if len(body.data) > SMALL_BYTES and self._authorization.may_wait:  # decoded, it may take 25 times its size meanwhile
            del event
            principal = yield from self._authorization.authorize_tracking(credential, sender)
            event = SingleEvent(body.data)
        else:
            principal = yield from self._authorization.authorize_tracking(credential, sender)
        (result,) = yield from self._track(event, principal, sender, body)
        return result

    def track_bodies(self, bodies: Sequence[bytes], sender: Sender = HOST) -> Steps[list[TrackResult]]:
        """Track events of the host application's own code or of an import, one per body; return the result of each, in order."""
        principal = yield from self._authorization.authorize_tracking(None, sender)
        return (yield from self._track(LooseEvents(bodies), principal, sender, HeldBody()))

    def _track(self, events: Events, principal: Principal, sender: Sender, body: HeldBody) -> Steps[list[TrackResult]]:
        results, new_events = yield from self._check_all(events, principal, sender)
        # A commit can take seconds. Meanwhile only the events to store are held, which the queue limits.
        events.let_go()
        body.let_go()
        if not new_events:
            return [result for result in results if result is not None]
        hides = self._hides_known_addresses and principal.scope is Scope.INGEST and principal.origins is not None
        stored = iter((yield from self._commit(new_events, hides)))
        return [next(stored) if result is None else result for result in results]

    def _check_all(
        self, events: Events, principal: Principal, sender: Sender
    ) -> Steps[tuple[list[TrackResult | None], list[NewEvent]]]:
        """Check events; return the result of each, None for those to store, and the events to store."""
        results: list[TrackResult | None] = []
        new_events: list[NewEvent] = []
        lists: dict[int, _List] = {}
        accept, received_at = self._contract.accept, int(self._clock() * 1e6)
        build = self._choose_build(sender)
        pauses_at = time.monotonic() + SLICE_S
        # The traits of an imported binding may replace those of an earlier one.
        arrivals = count(received_at, 1 if sender.imports else 0)
        for number, (members, size, at) in enumerate(zip(events.members, events.sizes, arrivals, strict=False)):
            try:
                request = accept(members, events.list_id, at, own_clock=sender.trusted)
                known = None if request is None else lists.get(request.list_id)
                if request is None or known is None or known.account is None or not known.is_plain or request.is_own_traffic:
                    if number and not sender.trusted and time.monotonic() >= pauses_at:
                        yield OTHERS_FIRST
                        pauses_at = time.monotonic() + SLICE_S
                    event = yield from self._check(events, number, size, request, lists, principal, sender)
                else:  # fast path for most events of a batch: no steps
                    event = build(request, known.account, size, known.rules, None, None)
            except RequestRefused as refused:
                results.append(refused.with_traceback(None))  # its frames hold what was decoded
                continue
            except Exception:
                results.append(self._report_failure())
                continue
            if isinstance(event, NewEvent):
                new_events.append(event)
                results.append(None)
            else:
                results.append(event)
        return results, new_events

    def _check(
        self,
        events: Events,
        number: int,
        size: int,
        request: EventRequest | None,
        lists: dict[int, _List],
        principal: Principal,
        sender: Sender,
    ) -> Steps[Tracked | NewEvent]:
        """Check one event: the slow path for events that the fast check declined, whose list is new, or that policies may change.

        Raises:
            RequestRefused: with every failure of the event.
        """
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
            known = lists[list_id] = yield from self._look_up(list_id, principal, sender)
        assert known is not None
        if known.refused is not None:
            raise known.refused
        if known.account is None:
            failures.append(self._contract.unknown_list)
        if request is None or known.account is None:
            raise InvalidRequest(422, failures)
        dropped = False
        if self._policies is not None:
            request, size, dropped = yield from self._policies.apply(request, sender, size)
        bot = find_bot(sender, own=True, from_a_page=False) if request.is_own_traffic else known.bot
        why = DROPPED_BY_HOST if dropped else None
        return self._choose_build(sender)(request, known.account, size, known.rules, bot, known.address, why)

    def _choose_build(self, sender: Sender) -> Callable[..., Tracked | NewEvent]:
        """Return the function that builds this sender's events."""
        if not sender.trusted:
            return self._build
        return partial(self._build, reads_automatic=True, automatic=None if sender.imports else False)

    def _look_up(self, list_id: int, principal: Principal, sender: Sender) -> Steps[_List]:
        try:
            account = yield from self._authorization.find_account(principal, list_id)
        except RequestRefused as refused:
            return _List(refused=refused)
        except Exception:  # the host's own code fails over this list; events of others are stored
            return _List(refused=self._report_failure())
        if account is None:
            return _NO_LIST
        address = None if self._addresses is None else (yield from self._addresses.reduce(sender.address))
        bot = find_bot(sender, own=False, from_a_page=sender.origin is not None)
        rules = self._directory.rules_of(list_id)
        return _List(account, rules, bot, address, is_plain=bot is None and address is None and self._policies is None)

    def _report_failure(self) -> RequestRefused:
        """Log the current exception, at most every LOG_EVERY_S seconds, and return the refusal of the event that caused it."""
        self._unlogged += 1
        if (now := time.monotonic()) >= self._log_at:
            self._log_at = now + LOG_EVERY_S
            logger.exception("%d events failed with an unexpected exception and are refused; the last one", self._unlogged)
            self._unlogged = 0
        return _unexpected_error()

    def _commit(self, events: list[NewEvent], hides: bool) -> Steps[list[TrackResult]]:
        pending = self._store.submit(events)
        try:
            outcomes: Sequence[Outcome] = yield pending
        except RequestRefused as refused:
            return [refused] * len(events)
        return [_build_result(event, outcome, hides) for event, outcome in zip(events, outcomes, strict=True)]


_NO_LIST = _List()


def _build_result(event: NewEvent, outcome: Outcome, hides: bool) -> TrackResult:
    """Build the result for the sender from an event's outcome in the store.

    Args:
        event: the event.
        outcome: its outcome.
        hides: whether the sender must not learn that an address is known.
    """
    if isinstance(outcome, Receipt):
        return Tracked(
            outcome.visitor,
            outcome.external_id,
            outcome.identify_event_sent or (hides and event.email is not None and event.dropped is None),
            outcome.event_id,
            outcome.duplicate,
            event.dropped is not None,
            event.dropped,
        )
    if isinstance(outcome, RequestRefused):
        return outcome
    return _unexpected_error()


def _unexpected_error() -> RequestRefused:
    status, failure = common_error(100005)
    return RequestRefused(status, [failure])
