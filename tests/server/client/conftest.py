"""Both clients, and a server of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import FLAVOURS, make_store, serving
from tests.server.client.common import World


@pytest.fixture(params=("sync", "async"))
def kind(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs with the sync and with the async client."""
    name: str = request.param
    return name


@pytest.fixture(scope="package", params=FLAVOURS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server of each kind, shared by tests: they use event types of their own."""
    db = tmp_path_factory.mktemp("client") / "events.duckdb"
    made = make_store(db)
    with serving(db, request.param) as served:
        found = World(served, made)
        yield found
        found.close()
