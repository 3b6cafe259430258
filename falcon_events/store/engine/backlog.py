"""Backlog: journal entries that are not in the tables yet, and the threads that wait for them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from falcon_events.errors import StoreUnavailable
from falcon_events.model.events import CANNOT_NOW
from falcon_events.store.engine.entry import Entry, add_names

APPLIED_AFTER_S = 0.1
"""How long an entry waits, so that later ones are applied in the same transaction."""
APPLIED_AT_ONCE = 5_000
"""The number of events in one transaction. A backlog of this size is applied without waiting."""
BYTES_AT_ONCE = 16 << 20
"""The most bytes of entries in one transaction, unless one entry has more: its rows must fit into memory at its commit."""
MAX_BYTES = 64 << 20
"""The size of the backlog above which new events wait."""
ROOM_WAIT_S = 1.0
"""How long they wait, in seconds, before they are refused: a compaction of a large file takes minutes."""
BEHIND = "The event store is busy with work on its file, and has no room for more events meanwhile. Try again later."


class Backlog:
    """Queue between the thread that journals entries and the thread that applies them to the tables."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Notified when an entry or a task arrives, and when entries have been applied."""
        self.on_applied: Callable[[], object] = lambda: None
        """Called after entries have been applied to the tables."""
        self._entries: deque[tuple[Entry, int]] = deque()
        self._events = self._bytes = 0
        self._newest = self._applied = self._wanted = 0
        self._since = 0.0
        self._full_since: float | None = None

    def add(self, entry: Entry, size: int) -> None:
        """Add a journaled entry; `size` is its size in bytes."""
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

    def peek(self, most: int = APPLIED_AT_ONCE) -> list[Entry]:
        """Return the oldest entries, with at most `most` events and BYTES_AT_ONCE, but at least one entry if there is any."""
        taken: list[Entry] = []
        events = total = 0
        with self.changed:
            for entry, size in self._entries:
                events += entry.count
                total += size
                if taken and (events > most or total > BYTES_AT_ONCE):
                    break
                taken.append(entry)
        return taken

    def remove_applied(self, number: int) -> list[Entry]:
        """Remove the entries up to this number, which have been applied to the tables, and return them."""
        removed = []
        with self.changed:
            while self._entries and self._entries[0][0].number <= number:
                entry, size = self._entries.popleft()
                self._events -= entry.count
                self._bytes -= size
                removed.append(entry)
            self._applied = max(self._applied, number)
            self._since = time.monotonic()
            self.changed.notify_all()
        if removed:
            self.on_applied()
        return removed

    def due_s(self) -> float | None:
        """Return in how many seconds entries must be applied: 0 for now, None if there are none.

        The caller holds `changed`.
        """
        if not self._entries:
            return None
        if self._wanted > self._applied or self._events >= APPLIED_AT_ONCE:
            return 0.0
        return max(0.0, self._since + APPLIED_AFTER_S - time.monotonic())

    def is_due(self) -> bool:
        """Whether entries must be applied now."""
        with self.changed:
            return self.due_s() == 0

    def wait_until_applied(self, failed: Callable[[], bool]) -> None:
        """Wait until every entry journaled so far has been applied to the tables.

        Args:
            failed: returns whether the store has failed, so that nothing is applied.

        Raises:
            StoreUnavailable: the store has failed, and the entries have not been applied.
        """
        with self.changed:
            wanted = self._newest
            if self._applied >= wanted:
                return
            self._wanted = max(self._wanted, wanted)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._applied >= wanted or failed())
            if self._applied < wanted:
                raise StoreUnavailable(CANNOT_NOW)

    def wait_for_room(self, failed: Callable[[], bool]) -> None:
        """Wait until the backlog has room for more, or the store has failed.

        Raises:
            StoreUnavailable: the backlog has had no room for ROOM_WAIT_S.
        """
        if self._bytes <= MAX_BYTES:
            self._full_since = None
            return
        with self.changed:
            if self._full_since is None:
                self._full_since = time.monotonic()
            left_s = self._full_since + ROOM_WAIT_S - time.monotonic()
            if not self.changed.wait_for(lambda: self._bytes <= MAX_BYTES or failed(), max(0.0, left_s)):
                raise StoreUnavailable(BEHIND)
            self._full_since = None

    def is_behind(self) -> bool:
        """Return whether events are refused because the backlog has no room."""
        since = self._full_since
        return since is not None and self._bytes > MAX_BYTES and time.monotonic() >= since + ROOM_WAIT_S

    def property_names(self, list_id: int) -> dict[str, set[str]]:
        """Return the property names, by event type, of a list's events in the backlog."""
        with self.changed:
            entries = [entry for entry, _ in self._entries]
        names: dict[str, set[str]] = {}
        for entry in entries:
            add_names(names, entry, list_id)
        return names

    def __len__(self) -> int:
        """Return how many events are not in the tables yet."""
        return self._events
