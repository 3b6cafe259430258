"""How tests with hypothesis run: always with the same examples, and with fewer where a run before has tried them all."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FEW = os.environ.get("TESTS_FEW_EXAMPLES") == "1"


def at_random(examples: int) -> settings:
    """Settings of a test that tries so many examples; a quarter of them with TESTS_FEW_EXAMPLES=1 in the environment."""
    return settings(
        max_examples=max(examples // 4, 3) if FEW else examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
