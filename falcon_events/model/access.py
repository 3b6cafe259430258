"""Access rights and list rules: records of accounts, lists, keys, sessions, and how a list's events are changed."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

MAX_INDEXED = 20
"""How many properties of a list may be promoted."""


class Account(msgspec.Struct, frozen=True):
    """An account: the owner of lists, API keys and sessions."""

    account_id: str
    name: str
    created_at: datetime


class EventList(msgspec.Struct, frozen=True):
    """A subscriber list and the name of the account that owns it."""

    list_id: int
    account: str
    name: str
    created_at: datetime


class Key(msgspec.Struct, frozen=True):
    """An API key's record. The key itself is not in it: only its hash is stored."""

    key_id: str
    account: str
    scope: str
    created_at: datetime
    revoked_at: datetime | None
    origins: list[str] | None = None
    """The web origins that may use it; None: any."""
    list_ids: list[int] | None = None
    """The lists that it gives access to; None: all of the account."""

    @property
    def works_anywhere(self) -> bool:
        """Whether it is not revoked and not limited to web origins."""
        return self.revoked_at is None and self.origins is None


class Grant(msgspec.Struct, frozen=True):
    """The rights of a key, identified by its hash."""

    key_hash: bytes
    account: str
    scope: str
    origins: list[str] | None = None
    list_ids: list[int] | None = None


class SessionGrant(msgspec.Struct, frozen=True):
    """A session, identified by the hash of its id."""

    session_hash: bytes
    account: str
    expires_at: datetime
    key_hash: bytes | None = None
    """The hash of the key whose rights it has; None: it has full scope for its account."""


class ListRules(msgspec.Struct, frozen=True):
    """How a list's events are changed before they are stored, and for how long they are kept.

    `bots` applies to events that no visitor sent: `tag` stores them with the property `$bot`, `drop` only counts them, `keep`
    stores them unchanged. The values of `redacted` properties are replaced. `denied` properties are removed. `time_zone` is the
    time zone of questions about the list that name none, and of its days. `indexed` properties get columns, so that questions
    about them take less time. Events are deleted when they happened before the day that is `keep_days` before today; None: they
    are kept for ever.
    """

    list_id: int
    bots: Literal["drop", "tag", "keep"] = "tag"
    denied: list[str] = []
    redacted: list[str] = []
    time_zone: str = "UTC"
    indexed: list[str] = []
    keep_days: int | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """Everything needed to identify a credential and to check who owns a list."""

    keys: list[Grant]
    """Every key that is not revoked."""
    sessions: list[SessionGrant]
    """Every session that is not revoked."""
    lists: list[tuple[int, str]]
    """ID and account ID of every list."""
    rules: list[ListRules]
    """The rules of every list that has its own."""


class Changes(msgspec.Struct, frozen=True):
    """The changes since a Snapshot: new and changed records, and the hashes and IDs of removed ones."""

    keys: list[Grant] = []
    sessions: list[SessionGrant] = []
    lists: list[tuple[int, str]] = []
    rules: list[ListRules] = []
    gone_keys: list[bytes] = []
    gone_sessions: list[bytes] = []
    gone_lists: list[int] = []
    renewed_sessions: list[tuple[bytes, datetime]] = []
    """Hash and new expiry. News may be sent in another order than they were committed, so these bring no session back, and the
    latest expiry counts."""
