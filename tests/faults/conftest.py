"""Fixtures that save time (see tests/shortcuts.py), and one flavour for faults below HTTP."""

from __future__ import annotations

import pytest

from tests.shortcuts import _filled, credentials, one_flavour, shared_tls_contexts, tracking

__all__ = ["_filled", "credentials", "one_flavour", "shared_tls_contexts", "tracking"]


@pytest.fixture
def flavour(one_flavour: str) -> str:
    """One flavour per test, as the fault is below HTTP; a test in which it matters is parametrized with both."""
    return one_flavour
