"""Management of webhooks and deliveries by the application that embeds a tracker."""

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
    """The webhooks of a store, as `tracking.webhooks`.

    The calls wait for the result. From a coroutine, make them in a thread.

    Args:
        store: the link to the store.
        list_may_exist: returns whether a list with this ID may exist.
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
        """Post committed events to a URL from now on, signed by the Standard Webhooks scheme (docs/webhooks.md).

        The store keeps the webhook, so one call is enough. Calling this at every start of an application changes nothing. With
        other arguments, it changes the webhook of this URL. This needs the extra `deliver`.

        Args:
            url: the URL to post to: https or http, without credentials.
            secret: `whsec_` and the base64 of 24 to 64 bytes. None: the webhook's current secret; for a new webhook, a random
                one. A replaced secret signs beside the new one for 24 hours.
            lists: the IDs of the lists whose events are delivered; None: all.
            events: the event types that are delivered; None: all.
            since: for a new webhook: `now`, or `start` to deliver also the events that are stored already.

        Returns:
            The webhook, with its secret.

        Raises:
            NotFound: there is no such list. Not raised if the host application has its own lists.
            EventsError: an argument is not as described, or the extra is not installed.
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
        """Return every webhook and its state, without the secrets."""
        return self._store.ask(operations.WEBHOOKS).result()

    def deliveries(self, *, url: str | None = None, state: str | None = None, most: int = 1000) -> list[Delivery]:
        """Return events that could not be delivered yet, or wait behind one that could not; by webhook, in order of arrival.

        Args:
            url: return only this webhook's.
            state: return only those in this state: `waiting` to be tried again, `blocked` by an earlier one of their visitor,
                or `failed`.
            most: how many to return at most.

        Raises:
            NotFound: there is no webhook of this URL.
            EventsError: there is no such state, or an argument is not as described.
        """
        if state is not None and state not in STATES:
            raise EventsError(f"state={state!r}: one of {', '.join(STATES)} is needed.")
        url = None if url is None else validation.check_known_url(url)
        return self._store.ask(operations.DELIVERIES, url, state, validation.check_most(most)).result()

    def retry(self, event_id: str | None = None, *, url: str | None = None) -> int:
        """Try deliveries again now, as if for the first time. Their webhooks are resumed if they are paused or disabled.

        Args:
            event_id: retry only this event, and the earlier ones of its visitor that it waits for. None: all that wait or
                have failed.
            url: retry only this webhook's.

        Returns:
            How many deliveries are tried again.

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
        """Remove a webhook and its waiting and failed deliveries; return how many deliveries were removed.

        Raises:
            NotFound: there is no webhook of this URL.
        """
        return self._store.ask(operations.REMOVE_WEBHOOK, validation.check_known_url(url)).result()
