"""The store's own accounts, lists, API keys and sessions; only hashes of keys and session ids are kept."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from falcon_events.access.protocol import Credential, Principal, Scope
from falcon_events.errors import EventsError
from falcon_events.store import directory as rows
from falcon_events.store.directory import Account, EventList, Key
from falcon_events.store.store import Store

MAX_NAME = 200
MAX_LIST_ID = 2**63 - 1


class NewKey(msgspec.Struct, frozen=True):
    """A key just made: the only time that the key itself is shown."""

    key_id: str
    key: str


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
        self._loaded = False
        # Held while the store and what memory knows of it change together.
        self._changing = threading.RLock()

    def load(self) -> None:
        """Reads everything from the store; does nothing where that is done.

        Raises:
            StoreError: the store cannot be opened.
        """
        with self._changing:
            if self._loaded:
                return
            snapshot: rows.Snapshot = self._run(rows.load)
            self._keys = {key: Principal(account, Scope(scope)) for key, account, scope in snapshot.keys}
            self._sessions = {key: (Principal(account), at.timestamp()) for key, account, at in snapshot.sessions}
            self._lists = dict(snapshot.lists)
            self._loaded = True

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
        self._run(rows.add_account, account)
        return account

    def accounts(self) -> list[Account]:
        """Every account, by name."""
        found: list[Account] = self._run(rows.accounts)
        return found

    def create_list(self, account: str, name: str, list_id: int | None = None) -> EventList:
        """Makes a list of the account of this name, under an id or the next free one.

        Raises:
            NotFound: there is no such account.
            AlreadyExists: the id is taken.
        """
        if list_id is not None and not 0 < list_id <= MAX_LIST_ID:
            raise EventsError(f"list id {list_id}: a whole number from 1 to {MAX_LIST_ID} is needed.")
        self.load()
        owner = self._run(rows.account_id, account)
        now = self._now()
        with self._changing:
            made = self._run(rows.add_list, list_id, owner, _name(name), now)
            self._lists[made] = owner
        return EventList(made, account, name, now)

    def lists(self) -> list[EventList]:
        """Every list, by id."""
        found: list[EventList] = self._run(rows.lists)
        return found

    def rename_list(self, list_id: int, name: str) -> None:
        """Gives a list another name; raises NotFound."""
        self._run(rows.rename_list, list_id, _name(name))

    def delete_list(self, list_id: int) -> None:
        """Deletes a list with all its events, bindings and catalogue; raises NotFound."""
        self.load()
        with self._changing:
            owner = self._lists.pop(list_id, None)  # first: no event may come in behind the deletion
            try:
                self._store.delete_list(list_id).result()
            except BaseException:
                if owner is not None:
                    self._lists[list_id] = owner
                raise

    def create_key(self, account: str, scope: Scope | str = Scope.FULL) -> NewKey:
        """Makes an API key of this scope; raises NotFound where there is no such account."""
        if scope not in list(Scope):
            raise EventsError(f"scope {scope!r}: one of {', '.join(Scope)} is needed.")
        scope = Scope(scope)
        self.load()
        owner = self._run(rows.account_id, account)
        made = NewKey(f"key_{secrets.token_hex(6)}", f"fe_{scope}_{secrets.token_urlsafe(32)}")
        with self._changing:
            self._run(rows.add_key, made.key_id, owner, str(scope), _hash(made.key), self._now())
            self._keys[_hash(made.key)] = Principal(owner, scope)
        return made

    def keys(self) -> list[Key]:
        """Every key, revoked ones too, without the keys themselves."""
        found: list[Key] = self._run(rows.keys)
        return found

    def revoke_key(self, key: str) -> None:
        """Revokes a key, given by its id or as the key itself, at once; raises NotFound."""
        self.load()
        with self._changing:
            self._keys.pop(self._run(rows.revoke_key, key, _hash(key), self._now()), None)

    def create_session(self, account: str, ttl_s: int) -> str:
        """Makes a session that ends after so many seconds and gives its id; raises NotFound."""
        if ttl_s < 1:
            raise EventsError(f"ttl_s={ttl_s}: at least 1 second is needed.")
        self.load()
        owner = self._run(rows.account_id, account)
        session_id = f"fs_{secrets.token_urlsafe(32)}"
        now = self._now()
        expires = now + timedelta(seconds=ttl_s)
        with self._changing:
            self._run(rows.add_session, _hash(session_id), owner, now, expires)
            self._sessions = {key: known for key, known in self._sessions.items() if known[1] > now.timestamp()}
            self._sessions[_hash(session_id)] = (Principal(owner), expires.timestamp())
        return session_id

    def revoke_session(self, session_id: str) -> None:
        """Ends a session at once; raises NotFound."""
        self.load()
        with self._changing:
            self._run(rows.revoke_session, _hash(session_id), self._now())
            self._sessions.pop(_hash(session_id), None)

    def _run(self, task: Callable[..., Any], *arguments: object) -> Any:
        return self._store.run(lambda connection: task(connection, *arguments)).result()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME:
        raise EventsError(f"name {name[:20]!r}: text of 1 to {MAX_NAME} characters is needed.")
    return name
