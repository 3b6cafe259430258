"""What people who run a store ask of it: counts, exports, copies, checks, and what it has of a person."""

from __future__ import annotations

from pathlib import Path

import msgspec

from falcon_events.admin.metrics import exposition
from falcon_events.link.link import Link
from falcon_events.model import operations
from falcon_events.model.persons import Erased, PersonalData, StoredEvent, build_visitor
from falcon_events.model.reports import EVERYTHING, Check, ObservedProperty, OwnerState, Recount, Selection, Sizes, Stats, Table


class StoreAdmin:
    """What people who run a store ask of it; `tracking.admin` is one.

    The calls wait for the answer; from a coroutine, make them in a thread.

    Args:
        store: the link to the store.
    """

    def __init__(self, store: Link) -> None:
        self._store = store

    def recount(self, list_id: int) -> Recount:
        """Counts the properties of a list afresh from all its events, and says whether the catalogue differs."""
        return self._store.ask(operations.RECOUNT, list_id).result()

    def observed_properties(self, list_id: int | None = None) -> list[ObservedProperty]:
        """Count the events of a list, or of all lists, by event type, property and type of value.

        Args:
            list_id: the list; None for all of them.
        """
        return self._store.ask(operations.OBSERVED_PROPERTIES, list_id).result()

    def stats(self) -> Stats:
        """What the store holds."""
        return self._store.ask(operations.STATS).result()

    def export(self, target: str | Path, form: str, selection: Selection = EVERYTHING) -> int:
        """Writes events to a file and gives their number.

        Args:
            target: the file to write; it is replaced.
            form: `parquet` (the columns of the table) or `ndjson` (one request body a line).
            selection: which events; all of them by default.

        Raises:
            EventsError: the file cannot be written.
        """
        path = str(Path(target).absolute())
        return self._store.ask(operations.EXPORT, selection, path, form).result()

    def personal_data(
        self, list_id: int, *, email: str | None = None, id: str | None = None, uuid: str | None = None
    ) -> PersonalData:
        """All that is stored of a person within a list, as someone may ask who wants to know.

        Args:
            list_id: the list.
            email: the person's address, in any case; or
            id: the person's id in the sender's system; or
            uuid: the visitor's uuid.

        Raises:
            NotFound: nothing is stored.
            EventsError: not exactly one of the three is given.
        """
        person = build_visitor(list_id, email, id, uuid)
        data = self._store.ask(operations.PERSONAL_DATA, person).result()
        return msgspec.json.decode(data, type=PersonalData)

    def erase(self, list_id: int, *, email: str | None = None, id: str | None = None, uuid: str | None = None) -> Erased:
        """Removes a person from a list: events, bindings, EventIDs, and what the catalogue counts of them.

        The rows are gone at once, and their bytes from the file with the next compact(). Arguments and errors are those of
        personal_data().
        """
        return self._store.ask(operations.ERASE, build_visitor(list_id, email, id, uuid)).result()

    def latest(self, list_id: int, *, after: int = 0, most: int = 20) -> list[tuple[int, StoredEvent]]:
        """The last events of a list, in order of arrival, each with its number of sequence in the store.

        Args:
            list_id: the list.
            after: only events after this number of sequence.
            most: how many at the most.
        """
        data = self._store.ask(operations.LATEST, list_id, after, most).result()
        return msgspec.json.decode(data, type=list[tuple[int, StoredEvent]])

    def sql(self, query: str) -> Table:
        """The rows of one SQL statement that only looks (docs/database.md has the tables); the store goes on meanwhile.

        Raises:
            EventsError: the statement would change something, or the database refuses it.
        """
        return self._store.ask(operations.SQL, query).result()

    def backup(self, target: str | Path) -> int:
        """Writes a copy of the store as it is at this moment, and gives its size in bytes; the store goes on meanwhile.

        Restoring it is copying it to the store's place while nobody uses the store.

        Raises:
            EventsError: it cannot be written.
        """
        return self._store.ask(operations.BACKUP, str(Path(target).absolute())).result()

    def compact(self) -> Sizes:
        """Gives the disk space of deleted events back; events and queries wait until it is done.

        Raises:
            EventsError: there is no room for the new file beside the old one.
        """
        return self._store.ask(operations.COMPACT).result()

    def check(self) -> list[Check]:
        """What is right and wrong with the store; reads every row of it."""
        return self._store.ask(operations.CHECK).result()

    def metrics(self) -> bytes:
        """Metrics of all processes that use the store, in Prometheus' text format (docs/metrics.md); needs the extra `metrics`.

        Raises:
            EventsError: prometheus_client is not installed.
        """
        return exposition(self._store.ask(operations.METRICS).result())

    def owner(self) -> OwnerState:
        """The process that holds the store's file, and those that use it."""
        return self._store.ask(operations.OWNER).result()
