"""A run of the tests: what is missing is skipped or fails, and what is left behind is ended, named, and fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.harness import pytest_environment
from tests.needs import NEEDS, Need

ROOT = Path(__file__).parents[2]
CONFTEST = """
import pytest
from tests import needs
from tests.hooks import *

needs.NEEDS["unicorn"] = needs.Need("apt-get install unicorn", lambda: False)
"""
NEEDING = """
import pytest
from tests.needs import require

@pytest.mark.needs("unicorn")
def test_marked():
    raise AssertionError

def test_calling():
    require("unicorn")
    raise AssertionError
"""
LEAVING = """
import os, subprocess, sys

def test_leaving(tmp_path):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
    environment = {} if %r else os.environ
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env=environment, cwd=tmp_path)
    (tmp_path.parent / "pid").write_text(str(process.pid))
"""


def run(folder: Path, code: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a test module to its end, as a run of its own with the hooks of these tests."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_module.py").write_text(code)
    kept = {name: value for name, value in pytest_environment("xdist.plugin").items() if name != needs.REQUIRE_ALL}
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "--basetemp", str(folder / "temporary")]
    environment = {**kept, "PYTHONPATH": str(ROOT), "LEFTOVERS_PATIENCE_S": "0", **env}
    return subprocess.run(
        [*command, *options, str(folder)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_what_needs_a_missing_program_is_skipped_with_a_line(tmp_path: Path) -> None:
    """Which says what is missing, and how to get it."""
    done = run(tmp_path, NEEDING)
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
    assert "needs unicorn: apt-get install unicorn" in done.stdout


def test_one_test_process_more_than_there_are_cores(tmp_path: Path) -> None:
    """For `-n auto`."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # which the run inherits
    try:
        done = run(tmp_path, NEEDING, "-n", "auto")
    finally:
        os.sched_setaffinity(0, cores)
    assert "2 workers [2 items]" in done.stdout


def test_no_skip_is_accepted_where_the_environment_says_so(tmp_path: Path) -> None:
    """Neither by the mark nor by a call."""
    done = run(tmp_path, NEEDING, "-n", "2", **{needs.REQUIRE_ALL: "1"})
    assert done.returncode == 1, done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]
    assert "needs unicorn: apt-get install unicorn" in done.stdout


@pytest.mark.parametrize(
    ("options", "is_bare"), [(("-n", "2"), False), ((), True)], ids=["inherited environment", "empty environment"]
)
def test_a_process_that_is_left_behind_fails_the_run(tmp_path: Path, options: tuple[str, ...], is_bare: bool) -> None:
    """It is named with its command, and killed."""
    done = run(tmp_path, LEAVING % is_bare, *options, "-W", "ignore")
    assert done.returncode == 1, done.stdout
    assert "1 passed" in done.stdout
    assert "1 error" in done.stdout
    (pid,) = (path.read_text() for path in (tmp_path / "temporary").rglob("pid"))
    assert f"process {pid}: {sys.executable} -c import signal" in done.stdout
    status = Path(f"/proc/{pid}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()  # it has ended, though nobody may have asked for it yet


def test_every_need_says_how_to_get_it() -> None:
    """In one line."""
    for name, need in NEEDS.items():
        assert isinstance(need, Need)
        assert need.remedy
        assert "\n" not in need.remedy, name
