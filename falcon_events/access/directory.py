"""The store's own accounts, lists, API keys and sessions; only hashes of keys and session ids are kept."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from falcon_events.access.protocol import Credential, Principal, Scope
from falcon_events.errors import EventsError
from falcon_events.store.records import Account, Changes, EventList, Key, Snapshot

MAX_NAME = 200
FEW_SESSIONS = 1000
MAX_LIST_ID = 2**63 - 1


class NewKey(msgspec.Struct, frozen=True):
    """A key just made: the only time that the key itself is shown."""

    key_id: str
    key: str


class Store(Protocol):
    """Where accounts, lists, keys and sessions are kept."""

    def ask(self, name: str, *arguments: object, returns: Any, repeatable: bool = True) -> Future[Any]:
        """Asks for a named operation."""

    def on_directory(self, told: Callable[[Snapshot | Changes], object]) -> None:
        """Has `told` called with the directory, and with every change of it."""


class Directory:
    """Accounts and what belongs to them, kept in the store and answered from memory.

    The methods that change something wait for the store's commit; from a coroutine, call them in a thread.

    Args:
        store: where they are kept.
        clock: the current time in seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._keys: dict[bytes, Principal] = {}
        self._sessions: dict[bytes, tuple[Principal, float]] = {}
        self._lists: dict[int, str] = {}
        self._many_sessions = FEW_SESSIONS
        store.on_directory(self._know)

    def _know(self, news: Snapshot | Changes) -> None:
        """Answers by what the store's tables hold from now on."""
        keys = {key: Principal(account, Scope(scope)) for key, account, scope in news.keys}
        sessions = {key: (Principal(account), at.timestamp()) for key, account, at in news.sessions}
        if isinstance(news, Snapshot):
            self._keys, self._sessions, self._lists = keys, sessions, dict(news.lists)
            return
        self._keys.update(keys)
        self._sessions.update(sessions)
        if len(self._sessions) > self._many_sessions:  # time to forget those that have ended
            now = self._clock()
            self._sessions = {key: known for key, known in self._sessions.items() if known[1] > now}
            self._many_sessions = 2 * len(self._sessions) + FEW_SESSIONS
        self._lists.update(news.lists)
        for gone in news.gone_keys:
            self._keys.pop(gone, None)
        for gone in news.gone_sessions:
            self._sessions.pop(gone, None)
        for list_id in news.gone_lists:
            self._lists.pop(list_id, None)

    def identify(self, credential: Credential) -> Principal | None:
        """The account that a key or a session belongs to, or None where it is unknown, revoked or expired."""
        secret = _hash(credential.secret)
        if credential.kind == "api_key":
            return self._keys.get(secret)
        principal, expires = self._sessions.get(secret, (None, 0.0))
        return principal if expires > self._clock() else None

    def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the list exists and belongs to the account."""
        return self._lists.get(list_id) == account

    def owner_of(self, list_id: int) -> str | None:
        """The id of the account that owns the list, or None where there is no such list."""
        return self._lists.get(list_id)

    def create_account(self, name: str) -> Account:
        """Makes an account; raises AlreadyExists where the name is taken."""
        account = Account(str(uuid.uuid4()), _name(name), self._now())
        self._change("add_account", account)
        return account

    def accounts(self) -> list[Account]:
        """Every account, by name."""
        found: list[Account] = self._ask("accounts", returns=list[Account])
        return found

    def create_list(self, account: str, name: str, list_id: int | None = None) -> EventList:
        """Makes a list of the account of this name, under an id or the next free one.

        Raises:
            NotFound: there is no such account.
            AlreadyExists: the id is taken.
        """
        if list_id is not None and not 0 < list_id <= MAX_LIST_ID:
            raise EventsError(f"list id {list_id}: a whole number from 1 to {MAX_LIST_ID} is needed.")
        owner: str = self._ask("account_id", account, returns=str)
        now = self._now()
        made: int = self._change("add_list", list_id, owner, _name(name), now, returns=int)
        return EventList(made, account, name, now)

    def lists(self) -> list[EventList]:
        """Every list, by id."""
        found: list[EventList] = self._ask("lists", returns=list[EventList])
        return found

    def rename_list(self, list_id: int, name: str) -> None:
        """Gives a list another name; raises NotFound."""
        self._change("rename_list", list_id, _name(name))

    def delete_list(self, list_id: int) -> None:
        """Deletes a list with all its events, bindings and catalogue; raises NotFound."""
        self._change("delete_list", list_id)

    def create_key(self, account: str, scope: Scope | str = Scope.FULL) -> NewKey:
        """Makes an API key of this scope; raises NotFound where there is no such account."""
        if scope not in list(Scope):
            raise EventsError(f"scope {scope!r}: one of {', '.join(Scope)} is needed.")
        scope = Scope(scope)
        owner: str = self._ask("account_id", account, returns=str)
        made = NewKey(f"key_{secrets.token_hex(6)}", f"fe_{scope}_{secrets.token_urlsafe(32)}")
        self._change("add_key", made.key_id, owner, str(scope), _hash(made.key), self._now())
        return made

    def keys(self) -> list[Key]:
        """Every key, revoked ones too, without the keys themselves."""
        found: list[Key] = self._ask("keys", returns=list[Key])
        return found

    def revoke_key(self, key: str) -> None:
        """Revokes a key, given by its id or as the key itself, at once; raises NotFound."""
        self._change("revoke_key", key, _hash(key), self._now(), returns=bytes)

    def create_session(self, account: str, ttl_s: int) -> str:
        """Makes a session that ends after so many seconds and gives its id; raises NotFound."""
        if ttl_s < 1:
            raise EventsError(f"ttl_s={ttl_s}: at least 1 second is needed.")
        owner: str = self._ask("account_id", account, returns=str)
        session_id = f"fs_{secrets.token_urlsafe(32)}"
        now = self._now()
        expires = now + timedelta(seconds=ttl_s)
        self._change("add_session", _hash(session_id), owner, now, expires)
        return session_id

    def revoke_session(self, session_id: str) -> None:
        """Ends a session at once; raises NotFound."""
        self._change("revoke_session", _hash(session_id), self._now())

    def _ask(self, name: str, *arguments: object, returns: Any) -> Any:
        return self._store.ask(name, *arguments, returns=returns).result()

    def _change(self, name: str, *arguments: object, returns: Any = None) -> Any:
        """Returns once every process that uses the store answers by the change."""
        return self._store.ask(name, *arguments, returns=returns, repeatable=False).result()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME:
        raise EventsError(f"name {name[:20]!r}: text of 1 to {MAX_NAME} characters is needed.")
    return name
