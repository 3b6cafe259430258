"""A small shop with known answers, and the dashboard that shows it, on both flavours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal
from tests.server.dashboard.site import Site
from tests.shop import fill_shop

MARCH = "2026-03-01..2026-03-31"
"""The range of time that has the shop's events but for one."""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A tracker with the events of tests/shop.py on list 1. Tests that change something use a store of their own."""
    with EventTracking(tmp_path_factory.mktemp("shop") / "events.duckdb") as tracking:
        fill_shop(tracking)
        yield tracking


@pytest.fixture
def dashboard(shop: EventTracking, flavour: str) -> Site:
    """The shop's dashboard, for somebody who may do everything."""
    return Site(shop, flavour, lambda request: Principal("*"))
