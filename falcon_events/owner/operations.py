"""What a client may ask the owner for, by name; everything that the command line and the Python API can do to a store."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any, Protocol, get_type_hints

import msgspec

from falcon_events.errors import EventsError
from falcon_events.model.access import Changes
from falcon_events.model.persons import Erased, Visitor
from falcon_events.model.reports import Check, Metrics, OwnerState, Recount, Selection, Sizes, Stats, Table
from falcon_events.model.webhooks import Delivery, Webhook, WebhookState
from falcon_events.owner.rate_limits import Limits
from falcon_events.owner.salts import Salts
from falcon_events.store.queries import access_rows as rows
from falcon_events.store.store import Store
from falcon_events.webhooks.validation import check_installed, new_secret

READS = ("accounts", "lists", "keys", "rules", "load", "account_id")
"""Operations of store/directory.py that change nothing."""
CHANGES: dict[str, Callable[[list[Any], Any], Changes | None]] = {
    "add_account": lambda given, result: None,
    "add_list": lambda given, list_id: Changes(lists=[(list_id, given[1])]),
    "rename_list": lambda given, result: None,
    "set_rules": lambda given, result: Changes(rules=[given[0]]),
    "add_key": lambda given, result: Changes(keys=[given[1]]),
    "revoke_key": lambda given, key_hash: Changes(gone_keys=[key_hash]),
    "add_session": lambda given, result: Changes(sessions=[(given[0], given[1], given[3])]),
    "revoke_session": lambda given, result: Changes(gone_sessions=[given[0]]),
}
"""Operations of store/directory.py that change something: what every client has to know, from the arguments and the result."""


class People(Protocol):
    """Those that use the store."""

    def state(self) -> OwnerState:
        """Who holds the store, and for whom."""

    def metrics(self) -> Metrics:
        """What they have to tell a monitoring system."""


class Operations:
    """The named operations on a store.

    Args:
        store: the open store.
        changed: tells every client of a changed directory, and returns when they know.
        people: tells who holds the store, and for whom.
    """

    def __init__(self, store: Store, changed: Callable[[Changes], None], people: People) -> None:
        self._store = store
        self._people = people
        self._limits = Limits()
        self._salts = Salts()
        self._changed = changed

    def start(self, name: str, arguments: list[Any]) -> Future[Any]:
        """Starts an operation.

        Raises:
            EventsError: there is none of this name, or the arguments are not its own.
        """
        if name in READS or name in CHANGES:
            task = getattr(rows, name)
            given = _converted(task, arguments, skip=1)
            if name in READS:
                return self._store.run(lambda connection: task(connection, *given))
            return self._store.aside(lambda: self._change(name, task, given))
        if name.startswith("_") or name == "start" or not hasattr(self, name):
            raise EventsError(f"The store's owner knows no operation {name!r}; is it of another release?")
        method = getattr(self, name)
        result: Future[Any] = method(*_converted(getattr(type(self), name), arguments, skip=1))
        return result

    def properties(self, list_id: int) -> Future[dict[str, list[str]]]:
        """The property names of a list by event type."""
        return self._store.properties(list_id)

    def recount(self, list_id: int) -> Future[Recount]:
        """The same counted afresh."""
        return self._store.recount(list_id)

    def stats(self) -> Future[Stats]:
        """What the store holds."""
        return self._store.stats()

    def export(self, selection: Selection, target: str, form: str) -> Future[int]:
        """Writes events to a file."""
        return self._store.export(selection, Path(target), form)

    def personal_data(self, visitor: Visitor) -> Future[bytes]:
        """All that is stored of a person, as PersonalData in JSON."""
        return self._store.personal_data(visitor)

    def latest(self, list_id: int, after_seq: int, most: int) -> Future[bytes]:
        """A list's last events, as an array of [seq, StoredEvent] in JSON."""
        return self._store.latest(list_id, after_seq, most)

    def erase(self, visitor: Visitor) -> Future[Erased]:
        """Removes a person from a list."""
        return self._store.erase(visitor)

    def sql(self, query: str) -> Future[Table]:
        """The rows of one statement that only looks."""
        return self._store.sql(query)

    def backup(self, target: str) -> Future[int]:
        """Writes a copy of the store."""
        return self._store.backup(Path(target))

    def compact(self) -> Future[Sizes]:
        """Writes the file anew, without what was deleted."""
        return self._store.compact()

    def check(self) -> Future[list[Check]]:
        """What is right and wrong with the store."""
        return self._store.check()

    def set_webhook(
        self, url: str, secret: str | None, list_ids: list[int] | None, events: list[str] | None, from_start: bool
    ) -> Future[Webhook]:
        """Adds a webhook, or changes the one of this URL."""
        check_installed()
        return self._store.outbox.set_webhook(url, secret, new_secret(), list_ids, events, from_start=from_start)

    def remove_webhook(self, url: str) -> Future[int]:
        """Removes a webhook; how many deliveries were given up with it."""
        return self._store.outbox.remove(url)

    def webhooks(self) -> Future[list[WebhookState]]:
        """Every webhook and how it does."""
        return self._store.outbox.states()

    def deliveries(self, url: str | None, state: str | None, most: int) -> Future[list[Delivery]]:
        """Deliveries that wait or have failed."""
        return self._store.outbox.listed(url, state, most)

    def retry_deliveries(self, event_id: str | None, url: str | None) -> Future[int]:
        """Has deliveries tried again now; how many."""
        return self._store.outbox.retry(event_id, url)

    def owner(self) -> Future[OwnerState]:
        """Which process holds the file, and for whom."""
        return _done(self._people.state())

    def metrics(self) -> Future[Metrics]:
        """What a monitoring system wants to know."""
        return _done(self._people.metrics())

    def hit(self, kind: str, who: str, per_minute: int) -> Future[int]:
        """Counts a request against a rate limit; after how many seconds the next one may be, 0 where this one may."""
        return _done(self._limits.hit(kind, who, per_minute))

    def salt(self, day: int) -> Future[bytes]:
        """The salt under which clients' addresses of a day are hashed."""
        return _done(self._salts.of(day))

    def health(self) -> Future[str | None]:
        """Why the store takes no events at present."""
        return _done(self._store.health())

    def delete_list(self, list_id: int) -> Future[Any]:
        """Deletes a list with everything that belongs to it."""
        return self._store.aside(lambda: self._delete_list(list_id))

    def _delete_list(self, list_id: int) -> None:
        self._store.delete_list(list_id).result()
        self._changed(Changes(gone_lists=[list_id]))
        self._store.purge_list(list_id).result()  # what came in before every client knew

    def _change(self, name: str, task: Callable[..., Any], given: list[Any]) -> Any:
        result = self._store.run(lambda connection: task(connection, *given)).result()
        if (changes := CHANGES[name](given, result)) is not None:
            self._changed(changes)
        return result


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


@cache
def _kinds(function: Callable[..., Any], skip: int) -> tuple[Any, ...]:
    hints = get_type_hints(function)
    return tuple(hints[name] for name in list(inspect.signature(function).parameters)[skip:])


def _converted(function: Callable[..., Any], arguments: list[Any], skip: int) -> list[Any]:
    """The arguments in the types that the function wants."""
    kinds = _kinds(function, skip)
    if len(arguments) != len(kinds):
        raise EventsError("The store's owner was asked with other arguments than it knows; is it of another release?")
    try:
        return [msgspec.convert(argument, kind) for argument, kind in zip(arguments, kinds, strict=True)]
    except msgspec.ValidationError as error:
        raise EventsError(f"The store's owner was asked for something odd: {error}") from error
