"""The store's own accounts, lists, API keys and sessions; only hashes of keys and session ids are kept."""

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

from falcon_events.access.keys import NewKey, hash_of, page_key, random_key
from falcon_events.access.origins import admits, checked_origin, joint_origins
from falcon_events.access.protocol import Credential, Principal, Scope
from falcon_events.access.validation import checked_name, checked_rules
from falcon_events.errors import AlreadyExists, EventsError, NotFound
from falcon_events.model import operations
from falcon_events.model.access import Account, Changes, EventList, Grant, Key, ListRules, Snapshot
from falcon_events.model.operations import Operation, P, R

FEW_SESSIONS = 1000
MAX_LIST_ID = 2**63 - 1


class DirectoryStore(Protocol):
    """Where accounts, lists, keys and sessions are kept."""

    uuid_namespace: bytes
    """The store's secret bytes, once it is open."""

    def ask(self, operation: Operation[P, R], *arguments: P.args, **_: P.kwargs) -> Future[R]:
        """Ask for an operation."""

    def watch_directory(self, listener: Callable[[Snapshot | Changes], object]) -> None:
        """Have `listener` called with the directory, and with each change of it."""


class Directory:
    """Accounts and what belongs to them, kept in the store and answered from memory.

    The methods that change something wait for the store's commit; from a coroutine, call them in a thread.

    Args:
        store: where they are kept.
        clock: the current time in seconds since 1970.
    """

    def __init__(self, store: DirectoryStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._keys: dict[bytes, Principal] = {}
        self._shown: dict[str, Principal] = {}
        """Keys that have been shown since the last change, and need not be hashed again."""
        self._sessions: dict[bytes, tuple[Principal, float]] = {}
        self._lists: dict[int, str] = {}
        self._rules: dict[int, ListRules] = {}
        self._origins: frozenset[str] | None = frozenset()
        self._many_sessions = FEW_SESSIONS
        store.watch_directory(self._know)

    def _know(self, news: Snapshot | Changes) -> None:
        """Answers by what the store's tables hold from now on."""
        self._take(news)
        self._shown = {}  # another one, and last: whoever has looked a key up before this keeps it in the old one

    def _take(self, news: Snapshot | Changes) -> None:
        keys = {grant.key_hash: _principal(grant) for grant in news.keys}
        rules = {rules.list_id: rules for rules in news.rules}
        sessions = {key: (Principal(account), at.timestamp()) for key, account, at in news.sessions}
        if isinstance(news, Snapshot):
            self._keys, self._sessions, self._lists, self._rules = keys, sessions, dict(news.lists), rules
            self._origins = joint_origins(keys.values())
            return
        self._keys.update(keys)
        self._sessions.update(sessions)
        if len(self._sessions) > self._many_sessions:  # time to forget those that have ended
            now = self._clock()
            self._sessions = {key: known for key, known in self._sessions.items() if known[1] > now}
            self._many_sessions = 2 * len(self._sessions) + FEW_SESSIONS
        self._lists.update(news.lists)
        self._rules.update(rules)
        for gone in news.gone_keys:
            self._keys.pop(gone, None)
        for gone in news.gone_sessions:
            self._sessions.pop(gone, None)
        for list_id in news.gone_lists:
            self._lists.pop(list_id, None)
            self._rules.pop(list_id, None)
        if news.keys or news.gone_keys:
            self._origins = joint_origins(self._keys.values())

    def identify(self, credential: Credential) -> Principal | None:
        """The account that a key or a session belongs to, or None where it is unknown, revoked or expired."""
        if credential.kind == "api_key":
            shown = self._shown
            if (known := shown.get(credential.secret)) is None and (
                known := self._keys.get(hash_of(credential.secret))
            ) is not None:
                shown[credential.secret] = known
            return known
        principal, expires = self._sessions.get(hash_of(credential.secret), (None, 0.0))
        return principal if expires > self._clock() else None

    def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the list exists and belongs to the account."""
        return self._lists.get(list_id) == account

    def owner_of(self, list_id: int) -> str | None:
        """The id of the account that owns the list, or None where there is no such list."""
        return self._lists.get(list_id)

    def find_owner(self, list_id: int) -> str | None:
        """As owner_of(), of a store that need not be open yet."""
        if self.owner_of(list_id) is None:
            self.lists()  # opens the store, which then tells of its lists
        return self.owner_of(list_id)

    def rules_of(self, list_id: int) -> ListRules:
        """What becomes of the list's events before they are stored."""
        return self._rules.get(list_id) or ListRules(list_id)

    def allows_origin(self, origin: str) -> bool:
        """Whether some key for web pages may be used from this origin."""
        return self._origins is None or admits(self._origins, origin)

    def create_account(self, name: str) -> Account:
        """Makes an account; raises AlreadyExists where the name is taken."""
        account = Account(str(uuid.uuid4()), checked_name(name), self._now())
        self._ask(operations.ADD_ACCOUNT, account)
        return account

    def accounts(self) -> list[Account]:
        """Every account, by name."""
        return self._ask(operations.ACCOUNTS)

    def create_list(self, account: str, name: str, list_id: int | None = None) -> EventList:
        """Makes a list of the account of this name, under an id or the next free one.

        Raises:
            NotFound: there is no such account.
            AlreadyExists: the id is taken.
        """
        if list_id is not None and not 0 < list_id <= MAX_LIST_ID:
            raise EventsError(f"list id {list_id}: a whole number from 1 to {MAX_LIST_ID} is needed.")
        owner = self._ask(operations.ACCOUNT_ID, account)
        now = self._now()
        made = self._ask(operations.ADD_LIST, list_id, owner, checked_name(name), now)
        return EventList(made, account, name, now)

    def ensure_list(self, list_id: int, name: str, account: str = "default") -> EventList:
        """The list of this id, made with its account where missing; raises AlreadyExists where it is another account's."""
        if not any(found.list_id == list_id for found in self.lists()):
            for make in (partial(self.create_account, account), partial(self.create_list, account, name, list_id)):
                with suppress(AlreadyExists):  # another process was first
                    make()
        found = next(found for found in self.lists() if found.list_id == list_id)
        if found.account != account:
            raise AlreadyExists(f"list {list_id}: it belongs to account {found.account!r}, not to {account!r}.")
        return found

    def lists(self) -> list[EventList]:
        """Every list, by id."""
        return self._ask(operations.LISTS)

    def rename_list(self, list_id: int, name: str) -> None:
        """Gives a list another name; raises NotFound."""
        self._ask(operations.RENAME_LIST, list_id, checked_name(name))

    def delete_list(self, list_id: int) -> None:
        """Deletes a list with all its events, bindings and catalogue; raises NotFound."""
        self._ask(operations.DELETE_LIST, list_id)

    def set_rules(
        self, list_id: int, *, bots: str = "tag", denied: Iterable[str] = (), redacted: Iterable[str] = ()
    ) -> ListRules:
        """Says what becomes of a list's events before they are stored; replaces what was said before.

        Args:
            list_id: the list.
            bots: for events that no visitor sent: `drop` counts them only, `tag` stores them with the property `$bot`, `keep`
                stores them as they are.
            denied: names of properties that are left out.
            redacted: names of properties whose values are replaced by `[redacted]`.

        Raises:
            EventsError: a value is not one of these, or a name is `emailAddress`, which identify events have.
        """
        rules = checked_rules(list_id, bots, denied, redacted)
        self._ask(operations.SET_RULES, rules)
        return rules

    def rules(self) -> list[ListRules]:
        """The rules of every list that has its own."""
        return self._ask(operations.RULES)

    def create_key(
        self,
        account: str,
        scope: Scope | str = Scope.FULL,
        *,
        origins: Iterable[str] | None = None,
        list_ids: Iterable[int] | None = None,
    ) -> NewKey:
        """Makes an API key.

        Args:
            account: the name of the account it belongs to.
            scope: what it allows.
            origins: the web origins that an `ingest` key may be used from, such as `https://www.example.com` or
                `https://*.example.com`; None for anywhere.
            list_ids: the lists that an `ingest` key may be used for; None for all of the account.

        Raises:
            NotFound: there is no such account, or it has no such list.
            EventsError: an origin is none, or a key of another scope is to be bound.
        """
        if scope not in list(Scope):
            raise EventsError(f"scope {scope!r}: one of {', '.join(Scope)} is needed.")
        scope = Scope(scope)
        bound_origins = None if origins is None else sorted({checked_origin(origin) for origin in origins})
        bound_lists = None if list_ids is None else sorted(set(list_ids))
        if scope is not Scope.INGEST and (bound_origins or bound_lists):
            raise EventsError(f"scope {scope}: only a key of scope ingest can be bound to origins and lists.")
        owner = self._ask(operations.ACCOUNT_ID, account)
        for list_id in bound_lists or ():
            if not self.owns_list(owner, list_id):
                raise NotFound(f"list {list_id}: account {account!r} has no such list.")
        made = random_key(scope)
        grant = Grant(hash_of(made.key), owner, str(scope), bound_origins or None, bound_lists or None)
        self._ask(operations.ADD_KEY, made.key_id, grant, self._now())
        return made

    def page_key(self, list_id: int, *, origins: Iterable[str] | None = None) -> str:
        """The key for a list's web pages: made by the first call, the same for every process, another once it is revoked.

        Args:
            list_id: the list that it is bound to.
            origins: the web origins that it may be used from; None for anywhere.

        Raises:
            NotFound: there is no such list.
            EventsError: an origin is none.
        """
        bound = None if origins is None else sorted({checked_origin(origin) for origin in origins}) or None
        if (owner := self.find_owner(list_id)) is None:
            raise NotFound(f"There is no list {list_id}.")
        for turn in count():
            made = page_key(self._store.uuid_namespace, owner, list_id, bound, turn)
            if self.identify(Credential("api_key", made.key)) is not None:
                break
            with suppress(AlreadyExists):
                grant = Grant(hash_of(made.key), owner, Scope.INGEST, bound, [list_id])
                self._ask(operations.ADD_KEY, made.key_id, grant, self._now())
                break
            if not any(key.key_id == made.key_id and key.revoked_at for key in self.keys()):  # another process was first
                break
        return made.key

    def keys(self) -> list[Key]:
        """Every key, revoked ones too, without the keys themselves."""
        return self._ask(operations.KEYS)

    def revoke_key(self, key: str) -> None:
        """Revokes a key, given by its id or as the key itself, at once; raises NotFound."""
        self._ask(operations.REVOKE_KEY, key, hash_of(key), self._now())

    def create_session(self, account: str, ttl_s: int) -> str:
        """Makes a session that ends after so many seconds and gives its id; raises NotFound."""
        if ttl_s < 1:
            raise EventsError(f"ttl_s={ttl_s}: at least 1 second is needed.")
        owner = self._ask(operations.ACCOUNT_ID, account)
        session_id = f"fs_{secrets.token_urlsafe(32)}"
        now = self._now()
        expires = now + timedelta(seconds=ttl_s)
        self._ask(operations.ADD_SESSION, hash_of(session_id), owner, now, expires)
        return session_id

    def revoke_session(self, session_id: str) -> None:
        """Ends a session at once; raises NotFound."""
        self._ask(operations.REVOKE_SESSION, hash_of(session_id), self._now())

    def _ask(self, operation: Operation[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Return the result; of a change, once every process that uses the store answers by it."""
        return self._store.ask(operation, *arguments, **named).result()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _principal(grant: Grant) -> Principal:
    origins = None if grant.origins is None else tuple(grant.origins)
    return Principal(grant.account, Scope(grant.scope), origins, None if grant.list_ids is None else frozenset(grant.list_ids))
