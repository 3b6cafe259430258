"""Counts and times of the writer's work, as a monitoring system wants them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from falcon_events.model.events import Receipt
from falcon_events.model.reports import Distribution, Measures

BATCH_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SECONDS_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Histogram:
    """How often which values came.

    Args:
        bounds: the upper bounds of its buckets, ascending; one more bucket takes the rest.
    """

    def __init__(self, bounds: Iterable[float]) -> None:
        self._bounds = list(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def state(self) -> Distribution:
        """What has been counted."""
        return Distribution(self._bounds, list(self._counts), self._total)


class Meters:
    """What has been done since the store was opened; written in the threads that do it, read in any."""

    def __init__(self) -> None:
        self._stored = self._duplicates = self._dropped = self._failed = 0
        self._batches = Histogram(BATCH_BOUNDS)
        self._commits = Histogram(SECONDS_BOUNDS)
        self._applications = Histogram(SECONDS_BOUNDS)
        self._folds = Histogram(SECONDS_BOUNDS)

    def committed(self, receipts: list[Receipt], dropped: int, seconds: float) -> None:
        """Counts a batch."""
        duplicates = sum(receipt.duplicate for receipt in receipts)
        self._duplicates += duplicates
        self._dropped += dropped
        self._stored += len(receipts) - duplicates - dropped
        self._batches.observe(len(receipts))
        self._commits.observe(seconds)

    def failed(self, events: int) -> None:
        """Counts events that could not be stored."""
        self._failed += events

    def applied(self, seconds: float) -> None:
        """Counts a transaction that wrote journal entries into the tables."""
        self._applications.observe(seconds)

    def folded(self, seconds: float) -> None:
        """Counts a fold."""
        self._folds.observe(seconds)

    def state(self) -> Measures:
        """What has been counted."""
        return Measures(
            self._stored,
            self._duplicates,
            self._dropped,
            self._failed,
            self._batches.state(),
            self._commits.state(),
            self._applications.state(),
            self._folds.state(),
        )
