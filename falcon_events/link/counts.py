"""What one process counts for the store's metrics, and tells the owner of the store."""

from __future__ import annotations

from collections import Counter

from falcon_events.link.messages import Counted


class Counts:
    """What one process counts."""

    def __init__(self) -> None:
        self.refused: Counter[int] = Counter()
        """How many requests were refused with which code."""
        self.told: Counter[str] = Counter()
        """What else is counted, by name (metrics.py)."""
        self._said: Counted | None = None

    def news(self, waiting: int) -> Counted | None:
        """What the owner is to be told, with how many events wait here; None where it knows."""
        counted = Counted(dict(self.refused), dict(self.told), waiting)
        if counted == self._said:
            return None
        self._said = counted
        return counted

    def say_again(self) -> None:
        """Another owner knows nothing yet."""
        self._said = None
