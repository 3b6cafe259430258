"""Access protocol: who sends a request, and whether an account owns a list. A host application may implement it."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import StrEnum
from typing import Literal, Protocol

import msgspec


class Scope(StrEnum):
    """Scope of a credential: what it allows."""

    FULL = "full"
    INGEST = "ingest"
    READ = "read"

    @property
    def may_track(self) -> bool:
        """Whether the credential may send events."""
        return self is not Scope.READ

    @property
    def may_read(self) -> bool:
        """Whether the credential may query properties."""
        return self is not Scope.INGEST


class Credential(msgspec.Struct, frozen=True):
    """Credential of a request: an API key (in the body or as a bearer token) or a session id."""

    kind: Literal["api_key", "session"]
    secret: str

    def __repr__(self) -> str:  # keeps the secret out of logs and tracebacks
        return f"Credential({self.kind!r}, ...)"


EVERY_ACCOUNT = "*"
"""The account of a Principal who may see the lists of all accounts on the dashboard."""


class Principal(msgspec.Struct, frozen=True):
    """Account that a credential or a user of the dashboard belongs to, and what it may do for the account.

    `account` is the account's ID. For the dashboard it may be its name, too, or `*` for the lists of all accounts.
    `origins` are the web origins that it may be used from, exact or patterns such as `https://*.example.com`. `list_ids` are
    the lists that it may be used for. None: no restriction.
    """

    account: str
    scope: Scope = Scope.FULL
    origins: tuple[str, ...] | None = None
    list_ids: frozenset[int] | None = None


class Access(Protocol):
    """Interface of a host application that replaces accounts, keys, sessions and lists with its own.

    The methods may be plain or `async`. Under ASGI, plain ones run in a thread, so they may block. An optional third method,
    `allows_origin(origin)`, returns whether pages of another origin may read answers (CORS); without it none may. An optional
    fourth, `page_key(list_id)`, returns a key for a list's web pages, which `snippet()` then uses.
    """

    def identify(self, credential: Credential) -> Principal | str | Awaitable[Principal | str | None] | None:
        """Return the account that the credential belongs to, or None. A str means that account with full scope."""

    def owns_list(self, account: str, list_id: int) -> bool | Awaitable[bool]:
        """Whether the list exists and belongs to the account."""
