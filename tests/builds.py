"""Builds that all test processes of a run share: the first one that needs a build makes it, the others wait for it."""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blocks import ROOT, shell, text_of

FOLDERS = ("falcon_events", "jsonschemas", "tests", "benchmarks", "docs", "examples", "packaging", "tools", ".ci")
FILES = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "pyproject.toml", "mkdocs.yml", "Makefile"),
    *("Dockerfile", ".dockerignore"),
)


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


def copy_checkout(folder: Path) -> Path:
    """Copy what a clone has into a new folder, with the environment of these tests as its own."""
    folder.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def build_release(folder: Path) -> None:
    """Build a release in `dist` of a copy of the checkout, and install it in `dist/try`, by CONTRIBUTING.md's commands."""
    done = shell(text_of("CONTRIBUTING.md sh 7"), copy_checkout(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "dist" / "said").write_text(done.stdout)


def build_documentation(folder: Path) -> None:
    """Build the documentation's site in `site` of a copy of the checkout, by CONTRIBUTING.md's commands, without a warning."""
    done = shell(text_of("CONTRIBUTING.md sh 4"), copy_checkout(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
