"""The pipeline that every request takes: read, authenticate, check, store, reply. No HTTP server, no database."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Access
from falcon_events.contract.body import Params, read_body
from falcon_events.contract.event import EventContract
from falcon_events.contract.properties import check_properties_request, list_not_found
from falcon_events.contract.replies import (
    Reply,
    Tracked,
    answer_reply,
    common_reply,
    event_reply,
    events_reply,
    properties_reply,
    refusal_reply,
)
from falcon_events.errors import RequestRefused
from falcon_events.hooks.before import BeforeHook, BeforeStore
from falcon_events.ingest.authorization import Authorization, read_credential
from falcon_events.ingest.batch import BatchTracker, TrackResult
from falcon_events.ingest.bodies import SMALL_BATCH_BYTES, HeldBody, Turns
from falcon_events.ingest.client_address import ClientAddresses
from falcon_events.ingest.new_event import EventBuilder
from falcon_events.ingest.policies import Policies
from falcon_events.ingest.question_calls import AsyncLocalCalls, LocalCalls
from falcon_events.ingest.questions import Questions
from falcon_events.link.link import Link
from falcon_events.model.operations import PROPERTIES
from falcon_events.model.sender import IMPORT, Sender
from falcon_events.runtime.steps import Steps, Waiter
from falcon_events.settings import Settings

if TYPE_CHECKING:
    from falcon_events.plan.plan import Plan

logger = logging.getLogger(__name__)


class Pipeline:
    """Handles requests and builds the replies.

    Args:
        store: the link to the store.
        directory: the store's own accounts and lists.
        access: the host application's accounts and lists, which replace the directory's; None: the directory.
        settings: which rules do not apply, what is stored of client addresses, and the rate limits.
        clock: returns the current time in seconds since 1970.
        before_store: the host's hooks.
        plan: the host's tracking plan.
        get_waiter: returns what runs the steps of calls of the Python API.
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
        get_waiter: Callable[[], Waiter] = Waiter,
    ) -> None:
        self._store = store
        self.authorization = Authorization(store, directory, access, settings)
        self.questions = Questions(store, directory, self.authorization, clock)
        """Questions about stored events, with the parameters of HTTP."""
        self.calls = LocalCalls(self.questions, get_waiter)
        """The Python API's questions about stored events."""
        self.async_calls = AsyncLocalCalls(self.questions, get_waiter)
        """The same for coroutines."""
        self._builder = EventBuilder(store)
        self._turns = Turns()
        contract = EventContract(anonymous_events=settings.anonymous_events, clock=clock)
        addresses = ClientAddresses(store, settings.client_address, clock) if settings.client_address != "none" else None
        policies = None
        if before_store or plan is not None:
            hooks = BeforeStore(before_store, contract, self._get_counter) if before_store else None
            policies = Policies(hooks, plan, self._get_counter)
        self._batches = BatchTracker(
            store,
            self.authorization,
            directory,
            addresses,
            contract,
            self._builder,
            clock,
            policies,
            hides_known_addresses=settings.hide_known_addresses,
        )

    def _get_counter(self) -> Counter[str]:
        """Return this process's counter of what is counted by name. A forked child has its own."""
        return self._store.counts.named_counts

    def reset_after_fork(self) -> None:
        """Reset what a forked child must not share with its parent."""
        self.authorization.reset_after_fork()
        self._turns.reset_after_fork()
        self._builder.reset_after_fork()

    def event_reply(self, body: bytes | HeldBody, sender: Sender) -> Steps[Reply]:
        """Handle POST /api/v1/event; never raise.

        Args:
            body: the request's body. A HeldBody is let go before the event waits for its commit.
            sender: the sender of the request.
        """
        try:
            return event_reply((yield from self.track(body, sender)))
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.counts.refused[100005] += 1
            return _log_exception()

    def events_reply(self, body: bytes | HeldBody, sender: Sender) -> Steps[Reply]:
        """Handle POST /api/v1/events; never raise."""
        try:
            body = _hold(body)
            results = yield from self._turns.take(body, self._batches.track_envelope(body, sender), SMALL_BATCH_BYTES)
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.counts.refused[100005] += 1
            return _log_exception()
        for result in results:
            if isinstance(result, RequestRefused):
                self._store.counts.refused.update(result.codes)
        return events_reply(results)

    def properties_reply(self, body: bytes | HeldBody, sender: Sender) -> Steps[Reply]:
        """Handle POST /api/v1/website_events.properties; never raise."""
        body = _hold(body)
        return (yield from self._turns.take(body, self._properties_reply(lambda: _read_question(body), sender)))

    def properties_query_reply(self, list_id: str | None, sender: Sender) -> Steps[Reply]:
        """Handle GET /api/v1/website_events.properties?ListID=...; never raise."""
        return (yield from self._properties_reply(lambda: {} if list_id is None else {"ListID": list_id}, sender))

    def question_reply(self, name: str, body: bytes | HeldBody, sender: Sender) -> Steps[Reply]:
        """Handle POST /api/v1/website_events.NAME for a name of QUESTION_NAMES; never raise."""
        body = _hold(body)
        return (yield from self._turns.take(body, self._question_reply(name, body, sender)))

    def track(self, body: bytes | HeldBody, sender: Sender) -> Steps[Tracked]:
        """Check and store the event in a request's body.

        Args:
            body: the request's body. A HeldBody is let go before the event waits for its commit.
            sender: the sender of the request.

        Raises:
            RequestRefused: with the documented codes; nothing was stored.
        """
        body = _hold(body)
        result = yield from self._turns.take(body, self._batches.track_event(body, sender))
        if isinstance(result, RequestRefused):
            raise result
        return result

    def import_bodies(self, bodies: Sequence[bytes]) -> Steps[list[TrackResult]]:
        """Store exported events, one per body; return the result of each, in order."""
        return self._batches.track_bodies(bodies, IMPORT)

    def track_bodies(self, bodies: Sequence[bytes]) -> Steps[list[TrackResult]]:
        """Check and store events of the host application's own code, one per body; return the result of each, in order."""
        return self._batches.track_bodies(bodies)

    def properties(self, params: Params, sender: Sender) -> Steps[tuple[int, dict[str, list[str]]]]:
        """Return a list's ID and its property names by event type.

        Raises:
            RequestRefused: with the documented codes.
        """
        principal = yield from self.authorization.authorize_reading(read_credential(params, sender.bearer), sender)
        list_id = check_properties_request(params)
        if (yield from self.authorization.find_account(principal, list_id)) is None:
            raise list_not_found()
        names = yield self._store.ask(PROPERTIES, list_id)
        return list_id, names

    def refusal(self, refused: RequestRefused) -> Reply:
        """Count a refused request and build the reply to it."""
        self._store.counts.refused.update(refused.codes)
        return refusal_reply(refused)

    def _question_reply(self, name: str, body: HeldBody, sender: Sender) -> Steps[Reply]:
        try:
            return answer_reply((yield from self.questions.ask_with_body(name, body, sender)))
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.counts.refused[100005] += 1
            return _log_exception()

    def _properties_reply(self, read: Callable[[], Params], sender: Sender) -> Steps[Reply]:
        try:
            return properties_reply(*(yield from self.properties(read(), sender)))
        except RequestRefused as refused:
            return self.refusal(refused)
        except Exception:
            self._store.counts.refused[100005] += 1
            return _log_exception()


def _hold(body: bytes | HeldBody) -> HeldBody:
    return HeldBody(body) if isinstance(body, bytes) else body


def _read_question(body: HeldBody) -> Params:
    """Read the parameters of a property query, and let the body and all other members go."""
    read = read_body(body.data)
    body.let_go()
    return {name: read[name] for name in ("APIKey", "SessionID", "ListID") if name in read}


def _log_exception() -> Reply:
    logger.exception("A request failed with an unexpected exception")
    return common_reply(100005)
