"""The pytest plugin with the fixture `falcon_events`. pytest loads it in every run, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from falcon_events.testing.fixture import FalconEvents


@pytest.fixture(name="falcon_events")
def _falcon_events() -> Iterator[FalconEvents]:
    """Event tracking for a test: a store in memory, a clock that the test sets, and assertions (docs/testing.md)."""
    from falcon_events.testing.fixture import FalconEvents

    with FalconEvents() as events:
        yield events
