"""A list of its own for each test, a site that embeds the tracker, and a browser."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon_events import EventTracking
from tests.harness import FLAVOURS, Served, make_store, serving
from tests.server.browser.common import Browser, Door, Events, Site, chromium

_list_ids = itertools.count(1000)


@pytest.fixture(scope="session", params=FLAVOURS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The standalone server of one flavour."""
    db = tmp_path_factory.mktemp("pages") / "events.duckdb"
    make_store(db)
    with serving(db, request.param) as served:
        yield served


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
def world(server: Served) -> Iterator[World]:
    """A world of the test's own."""
    made = World(server)
    yield made
    made.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser with a fresh profile."""
    with chromium(tmp_path / "profile") as driver:
        yield driver
