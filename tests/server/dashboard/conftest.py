"""A small shop with known answers, and the dashboard that shows it.

Pages are made by code that knows no flavour, so most tests visit them on one of the two. What differs is tested on both:
signing in, the sections of the data, and the pages in host applications.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal
from tests.server.dashboard.site import Site
from tests.shop import fill_shop
from tests.shortcuts import write_store

MARCH = "2026-03-01..2026-03-31"
"""The range of time that has the shop's events but for one."""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A tracker with the events of tests/shop.py on list 1. Tests that change something use a store of their own."""
    with EventTracking(tmp_path_factory.mktemp("shop") / "events.duckdb") as tracking:
        fill_shop(tracking)
        yield tracking


@pytest.fixture
def dashboard(shop: EventTracking, one_flavour: str) -> Site:
    """The shop's dashboard, for somebody who may do everything."""
    return Site(shop, one_flavour, lambda request: Principal("*"))


@cache
def fill_closed_shop() -> bytes:
    """A closed store with the shop's events, which is made once per process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.duckdb"
        with EventTracking(path) as tracking:
            fill_shop(tracking)
        return path.read_bytes()


@pytest.fixture
def own(db: Path) -> Iterator[EventTracking]:
    """The shop in a store of its own, for tests that change it."""
    write_store(db, fill_closed_shop())
    with EventTracking(db) as tracking:
        yield tracking


@pytest.fixture
def site(own: EventTracking, one_flavour: str) -> Site:
    """The dashboard of that store, for somebody who may do everything."""
    return Site(own, one_flavour, lambda request: Principal("*"))
