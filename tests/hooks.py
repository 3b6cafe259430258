"""How a run of the tests goes: what it skips, in which order, and what it must not leave behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

from tests import leftovers, needs, order
from tests.builds import folder_of_run

_REQUIRES_ALL = bool(os.environ.get(needs.REQUIRE_ALL))
_BEGAN, _MARK = pytest.StashKey[float](), pytest.StashKey[str]()


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is one of several test processes of a run, and not the one that has started them."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Mark the processes of this run, which end by Ctrl-C even if a script has begun the run in the background.

    They keep the package's bytecode, also where the environment says otherwise: compiling it takes half of a process's start.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Have `-n auto` start one test process more than there are cores: many tests wait for other processes.

    Where the environment names a number, that one counts, as by pytest-xdist itself.
    """
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else len(os.sched_getaffinity(0)) + 1
