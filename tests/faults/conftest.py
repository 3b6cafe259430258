"""One flavour for faults below HTTP."""

from __future__ import annotations

import pytest


@pytest.fixture
def flavour(one_flavour: str) -> str:
    """One flavour per test, as the fault is below HTTP; a test in which it matters is parametrized with both."""
    return one_flavour
