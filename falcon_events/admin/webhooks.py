"""Webhooks and deliveries, as an application that embeds a tracker manages them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, get_args
from uuid import UUID

from falcon_events.errors import EventsError, NotFound
from falcon_events.link.link import Link
from falcon_events.model import operations
from falcon_events.model.webhooks import STATES, Delivery, Webhook, WebhookState
from falcon_events.webhooks import validation

Since = Literal["now", "start"]


class Webhooks:
    """The webhooks of a store; `tracking.webhooks` is one.

    The calls wait for the store's answer; from a coroutine, make them in a thread.

    Args:
        store: the link to the store.
        list_may_exist: tells whether there may be a list of an id.
    """

    def __init__(self, store: Link, list_may_exist: Callable[[int], bool]) -> None:
        self._store = store
        self._list_may_exist = list_may_exist

    def deliver(
        self,
        url: str,
        *,
        secret: str | None = None,
        lists: Iterable[int] | None = None,
        events: Iterable[str] | None = None,
        since: Since = "now",
    ) -> Webhook:
        """Has committed events posted to a URL, signed by the Standard Webhooks scheme (docs/webhooks.md), from now on.

        It is kept in the store, so that it needs to be said once; saying it at every start of an application changes nothing.
        Said with other arguments, it changes the webhook of this URL. Needs the extra `deliver`.

        Args:
            url: where to; https or http, without credentials.
            secret: `whsec_` and the base64 of 24 to 64 bytes; None for the one that the webhook has, and for a new webhook a
                random one. The one that it replaces signs beside it for 24 hours.
            lists: the ids of the lists whose events are delivered; None for all.
            events: the event types that are delivered; None for all.
            since: for a new webhook, `now`, or `start` to have the events delivered that are stored already.

        Returns:
            The webhook, with its secret.

        Raises:
            NotFound: there is no such list; not where lists are the host application's own.
            EventsError: an argument is not as described, or the extra is missing.
        """
        if since not in get_args(Since):
            raise EventsError(f"since={since!r}: 'now' or 'start' is needed.")
        secret = None if secret is None else validation.check_secret(secret)
        list_ids = validation.check_lists(lists)
        arguments = (validation.check_url(url), secret, list_ids, validation.check_events(events), since == "start")
        for list_id in list_ids or ():
            if not self._list_may_exist(list_id):
                raise NotFound(f"lists={list_ids!r}: there is no list {list_id}.")
        return self._store.ask(operations.SET_WEBHOOK, *arguments).result()

    def states(self) -> list[WebhookState]:
        """Every webhook and how it does; without the secrets."""
        return self._store.ask(operations.WEBHOOKS).result()

    def deliveries(self, *, url: str | None = None, state: str | None = None, most: int = 1000) -> list[Delivery]:
        """The events that could not be delivered yet, or wait behind such a one; by webhook, in order of arrival.

        Args:
            url: one webhook's only.
            state: only those that are `waiting` to be tried again, `blocked` by an earlier one of their visitor, or `failed`.
            most: how many at the most.

        Raises:
            NotFound: there is no webhook of this URL.
            EventsError: there is no such state, or an argument is not as described.
        """
        if state is not None and state not in STATES:
            raise EventsError(f"state={state!r}: one of {', '.join(STATES)} is needed.")
        url = None if url is None else validation.check_known_url(url)
        return self._store.ask(operations.DELIVERIES, url, state, validation.check_most(most)).result()

    def retry(self, event_id: str | None = None, *, url: str | None = None) -> int:
        """Has deliveries tried again now, as if for the first time; their webhooks too, where these are paused or disabled.

        Args:
            event_id: one event's, with the earlier ones of its visitor that it waits for; None for all that wait or have failed.
            url: one webhook's only.

        Returns:
            How many deliveries.

        Raises:
            NotFound: there is no webhook of this URL, or no such delivery.
            EventsError: an argument is not as described.
        """
        if event_id is not None:
            try:
                event_id = str(UUID(str(event_id)))
            except ValueError:
                raise EventsError(f"event_id={event_id!r}: the UUID of an event is needed.") from None
        url = None if url is None else validation.check_known_url(url)
        return self._store.ask(operations.RETRY_DELIVERIES, event_id, url).result()

    def remove(self, url: str) -> int:
        """Removes a webhook with the deliveries that wait or have failed, and gives how many these were.

        Raises:
            NotFound: there is no webhook of this URL.
        """
        return self._store.ask(operations.REMOVE_WEBHOOK, validation.check_known_url(url)).result()
