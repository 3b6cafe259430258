"""Builds that all test processes of a run share: the first one that needs a build makes it, the others wait for it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def folder_of_run(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that all test processes of a run have in common."""
    own = factory.getbasetemp()
    return own.parent if hasattr(config, "workerinput") else own


def once(request: pytest.FixtureRequest, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder of the run in which `make` has done its work.

    Args:
        request: the fixture's.
        name: what the folder is called.
        make: called with the path of the folder, which does not exist yet; tests must not change what it makes there.
    """
    shared = folder_of_run(request.config, request.getfixturevalue("tmp_path_factory"))
    target, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(target)
            done.touch()
    return target


def build_packages(folder: Path) -> None:
    """Build a wheel and an sdist of the checkout."""
    code = "import sys; from hatchling.build import build_sdist, build_wheel; build_wheel(sys.argv[1]); build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True)


def build_site(target: Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `mkdocs build --strict` in a folder that has mkdocs.yml."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def build_site_of_checkout(target: Path) -> None:
    """Build the documentation's site, without a warning."""
    done = build_site(target)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
