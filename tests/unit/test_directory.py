"""Keys as the directory answers for them: used, unknown, revoked meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from falcon_events import AlreadyExists, EventTracking, NotAuthenticated, NotFound
from falcon_events.access.directory import Directory
from falcon_events.access.protocol import Credential, Principal
from falcon_events.model import operations
from falcon_events.model.access import Changes, Grant, Snapshot

KEY = Credential("api_key", "fe_full_one")
HASH = hashlib.sha256(KEY.secret.encode()).digest()
GRANT = Grant(HASH, "alice", "full")


class Told:
    """A store that says what a test has it say."""

    def __init__(self) -> None:
        self.tell: Callable[[Snapshot | Changes], object] = lambda news: None
        self.uuid_namespace = b""

    def ask(self, name: str, *arguments: object, returns: Any, repeatable: bool = True) -> Future[Any]:
        """Nobody asks."""
        raise NotImplementedError

    def watch_directory(self, listener: Callable[[Snapshot | Changes], object]) -> None:
        """Remember the listener."""
        self.tell = listener


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
    assert list(directory._known_keys) == [KEY.secret]


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


@pytest.mark.database
def test_a_list_is_ensured_at_every_start(db: Path) -> None:
    """Made with its account the first time, found afterwards and by any number of processes; never another account's."""
    with EventTracking(db) as tracking, EventTracking(db) as other:
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit((tracking, other)[i % 2].directory.ensure_list, 7, "News", "acme") for i in range(16)]
        assert {one.result().list_id for one in asked} == {7}
        assert [found.name for found in tracking.directory.lists()] == ["News"]
        assert tracking.directory.ensure_list(7, "Other", "acme").name == "News"
        with pytest.raises(AlreadyExists, match="'acme'"):
            tracking.directory.ensure_list(7, "News", "bob")
        assert [account.name for account in tracking.directory.accounts()] == ["acme"]


@pytest.mark.database
def test_a_lists_page_key_is_the_same_for_every_process_and_after_every_start(db: Path) -> None:
    """However many ask at once it is made once; other origins and other lists have another."""
    with EventTracking(db) as tracking, EventTracking(db) as other:
        for list_id in (7, 8):
            tracking.directory.ensure_list(list_id, "News", "acme")
        with ThreadPoolExecutor(8) as pool:
            (key,) = set(pool.map(lambda i: (tracking, other)[i % 2].directory.page_key(7), range(16)))
        others = {tracking.directory.page_key(8), tracking.directory.page_key(7, origins=["https://shop.example.com"])}
        assert len(others - {key}) == 2
        made = tracking.directory.keys()
        assert [(key.scope, key.list_ids) for key in made] == [("ingest", [i]) for i in (7, 8, 7)]
    with EventTracking(db) as tracking:
        assert tracking.directory.page_key(7) == key
        tracking.track(7, "view", email="a@example.com", api_key=key)
        assert f'data-key="{key}"' in tracking.snippet(7)
        assert len(tracking.directory.keys()) == 3


@pytest.mark.database
def test_a_page_key_that_was_revoked_is_followed_by_another(db: Path) -> None:
    """It stays revoked, for those who still have it in their pages."""
    with EventTracking(db) as tracking:
        tracking.directory.ensure_list(7, "News")
        first = tracking.directory.page_key(7)
        tracking.directory.revoke_key(first)
        second = tracking.directory.page_key(7)
        assert second == tracking.directory.page_key(7) != first
        with pytest.raises(NotAuthenticated):
            tracking.track(7, "view", email="a@example.com", api_key=first)
        tracking.track(7, "view", email="a@example.com", api_key=second)


def test_a_page_key_is_of_its_store_alone(tmp_path: Path) -> None:
    """Another store's cannot be told from it, though names and ids are the same; nor is one of another account used."""
    keys = []
    for name in ("one", "other"):
        with EventTracking(tmp_path / name) as tracking:
            tracking.directory.ensure_list(7, "News")
            keys.append(tracking.directory.page_key(7))
            tracking.directory.delete_list(7)
            with pytest.raises(NotFound):
                tracking.directory.page_key(7)
            tracking.directory.ensure_list(7, "News", "another")
            keys.append(tracking.directory.page_key(7))
            tracking.track(7, "view", email="a@example.com", api_key=keys[-1])
    assert len(set(keys)) == 4


def test_what_cannot_be_sent_is_not_waited_for(db: Path) -> None:
    """Whoever asks gets the error, and closing the tracker does not wait for an answer that cannot come."""
    tracking = EventTracking(db, commit_wait_s=60)
    tracking.directory.create_account("acme")
    for name in (object(), "\ud800"):
        with pytest.raises((TypeError, UnicodeEncodeError)):
            tracking.store.ask(operations.ACCOUNT_ID, name)
    assert not tracking.store._busy(), "close() would wait for it"
    tracking.close()
