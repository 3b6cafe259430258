"""Directory: the accounts, lists, API keys and sessions of a store, which keeps only hashes of keys and session ids."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Protocol

from falcon_events.access.keys import NewKey, derive_page_key, generate_key, hash_secret
from falcon_events.access.origins import matches_origin, merge_origins, normalize_origin
from falcon_events.access.protocol import Credential, Principal, Scope
from falcon_events.access.sessions import KnownSessions, check_ttl
from falcon_events.access.validation import build_rules, check_name, explain_missing_list
from falcon_events.contract.schemas import common_error
from falcon_events.errors import AlreadyExists, EventsError, NotAllowed, NotAuthenticated, NotFound
from falcon_events.model import operations
from falcon_events.model.access import Account, Changes, EventList, Grant, Key, ListRules, Snapshot
from falcon_events.model.operations import Operation, P, R

MAX_LIST_ID = 2**63 - 1
DEFAULT_TTL_S = 86400
"""How long a session lasts if nobody says otherwise, in seconds."""
FIRST_ACCOUNT = "default"
"""The account that a list is created for if nobody names another."""


class DirectoryStore(Protocol):
    """Store that keeps accounts, lists, keys and sessions."""

    uuid_namespace: bytes
    """The store's secret bytes. Empty until the store is open."""

    def ask(self, operation: Operation[P, R], *arguments: P.args, **_: P.kwargs) -> Future[R]:
        """Ask for an operation."""

    def watch_directory(self, listener: Callable[[Snapshot | Changes], object]) -> None:
        """Have a function called with the directory, and with every change of it."""


class Directory:
    """Accounts, lists, API keys and sessions of a store, with a copy in memory that answers the checks of each request.

    Methods that change something wait for the store's commit. Call them in a thread if the caller is a coroutine.

    Args:
        store: the store.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(self, store: DirectoryStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._keys: dict[bytes, Principal] = {}
        self._known_keys: dict[str, Principal] = {}
        """Keys that have been used since the last change. They need not be hashed again."""
        self._sessions = KnownSessions(clock)
        self._lists: dict[int, str] = {}
        self._rules: dict[int, ListRules] = {}
        self._origins: frozenset[str] | None = frozenset()
        store.watch_directory(self._update)

    def _update(self, news: Snapshot | Changes) -> None:
        """Update the copy in memory."""
        self._apply(news)
        self._known_keys = {}  # a new dict, set last: a concurrent identify() may still write an outdated key to the old one

    def _apply(self, news: Snapshot | Changes) -> None:
        keys = {grant.key_hash: _build_principal(grant) for grant in news.keys}
        rules = {rules.list_id: rules for rules in news.rules}
        if isinstance(news, Snapshot):
            self._keys, self._lists, self._rules = keys, dict(news.lists), rules
            self._sessions.replace(news.sessions)
            self._origins = merge_origins(keys.values())
            return
        self._keys.update(keys)
        self._sessions.apply(news)
        self._lists.update(news.lists)
        self._rules.update(rules)
        for gone in news.gone_keys:
            self._keys.pop(gone, None)
        for list_id in news.gone_lists:
            self._lists.pop(list_id, None)
            self._rules.pop(list_id, None)
        if news.keys or news.gone_keys:
            self._origins = merge_origins(self._keys.values())

    def identify(self, credential: Credential) -> Principal | None:
        """Return the account that a key or session belongs to, and its rights, or None if it is unknown, revoked or expired."""
        if credential.kind == "api_key":
            known_keys = self._known_keys
            if (known := known_keys.get(credential.secret)) is None and (
                known := self._keys.get(hash_secret(credential.secret))
            ) is not None:
                known_keys[credential.secret] = known
            return known
        return self._sessions.identify(credential.secret, self._keys)

    def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the list exists and belongs to the account."""
        return self._lists.get(list_id) == account

    def owner_of(self, list_id: int) -> str | None:
        """Return the id of the account that owns the list, or None if there is no such list."""
        return self._lists.get(list_id)

    def find_owner(self, list_id: int) -> str | None:
        """Return the same as owner_of(), opening the store if necessary."""
        if self.owner_of(list_id) is None:
            self.lists()  # opens the store, which then updates this directory
        return self.owner_of(list_id)

    def rules_of(self, list_id: int) -> ListRules:
        """Return the rules that are applied to the list's events before they are stored."""
        return self._rules.get(list_id) or ListRules(list_id)

    def allows_origin(self, origin: str) -> bool:
        """Whether any key for web pages may be used from this origin."""
        return self._origins is None or matches_origin(self._origins, origin)

    def create_account(self, name: str) -> Account:
        """Create an account.

        Args:
            name: the name of the account.

        Raises:
            AlreadyExists: the name is taken.
            EventsError: the name is empty or too long.
        """
        account = Account(str(uuid.uuid4()), check_name(name), self._now())
        self._ask(operations.ADD_ACCOUNT, account)
        return account

    def accounts(self) -> list[Account]:
        """Return every account, ordered by name."""
        return self._ask(operations.ACCOUNTS)

    def create_list(self, account: str, name: str, list_id: int | None = None) -> EventList:
        """Create a list.

        Args:
            account: the name of the account that owns the list.
            name: the name of the list.
            list_id: the id of the list. None: the next free one.

        Raises:
            NotFound: there is no such account.
            AlreadyExists: the id is taken.
            EventsError: the id or the name is invalid.
        """
        if list_id is not None and not 0 < list_id <= MAX_LIST_ID:
            raise EventsError(f"list id {list_id} must be a whole number from 1 to {MAX_LIST_ID}.")
        owner = self._ask(operations.ACCOUNT_ID, account)
        now = self._now()
        new_id = self._ask(operations.ADD_LIST, list_id, owner, check_name(name), now)
        return EventList(new_id, account, name, now)

    def ensure_list(self, list_id: int, name: str, account: str | None = None) -> EventList:
        """Return a list. If it does not exist, create it, and its account if necessary.

        Args:
            list_id: the id of the list.
            name: the name of a new list.
            account: the name of the account that owns the list; None: any account, and `default` for a new list.

        Raises:
            AlreadyExists: the list belongs to another account than the one given.
        """
        owner = account or FIRST_ACCOUNT
        if not any(found.list_id == list_id for found in self.lists()):
            for create in (partial(self.create_account, owner), partial(self.create_list, owner, name, list_id)):
                with suppress(AlreadyExists):  # another process was first
                    create()
        found = next(found for found in self.lists() if found.list_id == list_id)
        if account is not None and found.account != account:
            raise AlreadyExists(f"List {list_id} belongs to account {found.account!r}, not to {account!r}.")
        return found

    def lists(self) -> list[EventList]:
        """Return every list, ordered by id."""
        return self._ask(operations.LISTS)

    def rename_list(self, list_id: int, name: str) -> None:
        """Rename a list. Raises NotFound if there is no such list."""
        self._ask(operations.RENAME_LIST, list_id, check_name(name))

    def delete_list(self, list_id: int) -> None:
        """Delete a list with all its events, bindings and catalogue. Raises NotFound if there is no such list."""
        self._ask(operations.DELETE_LIST, list_id)

    def set_rules(
        self,
        list_id: int,
        *,
        bots: str = "tag",
        denied: Iterable[str] = (),
        redacted: Iterable[str] = (),
        time_zone: str = "UTC",
        indexed: Iterable[str] = (),
        keep_days: int | None = None,
    ) -> ListRules:
        """Set the rules of a list: how its events are changed before they are stored, how long they are kept, what has columns.

        They replace the earlier rules.

        Args:
            list_id: the list.
            bots: what happens to events of bots: `drop` only counts them, `tag` stores them with the property `$bot`, `keep`
                stores them unchanged.
            denied: names of properties that are removed.
            redacted: names of properties whose values are replaced by `[redacted]`.
            time_zone: the time zone of questions about the list that name none, and of the days that `keep_days` counts.
            indexed: names of up to 20 properties that questions ask for often. Their values get columns, so that questions need
                not read the properties of every event.
            keep_days: after how many days events are deleted: those that happened before the day that is this many days before
                today. Their daily totals stay. None: events are kept for ever.

        Raises:
            EventsError: `bots` is not one of these, there is no such time zone, `keep_days` is no whole number from 1 to 36,500,
                there are too many names, or one is empty, too long or, unless it is indexed, `emailAddress`, which identify
                events have.
        """
        rules = build_rules(list_id, bots, denied, redacted, time_zone, indexed, keep_days)
        self._ask(operations.SET_RULES, rules)
        return rules

    def rules(self) -> list[ListRules]:
        """Return the rules of every list that has rules of its own."""
        return self._ask(operations.RULES)

    def create_key(
        self,
        account: str,
        scope: Scope | str = Scope.FULL,
        *,
        origins: Iterable[str] | None = None,
        list_ids: Iterable[int] | None = None,
    ) -> NewKey:
        """Create an API key.

        Args:
            account: the name of the account that the key belongs to.
            scope: what the key allows.
            origins: the web origins that an `ingest` key may be used from, such as `https://www.example.com` or
                `https://*.example.com`. None: any origin.
            list_ids: the lists that the key may be used for. None: all lists of the account.

        Raises:
            NotFound: there is no such account, or it has no such list.
            EventsError: the scope or an origin is invalid, or a key of another scope is given origins.
        """
        if scope not in list(Scope):
            raise EventsError(f"scope {scope!r} must be one of {', '.join(Scope)}.")
        scope = Scope(scope)
        bound_origins = None if origins is None else sorted({normalize_origin(origin) for origin in origins})
        bound_lists = None if list_ids is None else sorted(set(list_ids))
        if scope is not Scope.INGEST and bound_origins:
            raise EventsError(f"scope {scope}: only a key of scope ingest can be bound to origins.")
        owner = self._ask(operations.ACCOUNT_ID, account)
        for list_id in bound_lists or ():
            if not self.owns_list(owner, list_id):
                raise NotFound(f"list {list_id}: account {account!r} has no such list.")
        created = generate_key(scope)
        grant = Grant(hash_secret(created.key), owner, str(scope), bound_origins or None, bound_lists or None)
        self._ask(operations.ADD_KEY, created.key_id, grant, self._now())
        return created

    def page_key(self, list_id: int, *, origins: Iterable[str] | None = None) -> str:
        """Return the key for a list's web pages.

        The first call creates the key, and every process gets the same one. Once it is revoked, the next call creates another.

        Args:
            list_id: the list that the key is bound to.
            origins: the web origins that the key may be used from. None: any origin.

        Raises:
            NotFound: there is no such list.
            EventsError: an origin is invalid.
        """
        bound = None if origins is None else sorted({normalize_origin(origin) for origin in origins}) or None
        if (owner := self.find_owner(list_id)) is None:
            raise NotFound(explain_missing_list(list_id))
        for turn in count():
            derived = derive_page_key(self._store.uuid_namespace, owner, list_id, bound, turn)
            if self.identify(Credential("api_key", derived.key)) is not None:
                break
            grant = Grant(hash_secret(derived.key), owner, Scope.INGEST, bound, [list_id])
            with suppress(AlreadyExists):
                self._ask(operations.ADD_KEY, derived.key_id, grant, self._now())
                break
            if not any(key.key_id == derived.key_id and key.revoked_at for key in self.keys()):  # another process was first
                break
        return derived.key

    def keys(self) -> list[Key]:
        """Return every key, including revoked ones, without the secrets."""
        return self._ask(operations.KEYS)

    def revoke_key(self, key: str) -> None:
        """Revoke a key at once.

        Args:
            key: the id of the key, or the key itself.

        Raises:
            NotFound: there is no such key.
        """
        self._ask(operations.REVOKE_KEY, key, hash_secret(key), self._now())

    def create_session(self, account: str, ttl_s: int = DEFAULT_TTL_S) -> str:
        """Create a session with full scope for an account, and return its id.

        Args:
            account: the name of the account that the session belongs to.
            ttl_s: how long the session lasts, in seconds; by default a day.

        Raises:
            NotFound: there is no such account.
            EventsError: `ttl_s` is less than 1, or more than a hundred years.
        """
        check_ttl(ttl_s)
        owner = self._ask(operations.ACCOUNT_ID, account)
        session_id, now = _generate_session_id(), self._now()
        self._ask(operations.ADD_SESSION, hash_secret(session_id), owner, now, now + timedelta(seconds=ttl_s))
        return session_id

    def sign_in(self, key: str, ttl_s: int = DEFAULT_TTL_S) -> str:
        """Create a session with the rights that a key has at the time of each request, and return its id.

        It ends at once when the key is revoked. It is also a `SessionID` of the API, with these rights.

        Args:
            key: an API key of scope `read` or `full`.
            ttl_s: how long the session lasts, in seconds; by default a day.

        Raises:
            NotAuthenticated: the key is unknown or revoked.
            NotAllowed: its scope is `ingest`.
            EventsError: `ttl_s` is less than 1, or more than a hundred years.
        """
        check_ttl(ttl_s)
        session_id, now = _generate_session_id(), self._now()
        expires = now + timedelta(seconds=ttl_s)
        grant = self._ask(operations.SIGN_IN, hash_secret(session_id), hash_secret(key), now, expires)
        if grant is None:
            status, failure = common_error(99998)
            raise NotAuthenticated(status, [failure])
        if not Scope(grant.scope).may_read:
            status, failure = common_error(99999)
            raise NotAllowed(status, [failure])
        return session_id

    def renew_session(self, session_id: str, ttl_s: int = DEFAULT_TTL_S) -> None:
        """Have a valid session last at least until a time from now on. It never ends earlier than before.

        Each call is a commit that all processes wait for, so renew a session from time to time instead of with each request.

        Args:
            session_id: the session.
            ttl_s: how long it shall last from now on, in seconds; by default a day.

        Raises:
            NotFound: there is no such session, or it has expired, or it or its key was revoked.
            EventsError: `ttl_s` is less than 1, or more than a hundred years.
        """
        now = self._now()
        self._ask(operations.RENEW_SESSION, hash_secret(session_id), now, now + timedelta(seconds=check_ttl(ttl_s)))

    def revoke_session(self, session_id: str) -> None:
        """Revoke a session at once. Raises NotFound if there is no such session."""
        self._ask(operations.REVOKE_SESSION, hash_secret(session_id), self._now())

    def _ask(self, operation: Operation[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Return the result of an operation; of a change, once all processes that use the store answer by it."""
        return self._store.ask(operation, *arguments, **named).result()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _generate_session_id() -> str:
    return f"fs_{secrets.token_urlsafe(32)}"


def _build_principal(grant: Grant) -> Principal:
    origins = None if grant.origins is None else tuple(grant.origins)
    return Principal(grant.account, Scope(grant.scope), origins, None if grant.list_ids is None else frozenset(grant.list_ids))
