"""Entries that are journaled and not in the tables yet, and those who wait for the tables to have them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from falcon_events.errors import StoreUnavailable
from falcon_events.model.events import CANNOT_NOW
from falcon_events.store.engine.entry import Entry, add_names

APPLIED_AFTER_S = 0.1
"""How long an entry may wait for others to be written into the tables with it."""
APPLIED_AT_ONCE = 5_000
"""How many events are written into the tables at once; so many are written without waiting."""
MOST_BYTES = 64 << 20
"""How much may be journaled and not in the tables, before new events wait."""


class Backlog:
    """Between the thread that journals entries and the one that writes them into the tables."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Notified when an entry or another piece of work has come, and when entries are in the tables."""
        self.told: Callable[[], object] = lambda: None
        """Called when entries are in the tables."""
        self._entries: deque[tuple[Entry, int]] = deque()
        self._events = self._bytes = 0
        self._newest = self._stored = self._wanted = 0
        self._since = 0.0

    def add(self, entry: Entry, size: int) -> None:
        """Adds an entry that was journaled; `size` is how many bytes it takes."""
        with self.changed:
            if not self._entries:
                self._since = time.monotonic()
                self.changed.notify_all()
            before = self._events
            self._entries.append((entry, size))
            self._newest = entry.number
            self._events += entry.count
            self._bytes += size
            if before < APPLIED_AT_ONCE <= self._events:
                self.changed.notify_all()

    def first(self, most: int = APPLIED_AT_ONCE) -> list[Entry]:
        """The next entries for the tables: at least one, if there is any, and of so many events at the most."""
        taken: list[Entry] = []
        events = 0
        with self.changed:
            for entry, _ in self._entries:
                events += entry.count
                if taken and events > most:
                    break
                taken.append(entry)
        return taken

    def stored(self, number: int) -> list[Entry]:
        """Lets go of the entries up to this one, which the tables have, and gives them."""
        gone = []
        with self.changed:
            while self._entries and self._entries[0][0].number <= number:
                entry, size = self._entries.popleft()
                self._events -= entry.count
                self._bytes -= size
                gone.append(entry)
            self._stored = max(self._stored, number)
            self._since = time.monotonic()
            self.changed.notify_all()
        if gone:
            self.told()
        return gone

    def due_s(self) -> float | None:
        """In how many seconds entries are to be written; 0 for now, None where there are none. With `changed` held."""
        if not self._entries:
            return None
        if self._wanted > self._stored or self._events >= APPLIED_AT_ONCE:
            return 0.0
        return max(0.0, self._since + APPLIED_AFTER_S - time.monotonic())

    def is_due(self) -> bool:
        """Whether entries are to be written now."""
        with self.changed:
            return self.due_s() == 0

    def take_in(self, failed: Callable[[], bool]) -> None:
        """Returns once the tables have every entry that is journaled by now.

        Args:
            failed: whether nothing is written into the tables at present.

        Raises:
            StoreUnavailable: they cannot have them now.
        """
        with self.changed:
            wanted = self._newest
            if self._stored >= wanted:
                return
            self._wanted = max(self._wanted, wanted)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._stored >= wanted or failed())
            if self._stored < wanted:
                raise StoreUnavailable(CANNOT_NOW)

    def wait_for_room(self, failed: Callable[[], bool]) -> None:
        """Returns once there is room for more, or nothing is written into the tables at present."""
        if self._bytes > MOST_BYTES:
            with self.changed:
                self.changed.wait_for(lambda: self._bytes <= MOST_BYTES or failed())

    def names(self, list_id: int) -> dict[str, set[str]]:
        """The property names of a list's events that the tables do not have yet, by event type."""
        with self.changed:
            entries = [entry for entry, _ in self._entries]
        names: dict[str, set[str]] = {}
        for entry in entries:
            add_names(names, entry, list_id)
        return names

    def __len__(self) -> int:
        """How many events are not in the tables yet."""
        return self._events
