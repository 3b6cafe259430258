"""Host applications under test: trackers that modules create, lists that applications ensure, and the keys in pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from falcon_events import AlreadyExists, Credential, EventsError, EventTracking, InvalidRequest, NotFound, Principal, Scope
from falcon_events.testing.fixture import FalconEvents
from tests.blocks import environment


class OwnAccess:
    """The host's own accounts, with a key for the pages of list 7."""

    def __init__(self, key: object = "page-7") -> None:
        self.key = key

    async def identify(self, credential: Credential) -> Principal | str | None:
        """Two keys for pages, one of which may only read."""
        keys = {"page-7": Principal("ada", Scope.INGEST, list_ids=frozenset([7])), "reader": Principal("ada", Scope.READ)}
        return keys.get(credential.secret) or ("ada" if credential.secret == "full" else None)

    async def owns_list(self, account: str, list_id: int) -> bool:
        """Ada has list 7."""
        return (account, list_id) == ("ada", 7)

    async def page_key(self, list_id: int) -> object:
        """The key for any list's pages."""
        return self.key


class WithoutPageKey:
    """The host's own accounts, as they were before page keys."""

    def identify(self, credential: Credential) -> str | None:
        """Nobody."""
        return None

    def owns_list(self, account: str, list_id: int) -> bool:
        """Nothing."""
        return False


def test_a_page_gets_the_hosts_own_key(db: Path) -> None:
    """With own accounts, snippet() uses the key that they name; a page that has it can track."""
    with EventTracking(db, access=OwnAccess()) as tracking:
        (key,) = re.findall('data-key="([^"]*)"', tracking.snippet(7))
        assert tracking.track(7, "pageView", uuid="11111111-2222-4333-8444-555555555555", api_key=key)
        assert 'data-key="anything"' in tracking.snippet(7, "anything")


@pytest.mark.parametrize("key", ["unknown", "reader", None, "", 7])
def test_a_key_that_the_tracker_would_refuse_is_not_handed_out(key: object, db: Path) -> None:
    """Whatever the host's accounts return; the message names the method."""
    with EventTracking(db, access=OwnAccess(key)) as tracking, pytest.raises(EventsError, match=r"access\.page_key\(7\)"):
        tracking.snippet(7)


def test_a_key_for_another_list_is_not_handed_out(db: Path) -> None:
    """Neither by the host's accounts nor by the store's."""
    with EventTracking(db, access=OwnAccess()) as tracking, pytest.raises(EventsError, match=r"access\.page_key\(8\)"):
        tracking.snippet(8)
    with EventTracking(db) as tracking:
        for list_id in (1, 2):
            tracking.directory.ensure_list(list_id, "List")
        for scope, lists, word in (("ingest", [2], "not bound to list 1"), ("read", None, "scope is read")):
            key = tracking.directory.create_key("default", scope, list_ids=lists).key
            with pytest.raises(EventsError, match=word):
                tracking.snippet(1, key)
    with EventTracking(db) as tracking, pytest.raises(EventsError, match="scope is read"):
        tracking.snippet(1, key)  # as the first call, which opens the store


def test_accounts_without_page_keys_are_told_what_to_do(db: Path) -> None:
    """The store's own keys would be refused, so none is created."""
    with EventTracking(db, access=WithoutPageKey()) as tracking:
        with pytest.raises(EventsError, match=r"page_key\(list_id\)"):
            tracking.snippet(1)
        assert tracking.directory.keys() == []


def test_code_that_names_an_unknown_list_is_told_what_to_call(tracking: EventTracking) -> None:
    """In track(), properties() and snippet(); the codes and messages of the API stay."""
    with pytest.raises(InvalidRequest, match=r"ensure_list\(4711, ") as refused:
        tracking.track(4711, "signup", email="ada@example.com")
    assert [(failure.code, failure.message) for failure in refused.value.failures] == [(4, "Invalid ListID parameter")]
    with pytest.raises(InvalidRequest, match=r"ensure_list\(4711, "):
        tracking.properties("4711")
    with pytest.raises(NotFound, match=r"ensure_list\(4711, "):
        tracking.snippet(4711)
    with pytest.raises(InvalidRequest) as other:
        tracking.track("x", "signup", email="ada@example.com")
    assert "ensure_list" not in str(other.value)


def test_the_fixture_and_the_applications_list_agree() -> None:
    """Whichever comes first; the fixture's key is valid on the application's list."""
    with FalconEvents() as events:
        events.tracking.directory.ensure_list(1, "Customers", account="shop")
        assert events.list_id == 1
        events.tracking.track(1, "signup", email="ada@example.com", api_key=events.api_key)
    with FalconEvents() as events:
        assert events.list_id == 1
        assert events.tracking.directory.ensure_list(1, "Customers").list_id == 1
        with pytest.raises(AlreadyExists):
            events.tracking.directory.ensure_list(1, "Customers", account="shop")


def test_a_modules_tracker_never_touches_the_live_store_in_tests(tmp_path: Path) -> None:
    """With the setting, two trackers of one path share a temporary store, which is gone when the process has ended."""
    code = """
import sys
from falcon_events import EventTracking
first, second = EventTracking("live.duckdb"), EventTracking("live.duckdb", create=False)
first.directory.ensure_list(1, "Customers")
first.track(1, "signup", email="ada@example.com")
assert second.stats().events == 2
print(first.store.path)
"""
    env = {**environment(), "FALCON_EVENTS_TEMPORARY_STORE": "yes"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "falcon-events-test-" in done.stdout
    assert not Path(done.stdout.strip()).parent.exists()
    assert list(tmp_path.iterdir()) == []
