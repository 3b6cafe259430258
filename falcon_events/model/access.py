"""Who may do what, and what becomes of a list's events: records of accounts, lists, keys, sessions and rules."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec


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
    """An API key without the key itself, which nobody can read again."""

    key_id: str
    account: str
    scope: str
    created_at: datetime
    revoked_at: datetime | None
    origins: list[str] | None = None
    """The web origins that it may be used from; None for any."""
    list_ids: list[int] | None = None
    """The lists that it may be used for; None for any of the account."""

    @property
    def works_anywhere(self) -> bool:
        """Whether it is in force, and bound to no origin."""
        return self.revoked_at is None and self.origins is None


class Grant(msgspec.Struct, frozen=True):
    """What a key allows, by the key's hash."""

    key_hash: bytes
    account: str
    scope: str
    origins: list[str] | None = None
    list_ids: list[int] | None = None


class ListRules(msgspec.Struct, frozen=True):
    """What becomes of a list's events before they are stored.

    `bots` is for events that no visitor sent: `tag` stores them with the property `$bot`, `drop` counts them only, `keep`
    stores them as they are. The values of `redacted` properties are replaced; `denied` ones are left out.
    """

    list_id: int
    bots: Literal["drop", "tag", "keep"] = "tag"
    denied: list[str] = []
    redacted: list[str] = []


class Snapshot(msgspec.Struct, frozen=True):
    """All that answering "who is this, and is the list theirs" takes."""

    keys: list[Grant]
    """Every key that is not revoked."""
    sessions: list[tuple[bytes, str, datetime]]
    """Hash, account id and expiry of every session that is not revoked."""
    lists: list[tuple[int, str]]
    """Id and account id of every list."""
    rules: list[ListRules]
    """Of every list that has its own."""


class Changes(msgspec.Struct, frozen=True):
    """What has become of a Snapshot: what has come to it, and the hashes and ids of what has gone."""

    keys: list[Grant] = []
    sessions: list[tuple[bytes, str, datetime]] = []
    lists: list[tuple[int, str]] = []
    rules: list[ListRules] = []
    gone_keys: list[bytes] = []
    gone_sessions: list[bytes] = []
    gone_lists: list[int] = []
