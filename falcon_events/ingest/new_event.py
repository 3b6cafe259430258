"""Building the event to store from a checked request. Everything that needs no database is decided here."""

from __future__ import annotations

import msgspec

from falcon_events.contract.event import EventRequest
from falcon_events.contract.replies import Tracked
from falcon_events.ingest.policies import apply_rules
from falcon_events.link.link import Link
from falcon_events.model.access import ListRules
from falcon_events.model.events import NewEvent
from falcon_events.model.ids import RandomUUIDs, derive_uuid

DROPPED_AS_BOT, DROPPED_BY_HOST = "bot", "host"
"""Why an event is only counted: no visitor sent it, or a hook of the host application dropped it."""

_encode = msgspec.json.Encoder().encode


class EventBuilder:
    """Builds events to store from requests.

    Args:
        store: the link to the store, which has the secret that visitors' UUIDs are derived from.
    """

    def __init__(self, store: Link) -> None:
        self._store = store
        self._uuids = RandomUUIDs()

    def reset_after_fork(self) -> None:
        """Start a new sequence of UUIDs in a forked child."""
        self._uuids = RandomUUIDs()

    def build(
        self,
        request: EventRequest,
        account: str,
        size: int,
        rules: ListRules,
        bot: str | None,
        address: str | None,
        dropped: str | None = None,
        *,
        reads_automatic: bool = False,
        automatic: bool | None = False,
    ) -> Tracked | NewEvent:
        """Build the event to store, or the result of a request that is only checked (`isTest`).

        Args:
            request: the checked request.
            account: the account that the event belongs to.
            size: about how many bytes the event takes.
            rules: the list's rules.
            bot: why no visitor sent it; None: a visitor seems to have sent it.
            address: what to store of the client's address.
            dropped: why the event is only counted; None: it is stored, unless the list's rules drop it.
            reads_automatic: whether the sender may say that a store made the event beside another one.
            automatic: whether a store made it, where the sender does not say so. None: its neighbours in the store decide.
        """
        external_id = request.external_id or next(self._uuids)
        visitor = request.visitor or self._derive_visitor(request)
        own_id = None if request.event_id else next(self._uuids)
        if request.is_test:
            return Tracked(
                visitor, external_id, False, request.event_id or own_id or "", dropped=dropped is not None, dropped_by=dropped
            )
        properties, traits = apply_rules(request.properties, request.traits, rules, bot)
        return NewEvent(
            request.event_id,
            account,
            request.list_id,
            request.event,
            visitor,
            external_id,
            request.email,
            request.occurred_at,
            request.received_at,
            _encode(properties),
            _encode(traits) if traits else None,
            size,
            own_id,
            client_timestamp=request.client_timestamp,
            client_address=address,
            dropped=dropped or (DROPPED_AS_BOT if bot is not None and rules.bots == "drop" else None),
            automatic=request.automatic if reads_automatic and request.automatic is not None else automatic,
        )

    def _derive_visitor(self, request: EventRequest) -> str:
        namespace = self._store.uuid_namespace
        if request.external_id is not None:
            return derive_uuid(namespace, request.list_id, "id", request.external_id)
        if request.email is not None:
            return derive_uuid(namespace, request.list_id, "email", request.email.lower())
        return next(self._uuids)
