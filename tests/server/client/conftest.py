"""Both clients, and a server of each kind."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import pytest

from tests.harness import serving
from tests.server.client.common import World
from tests.shortcuts import make_store


@pytest.fixture(params=("sync", "async"))
def kind(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs with the sync and with the async client."""
    name: str = request.param
    return name


@pytest.fixture(scope="package")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], World]]:
    """A server of each flavour, started when it is first asked for."""
    with contextlib.ExitStack() as running:

        @functools.cache
        def world(flavour: str) -> World:
            db = tmp_path_factory.mktemp("client") / "events.duckdb"
            made = make_store(db)
            return running.enter_context(contextlib.closing(World(running.enter_context(serving(db, flavour)), made)))

        yield world


@pytest.fixture
def world(one_flavour: str, worlds: Callable[[str], World]) -> World:
    """A server of one flavour, as clients cannot tell them apart; shared by tests, which use event types of their own."""
    return worlds(one_flavour)
