"""The fixtures that all tests share. How a run goes is in tests/hooks.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.builds import build_documentation, once
from tests.harness import FLAVOURS, Client, Credentials, Served, serving
from tests.hooks import (
    pytest_collection_modifyitems as pytest_collection_modifyitems,
    pytest_configure as pytest_configure,
    pytest_make_collect_report as pytest_make_collect_report,
    pytest_runtest_makereport as pytest_runtest_makereport,
    pytest_runtest_setup as pytest_runtest_setup,
    pytest_sessionfinish as pytest_sessionfinish,
    pytest_xdist_auto_num_workers as pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler as pytest_xdist_make_scheduler,
)
from tests.image import Stage, build
from tests.shortcuts import (
    _filled as _filled,
    credentials as credentials,
    make_store,
    one_flavour as one_flavour,
    shared_tls_contexts as shared_tls_contexts,
    tracking as tracking,
)


@pytest.fixture(params=FLAVOURS, scope="session")
def flavour(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs once per flavour."""
    name: str = request.param
    return name


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The path of a store that does not exist yet."""
    return tmp_path / "events.duckdb"


class Api:
    """A running server of one flavour, shared by tests: they use names of their own."""

    def __init__(self, served: Served, credentials: Credentials) -> None:
        self.served = served
        self.credentials = credentials
        self.client: Client = served.client

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.served.url


@pytest.fixture(scope="session")
def api(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The standalone server with fill_store's contents."""
    db = tmp_path_factory.mktemp(flavour) / "events.duckdb"
    credentials = make_store(db)
    with serving(db, flavour) as served:
        yield Api(served, credentials)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """What the Dockerfile's steps make."""
    needs.require("containers", "useradd")
    folder = tmp_path_factory.mktemp("image")
    for path in (folder, *folder.parents[:2]):  # pytest's own, which another user may not pass otherwise
        path.chmod(0o755)
    return build(Path(__file__).parents[1], folder)


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Path:
    """The documentation's site, in the copy of the checkout in which CONTRIBUTING.md's commands have built it."""
    return once(request, "documentation", build_documentation) / "site"
