"""The two questions that access answers; a host application may answer them itself."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import StrEnum
from typing import Literal, Protocol

import msgspec


class Scope(StrEnum):
    """What a credential allows."""

    FULL = "full"
    INGEST = "ingest"
    READ = "read"

    @property
    def may_track(self) -> bool:
        """Whether events may be sent with it."""
        return self is not Scope.READ

    @property
    def may_read(self) -> bool:
        """Whether properties may be asked for with it."""
        return self is not Scope.INGEST


class Credential(msgspec.Struct, frozen=True):
    """What a request shows: an API key (in the body or as a bearer token) or a session id."""

    kind: Literal["api_key", "session"]
    secret: str

    def __repr__(self) -> str:  # no log and no traceback may hold a secret
        return f"Credential({self.kind!r}, ...)"


class Principal(msgspec.Struct, frozen=True):
    """Who a credential belongs to: an account, and what the credential allows.

    `origins` are the web origins that it may be used from, exact or such as `https://*.example.com`, and `list_ids` the lists
    that it may be used for; None for any.
    """

    account: str
    scope: Scope = Scope.FULL
    origins: tuple[str, ...] | None = None
    list_ids: frozenset[int] | None = None


class Access(Protocol):
    """What a host application supplies to replace accounts, keys, sessions and lists with its own.

    The methods may be plain or `async`; under ASGI plain ones run in a thread, so they may block. A third one,
    `allows_origin(origin)`, may say whether pages of another origin may read answers (CORS); without it none may.
    """

    def identify(self, credential: Credential) -> Principal | str | Awaitable[Principal | str | None] | None:
        """The account that the credential belongs to (as a str: with full scope), or None."""

    def owns_list(self, account: str, list_id: int) -> bool | Awaitable[bool]:
        """Whether the list exists and belongs to the account."""
