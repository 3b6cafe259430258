"""Keys as the directory answers for them: used, unknown, revoked meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking, NotAuthenticated
from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Credential, Principal
from falcon_events.store.rights import Changes, Grant, Snapshot

KEY = Credential("api_key", "fe_full_one")
HASH = hashlib.sha256(KEY.secret.encode()).digest()
GRANT = Grant(HASH, "alice", "full")


class Told:
    """A store that says what a test has it say."""

    def __init__(self) -> None:
        self.tell: Callable[[Snapshot | Changes], object] = lambda news: None

    def ask(self, name: str, *arguments: object, returns: Any, repeatable: bool = True) -> Future[Any]:
        """Nobody asks."""
        raise NotImplementedError

    def on_directory(self, told: Callable[[Snapshot | Changes], object]) -> None:
        """Remembers whom to tell."""
        self.tell = told


@pytest.fixture
def store() -> Told:
    """What `directory` is told by."""
    return Told()


@pytest.fixture
def directory(store: Told) -> Directory:
    """A directory that knows one key."""
    directory = Directory(store)
    store.tell(Snapshot([GRANT], [], [], []))
    return directory


@pytest.mark.parametrize("news", [Changes(gone_keys=[HASH]), Snapshot([], [], [], [])], ids=["changes", "snapshot"])
def test_a_key_that_was_in_use_is_unknown_once_it_is_revoked(store: Told, directory: Directory, news: Changes | Snapshot) -> None:
    """However often it was shown before, and however the directory hears of it."""
    for _ in range(3):
        assert directory.identify(KEY) == Principal("alice")
    store.tell(news)
    assert directory.identify(KEY) is None
    store.tell(Changes(keys=[GRANT]))
    assert directory.identify(KEY) == Principal("alice")


def test_a_key_that_is_revoked_while_it_is_looked_up_is_unknown_afterwards(store: Told, directory: Directory) -> None:
    """Another thread hears of it between the look-up and its end."""

    class Racing(dict[bytes, Principal]):
        def get(self, key: bytes, default: Any = None) -> Any:
            found = super().get(key, default)
            store.tell(Changes(gone_keys=[HASH]))
            return found

    directory._keys = Racing(directory._keys)
    assert directory.identify(KEY) == Principal("alice")
    assert directory.identify(KEY) is None


def test_what_is_no_key_is_not_remembered(directory: Directory) -> None:
    """Nobody fills the memory with guesses."""
    for number in range(100):
        assert directory.identify(Credential("api_key", f"guess {number}")) is None
        assert directory.identify(Credential("session", KEY.secret)) is None
    assert directory.identify(KEY) is not None
    assert list(directory._shown) == [KEY.secret]


def test_every_process_refuses_a_key_once_revoking_it_has_returned(db: Path) -> None:
    """Also one that has used it: here, a tracker with a connection of its own to the store's owner."""
    with EventTracking(db) as one, EventTracking(db) as other:
        one.directory.create_account("acme")
        made = one.directory.create_list("acme", "news")
        for _ in range(20):
            key = one.directory.create_key("acme")
            for tracking in (one, other):
                tracking.track(made.list_id, "test", email="a@example.com", api_key=key.key)
            one.directory.revoke_key(key.key_id)
            for tracking in (one, other):
                with pytest.raises(NotAuthenticated):
                    tracking.track(made.list_id, "test", email="a@example.com", api_key=key.key)
