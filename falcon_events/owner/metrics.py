"""Metrics in the owner process: those of the store, of its deliveries, and the counts of each client process."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from falcon_events.files.paths import logs_of
from falcon_events.link.messages import Counted
from falcon_events.model.reports import HealthState, Metrics
from falcon_events.store.store import Store
from falcon_events.webhooks.dispatcher import Dispatcher


class ClientCounts:
    """Counts of the processes that use the store, including those that have ended. Not thread-safe."""

    def __init__(self) -> None:
        self._counted: dict[str, Counted] = {}

    def note(self, client: str, counted: Counted) -> None:
        """Note the counts of a process since it started."""
        self._counted[client] = counted

    def forget_empty(self, client: str) -> None:
        """Forget a process that has ended, if all its counts are zero."""
        if (counted := self._counted.get(client)) is not None and not (counted.refused or counted.named_counts):
            del self._counted[client]

    def totals(self) -> tuple[Counter[int], Counter[str]]:
        """Return the sums over all processes: refused requests by code, and other counts by name."""
        refused: Counter[int] = Counter()
        named_counts: Counter[str] = Counter()
        for counted in self._counted.values():
            refused.update(counted.refused)
            named_counts.update(counted.named_counts)
        return refused, named_counts


class ProcessMetrics(NamedTuple):
    """Metrics of the processes that use a store. `since` is when the owner started, in seconds since 1970."""

    refused: Counter[int]
    named_counts: Counter[str]
    waiting: int
    clients: int
    owner_changes: int
    since: float


def build_metrics(store: Store, dispatcher: Dispatcher | None, processes: ProcessMetrics) -> Metrics:
    """Collect the metrics of a store."""
    measures, waiting, journaled = store.measures()
    path = store.path
    return Metrics(
        measures=measures,
        refused=dict(processes.refused),
        named_counts=dict(processes.named_counts),
        waiting=waiting + processes.waiting,
        journaled=journaled,
        clients=processes.clients,
        owner_changes=processes.owner_changes,
        owner_started_at=processes.since,
        file_bytes=path.stat().st_size if path.exists() else 0,
        log_bytes=sum(log.stat().st_size for log in logs_of(path) if log.exists()),
        deliveries={} if dispatcher is None else dispatcher.counts(),
        deliveries_waiting=0 if dispatcher is None else dispatcher.waiting(),
        filters=store.filters(),
        healthy=store.health().state is HealthState.OK,
    )
