"""What the owner knows for a monitoring system: of the store, of its deliveries, and what each process has counted."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from falcon_events.files.paths import logs_of
from falcon_events.link.messages import Counted
from falcon_events.model.reports import HealthState, Metrics
from falcon_events.store.store import Store
from falcon_events.webhooks.dispatcher import Dispatcher


class Tally:
    """What the processes that use the store have counted, those that have left included; not thread-safe by itself."""

    def __init__(self) -> None:
        self._counted: dict[str, Counted] = {}

    def note(self, client: str, counted: Counted) -> None:
        """Notes what a process has counted since it started."""
        self._counted[client] = counted

    def left(self, client: str) -> None:
        """Forgets a process that has left, if it has counted nothing."""
        if (counted := self._counted.get(client)) is not None and not (counted.refused or counted.told):
            del self._counted[client]

    def totals(self) -> tuple[Counter[int], Counter[str]]:
        """The refused requests by code, and what else is counted by name."""
        refused: Counter[int] = Counter()
        told: Counter[str] = Counter()
        for counted in self._counted.values():
            refused.update(counted.refused)
            told.update(counted.told)
        return refused, told


class Processes(NamedTuple):
    """Those that use a store through its owner; `since` is when that started, in seconds since 1970."""

    refused: Counter[int]
    told: Counter[str]
    waiting: int
    clients: int
    owner_changes: int
    since: float


def metrics_of(store: Store, dispatcher: Dispatcher | None, processes: Processes) -> Metrics:
    """The metrics of a store."""
    measures, waiting, journaled = store.measures()
    path = store.path
    return Metrics(
        measures=measures,
        refused=dict(processes.refused),
        told=dict(processes.told),
        waiting=waiting + processes.waiting,
        journaled=journaled,
        clients=processes.clients,
        owner_changes=processes.owner_changes,
        owner_started_at=processes.since,
        file_bytes=path.stat().st_size if path.exists() else 0,
        log_bytes=sum(log.stat().st_size for log in logs_of(path) if log.exists()),
        deliveries={} if dispatcher is None else dispatcher.counts(),
        deliveries_waiting=0 if dispatcher is None else dispatcher.waiting(),
        healthy=store.health().state is HealthState.OK,
    )
