"""The falcon-events command."""

from falcon_events.cli.main import main

__all__ = ["main"]
