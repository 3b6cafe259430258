"""Counts of one process for the store's metrics, which it reports to the owner."""

from __future__ import annotations

from collections import Counter

from falcon_events.link.messages import Counted


class Counts:
    """Counts of one process."""

    def __init__(self) -> None:
        self.refused: Counter[int] = Counter()
        """How many requests were refused, by code."""
        self.named_counts: Counter[str] = Counter()
        """Other counts, by the names in model/reports.py."""
        self._sent: Counted | None = None

    def take_update(self, waiting: int) -> Counted | None:
        """Return the counts to send to the owner, with how many events wait here; None if they have not changed."""
        counted = Counted(dict(self.refused), dict(self.named_counts), waiting)
        if counted == self._sent:
            return None
        self._sent = counted
        return counted

    def mark_unsent(self) -> None:
        """Have the counts sent again: a new owner has not received them."""
        self._sent = None
