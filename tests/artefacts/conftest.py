"""Builds that several modules here look at."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.blocks import ROOT, shell, text_of
from tests.builds import once

COPIED = ("falcon_events", "jsonschemas", "tests", "benchmarks", "docs", "examples", "tools", ".ci")
FILES = ("pyproject.toml", "mkdocs.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")


def copy_checkout(folder: Path) -> Path:
    """Copy what a clone has into a new folder."""
    folder.mkdir()
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> Path:
    """A copy of the checkout where CONTRIBUTING.md's commands have built a release in `dist` and installed it in `dist/try`."""

    def make(folder: Path) -> None:
        (copy_checkout(folder) / ".venv").symlink_to(sys.prefix)
        done = shell(text_of("CONTRIBUTING.md sh 7"), folder)
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "dist" / "said").write_text(done.stdout)

    return once(request, "release", make)
