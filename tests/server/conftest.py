"""Fixtures that save time: see tests/shortcuts.py."""

from tests.shortcuts import _filled, credentials, one_flavour, shared_tls_contexts, tracking

__all__ = ["_filled", "credentials", "one_flavour", "shared_tls_contexts", "tracking"]
