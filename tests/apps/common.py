"""What the host applications share: a tracker made from the environment, and accounts of the host's own."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from falcon_events import Credential, EventTracking, Principal, Scope

PREFIX = "/tracking"
HELLO, NOT_FOUND, BROKEN = "hello from the host", "the host's own 404", "the host's own 500"
DETAIL = "a detail for the log only"
GATE_WAIT_S = 30
"""How long a stream waits for /release before it says so; only a test that fails waits."""


def make_tracking() -> EventTracking:
    """A tracker on HOST_DB; HOST_ACCESS (sync, async) replaces its accounts; HOST_LOG_LEVEL is the host's log level."""
    logging.basicConfig(level=os.environ.get("HOST_LOG_LEVEL", "WARNING"))
    access = {"sync": SyncAccess, "async": AsyncAccess}.get(os.environ.get("HOST_ACCESS", ""))
    return EventTracking(os.environ["HOST_DB"], access=access and access())


def record(word: str) -> None:
    """Adds a line to the file HOST_RECORD."""
    with Path(os.environ["HOST_RECORD"]).open("a") as lines:
        lines.write(f"{word}\n")


class SyncAccess:
    """Accounts of the host: one session, one key that may only read, and two secrets that make it fail."""

    def identify(self, credential: Credential) -> Principal | str | None:
        """The account of a credential."""
        if credential.secret == "raises":
            raise RuntimeError(DETAIL)
        if credential.secret == "stops":
            return next(iter(()))
        if credential.secret == "read":
            return Principal("account-7", Scope.READ)
        return "account-7" if credential.kind == "session" and credential.secret == "host session" else None

    def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the list is the account's."""
        if list_id == 500:
            raise RuntimeError(DETAIL)
        return account == "account-7" and list_id == 7


class AsyncAccess:
    """The same with async methods."""

    async def identify(self, credential: Credential) -> Principal | str | None:
        """The account of a credential."""
        await asyncio.sleep(0)
        return SyncAccess().identify(credential)

    async def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the list is the account's."""
        await asyncio.sleep(0)
        return SyncAccess().owns_list(account, list_id)
