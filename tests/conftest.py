"""How a run goes (what it skips, in which order, what it must not leave behind), and the fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking
from tests import leftovers, needs, order
from tests.builds import build_packages, build_site_of_checkout, folder_of_run, once
from tests.harness import FLAVOURS, Client, Credentials, Served, fill_store, make_store, serving
from tests.image import Stage, build

_REQUIRES_ALL = bool(os.environ.get(needs.REQUIRE_ALL))
_BEGAN, _MARK = pytest.StashKey[float](), pytest.StashKey[str]()


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is one of several test processes of a run, and not the one that has started them."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Mark the processes of this run."""
    if not _is_worker(config):
        config.stash[_BEGAN] = leftovers.now()
        config.stash[_MARK] = leftovers.mark_run()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, Any, Any]:
    """End what the tests have left behind; the run fails if there is anything."""
    result = yield  # the test processes have ended now
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if _is_worker(config) or reporter is None or config.option.collectonly:
        return result
    folder = folder_of_run(config, config._tmp_path_factory)  # type: ignore[attr-defined]
    left = leftovers.end(config.stash[_MARK], folder, config.stash[_BEGAN])
    if left:
        text = "Processes that the tests started were still alive, and have been killed:\n" + "\n".join(map(str, left))
        where = ("tests/leftovers.py", None, "processes left behind")
        report = pytest.TestReport("tests/leftovers.py", where, {}, "failed", text, "teardown")
        reporter.stats.setdefault("error", []).append(report)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what is missing, with a line that says how to get it."""
    needs.require(*(name for mark in item.iter_markers("needs") for name in mark.args))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skips into failures, where the environment says so."""
    report = yield
    if _REQUIRES_ALL:
        needs.fail_instead_of_skipping(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn skips of whole modules into failures, where the environment says so."""
    report = yield
    if _REQUIRES_ALL:
        needs.fail_instead_of_skipping(report)
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that take longest first, so that no test process is left alone with one at the end."""
    items.sort(key=lambda item: order.rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each module to one test process, so that what its tests share is made once."""
    return order.scheduler(config, log)


@pytest.fixture(params=FLAVOURS, scope="session")
def flavour(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs once per flavour."""
    name: str = request.param
    return name


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The path of a store that does not exist yet."""
    return tmp_path / "events.duckdb"


@pytest.fixture
def tracking(db: Path) -> Iterator[EventTracking]:
    """An open, empty tracker."""
    with EventTracking(db) as tracking:
        yield tracking


@pytest.fixture
def credentials(tracking: EventTracking) -> Credentials:
    """Accounts, lists and keys in `tracking`."""
    return fill_store(tracking)


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
def built(request: pytest.FixtureRequest) -> Path:
    """A folder with a wheel and an sdist of this checkout."""
    return once(request, "packages", build_packages)


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Path:
    """The documentation's site, as `mkdocs build --strict` makes it."""
    return once(request, "site", build_site_of_checkout)
