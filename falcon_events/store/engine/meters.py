"""Meters: counts and durations of the store's work, for monitoring systems."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from falcon_events.model.events import Receipt
from falcon_events.model.reports import Distribution, Measures

BATCH_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SECONDS_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Histogram:
    """Histogram of observed values.

    Args:
        bounds: the upper bounds of the buckets, ascending. One more bucket counts larger values.
    """

    def __init__(self, bounds: Iterable[float]) -> None:
        self._bounds = list(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def snapshot(self) -> Distribution:
        """Return the counts so far."""
        return Distribution(self._bounds, list(self._counts), self._total)


class Meters:
    """Meters of a store since it was opened. The threads that do the work write them; any thread reads them."""

    def __init__(self) -> None:
        self._stored = self._duplicates = self._dropped = self._failed = 0
        self._batches = Histogram(BATCH_BOUNDS)
        self._commits = Histogram(SECONDS_BOUNDS)
        self._applications = Histogram(SECONDS_BOUNDS)
        self._folds = Histogram(SECONDS_BOUNDS)

    def count_batch(self, receipts: list[Receipt], dropped: int, seconds: float) -> None:
        """Count a committed batch and the duration of its commit."""
        duplicates = sum(receipt.duplicate for receipt in receipts)
        self._duplicates += duplicates
        self._dropped += dropped
        self._stored += len(receipts) - duplicates - dropped
        self._batches.observe(len(receipts))
        self._commits.observe(seconds)

    def count_failed(self, events: int) -> None:
        """Count events that could not be stored."""
        self._failed += events

    def observe_apply(self, seconds: float) -> None:
        """Count the duration of a transaction that applied journal entries to the tables."""
        self._applications.observe(seconds)

    def observe_fold(self, seconds: float) -> None:
        """Count the duration of a fold."""
        self._folds.observe(seconds)

    def snapshot(self) -> Measures:
        """Return the counts so far."""
        return Measures(
            self._stored,
            self._duplicates,
            self._dropped,
            self._failed,
            self._batches.snapshot(),
            self._commits.snapshot(),
            self._applications.snapshot(),
            self._folds.snapshot(),
        )
