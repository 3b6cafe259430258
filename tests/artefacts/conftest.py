"""A build that several modules here look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builds import build_release, once


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> Path:
    """A copy of the checkout where CONTRIBUTING.md's commands have built a release in `dist` and installed it in `dist/try`."""
    return once(request, "release", build_release)
