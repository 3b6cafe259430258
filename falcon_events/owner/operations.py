"""The owner's side of the operations: the function of the open store that carries out each of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Concatenate, Protocol

import msgspec

from falcon_events.access.protocol import Scope
from falcon_events.errors import EventsError
from falcon_events.model import operations
from falcon_events.model.access import Changes, Grant, SessionGrant
from falcon_events.model.operations import Operation, P, R
from falcon_events.model.reports import Metrics, OwnerState, Selection
from falcon_events.model.webhooks import Webhook
from falcon_events.owner.rate_limits import RateLimiter
from falcon_events.owner.salts import DailySalts
from falcon_events.store.queries import access_rows as rows, board_rows
from falcon_events.store.store import Store
from falcon_events.webhooks.validation import check_installed, generate_secret


class StoreUsers(Protocol):
    """The processes that use the store."""

    def state(self) -> OwnerState:
        """Return which process holds the store, and which use it."""

    def metrics(self) -> Metrics:
        """Return what a monitoring system reads."""


class Operations:
    """Carries out operations on an open store.

    Args:
        store: the open store.
        send_changes: sends changes of the directory to every client, and returns when all clients use them.
        users: the processes that use the store.
    """

    def __init__(self, store: Store, send_changes: Callable[[Changes], None], users: StoreUsers) -> None:
        self._store = store
        self._send_changes = send_changes
        self._handlers: dict[str, Callable[..., Future[Any]]] = {}
        limits, salts, outbox = RateLimiter(), DailySalts(), store.outbox
        handle, read, change = self._handle, self._handle_read, self._handle_change

        self._properties = store.properties
        handle(operations.COUNT_REQUEST, lambda kind, who, per_minute: _wrap_result(limits.hit(kind, who, per_minute)))
        handle(operations.SALT, lambda day: _wrap_result(salts.get(day)))
        handle(operations.QUERY, store.questions.query)
        handle(operations.CHANGE_SAVED, store.questions.change_saved)
        handle(operations.HEALTH, lambda: _wrap_result(store.health()))

        read(operations.ACCOUNTS, rows.accounts)
        read(operations.ACCOUNT_ID, rows.account_id)
        read(operations.LISTS, rows.lists)
        read(operations.RULES, rows.rules)
        read(operations.KEYS, rows.keys)
        change(operations.ADD_ACCOUNT, rows.add_account, lambda given, result: None)
        change(operations.ADD_LIST, rows.add_list, lambda given, list_id: Changes(lists=[(list_id, given[1])]))
        change(operations.RENAME_LIST, rows.rename_list, lambda given, result: None)
        change(operations.SET_RULES, rows.set_rules, lambda given, result: Changes(rules=[given[0]]))
        change(operations.ADD_KEY, rows.add_key, lambda given, result: Changes(keys=[given[1]]))
        change(operations.REVOKE_KEY, rows.revoke_key, lambda given, key_hash: Changes(gone_keys=[key_hash]))
        change(
            operations.ADD_SESSION,
            rows.add_session,
            lambda given, result: Changes(sessions=[SessionGrant(given[0], given[1], given[3])]),
        )
        change(operations.SIGN_IN, rows.sign_in, _list_signed_in)
        change(
            operations.RENEW_SESSION,
            rows.renew_session,
            lambda given, result: Changes(renewed_sessions=[(given[0], given[2])]),
        )
        change(operations.REVOKE_SESSION, rows.revoke_session, lambda given, result: Changes(gone_sessions=[given[0]]))
        handle(operations.DELETE_LIST, self._delete_list)

        handle(operations.VIEWS, lambda list_id: store.look(lambda connection: board_rows.views(connection, list_id)))
        handle(operations.SHARES, lambda list_id: store.look(lambda connection: board_rows.shares(connection, list_id)))
        handle(
            operations.FIND_SHARE,
            lambda secret_hash: store.look(lambda connection: board_rows.find_share(connection, secret_hash)),
        )
        change(operations.SAVE_VIEW, board_rows.save_view, lambda given, result: None)
        change(operations.REMOVE_VIEW, board_rows.remove_view, lambda given, result: None)
        change(operations.ADD_SHARE, board_rows.add_share, lambda given, result: None)
        change(operations.REVOKE_SHARE, board_rows.revoke_share, lambda given, result: None)

        handle(operations.OBSERVED_PROPERTIES, store.observed_properties)
        handle(operations.SEEN_EVENTS, store.seen_events)
        handle(operations.SEEN_PROPERTIES, store.seen_properties)
        handle(operations.RECOUNT, store.recount)
        handle(operations.STATS, store.stats)
        handle(operations.EXPORT, self._export)
        handle(operations.PERSONAL_DATA, store.personal_data)
        handle(operations.LATEST, store.latest)
        handle(operations.ERASE, store.erase)
        handle(operations.SQL, store.sql)
        handle(operations.SQL_ARROW, store.sql_arrow)
        handle(operations.BACKUP, lambda target: store.backup(Path(target)))
        handle(operations.COMPACT, store.compact)
        handle(operations.PRUNE, store.prune)
        handle(operations.CHECK, store.check)
        handle(operations.REBUILD_COLUMNS, store.questions.rebuild_columns)
        handle(operations.METRICS, lambda: _wrap_result(users.metrics()))
        handle(operations.OWNER, lambda: _wrap_result(users.state()))

        handle(operations.SET_WEBHOOK, self._set_webhook)
        handle(operations.REMOVE_WEBHOOK, outbox.remove)
        handle(operations.WEBHOOKS, outbox.states)
        handle(operations.DELIVERIES, outbox.list_deliveries)
        handle(operations.RETRY_DELIVERIES, outbox.retry)

    def start(self, name: str, arguments: list[Any], until: float | None = None) -> Future[Any]:
        """Start an operation.

        Args:
            name: the name of the operation.
            arguments: the arguments as received from the link.
            until: until when the result is of use, by time.monotonic(); None: for ever.

        Raises:
            EventsError: there is no such operation, or these are not its arguments.
        """
        operation = operations.OPERATIONS.get(name)
        if operation is None:
            raise EventsError(f"The store's owner has no operation {name!r}. Restart all processes on one release.")
        converted = _convert(operation, arguments)
        if operation is operations.PROPERTIES:
            return self._properties(converted[0], until)
        return self._handlers[name](*converted)

    def _handle(self, operation: Operation[P, R], handler: Callable[P, Future[R]]) -> None:
        self._handlers[operation.name] = handler

    def _handle_read(self, operation: Operation[P, R], read: Callable[Concatenate[Any, P], R]) -> None:
        """Handle an operation by reading rows of the access tables."""

        def handler(*given: P.args, **named: P.kwargs) -> Future[R]:
            return self._store.run(lambda connection: read(connection, *given, **named))

        self._handle(operation, handler)

    def _handle_change(
        self,
        operation: Operation[P, R],
        write: Callable[Concatenate[Any, P], R],
        list_changes: Callable[[tuple[Any, ...], R], Changes | None],
    ) -> None:
        """Handle an operation by changing rows of the access tables. Each client receives what `list_changes` returns."""

        def handler(*given: P.args, **named: P.kwargs) -> Future[R]:
            def write_and_notify() -> R:
                result: R = self._store.run(lambda connection: write(connection, *given, **named)).result()
                if (changes := list_changes(given, result)) is not None:
                    self._send_changes(changes)
                return result

            return self._store.run_in_thread(write_and_notify)

        self._handle(operation, handler)

    def _export(self, selection: Selection, target: str, form: str) -> Future[int]:
        return self._store.export(selection, Path(target), form)

    def _set_webhook(
        self, url: str, secret: str | None, list_ids: list[int] | None, events: list[str] | None, from_start: bool
    ) -> Future[Webhook]:
        check_installed()
        return self._store.outbox.set_webhook(url, secret, generate_secret(), list_ids, events, from_start=from_start)

    def _delete_list(self, list_id: int) -> Future[None]:
        def delete() -> None:
            self._store.delete_list(list_id).result()
            self._send_changes(Changes(gone_lists=[list_id]))
            self._store.purge_list(list_id).result()  # events that arrived before all clients knew

        return self._store.run_in_thread(delete)


def _list_signed_in(given: tuple[Any, ...], grant: Grant | None) -> Changes | None:
    """Return the session that signing in with a key has made, if the key is valid and may read."""
    if grant is None or not Scope(grant.scope).may_read:
        return None
    session_hash, key_hash, _, expires = given
    return Changes(sessions=[SessionGrant(session_hash, grant.account, expires, key_hash)])


def _wrap_result(value: R) -> Future[R]:
    future: Future[R] = Future()
    future.set_result(value)
    return future


def _convert(operation: Operation[..., Any], arguments: list[Any]) -> list[Any]:
    """Convert the arguments to the types of the operation."""
    kinds = operation.arguments
    if len(arguments) != len(kinds):
        text = f"Operation {operation.name!r} takes {len(kinds)} arguments, not {len(arguments)}."
        raise EventsError(f"{text} Restart all processes on one release.")
    try:
        return [msgspec.convert(argument, kind) for argument, kind in zip(arguments, kinds, strict=True)]
    except msgspec.ValidationError as error:
        raise EventsError(f"Operation {operation.name!r} got an invalid argument: {error}.") from error
