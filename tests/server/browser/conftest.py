"""A list of its own for each test, a site that embeds the tracker, and a browser."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator

import pytest

from falcon_events import EventTracking
from tests.harness import Served, serving
from tests.server.browser.common import PACE, Browser, Door, Events, Site, chromium
from tests.shortcuts import make_store

pytest.register_assert_rewrite("tests.server.browser.walk_pages")
_list_ids = itertools.count(1000)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """The standalone server of each flavour, started when it is first asked for."""
    with contextlib.ExitStack() as running:

        @functools.cache
        def server(flavour: str) -> Served:
            db = tmp_path_factory.mktemp("pages") / "events.duckdb"
            make_store(db)
            return running.enter_context(serving(db, flavour))

        yield server


class World:
    """A list, the door to its server, and a site with pages that embed the tracker."""

    def __init__(self, served: Served) -> None:
        assert served.db is not None
        self.db = served.db
        self.list_id = next(_list_ids)
        self.site = Site()
        self.door = Door(served.url)
        with EventTracking(served.db, create=False) as tracking:
            tracking.directory.create_list("alice", "of a test", self.list_id)
        self.events = Events(served.db, self.list_id)

    def snippet(self, nonce: str = "", **options: str) -> str:
        """The snippet, with a key for this site's pages."""
        with EventTracking(self.db, create=False) as tracking:
            return tracking.snippet(self.list_id, url=self.door.url, origins=[self.site.origin], nonce=nonce, **options)

    def page(self, path: str = "/", body: str = "", **options: str) -> str:
        """Puts a page up that embeds the tracker; its address."""
        return self.site.add(path, self.snippet(**options), body)

    def names(self) -> dict[str, list[str]]:
        """The list's property names by event type."""
        with EventTracking(self.db, create=False) as tracking:
            return tracking.properties(self.list_id)

    def close(self) -> None:
        """Takes it all down."""
        self.events.close()
        self.site.close()
        self.door.close()


@pytest.fixture
def world(one_flavour: str, servers: Callable[[str], Served]) -> Iterator[World]:
    """A world of the test's own, on one flavour: the script's requests are the same for both, and others test the endpoints."""
    made = World(servers(one_flavour))
    yield made
    made.events.settle()
    made.close()


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser of all tests that need no profile of their own."""
    with chromium(tmp_path_factory.mktemp("profile") / "profile", network_log=True) as driver:
        driver.get("about:blank")
        yield driver


@pytest.fixture
def browser(request: pytest.FixtureRequest, shared_browser: Browser) -> Iterator[Browser]:
    """A browser that has never been anywhere, in a tab that no other test has used. In a world's pages time goes by faster."""
    shared_browser.switch_to.new_window("tab")
    if "world" in request.fixturenames:
        shared_browser.hurry(PACE)
    yield shared_browser
    shared_browser.blank()
