"""Upkeep of an open database: folds events, fills columns, expires EventIDs, deletes old events, checkpoints the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, columns, duckdb, promoted
from falcon_events.store.database.portions import PortionSize
from falcon_events.store.database.pruning import KeptFor
from falcon_events.store.engine.checkpoints import IDLE_RESTART_S, RESTART_S, Checkpoints
from falcon_events.store.engine.meters import Meters
from falcon_events.store.engine.name_limits import NameLimits
from falcon_events.store.engine.pruner import Pruner
from falcon_events.store.engine.recall import Recall
from falcon_events.store.engine.tables import Tables

logger = logging.getLogger(__name__)

IDLE_FOLD_SHARE = 10
"""An idle store is folded from this fraction of `fold_events` on: one tenth."""
EXPIRY_INTERVAL_S = 600.0
EXPIRY_S, EXPIRY_PAUSE_S = 0.1, 0.5
"""How long EventIDs are deleted before other work gets its turn, and when the deletion of very many continues."""
COLUMNS_SHARE = 2
"""Under load, columns are written for this many times `fold_events`, because many events at once take less time each."""
COLUMNS_PAUSE = 4
"""Under load, columns are written for at most a quarter of the time, also if all events of an earlier release lack theirs."""
COLUMNS_AT_ONCE = 20_000
"""How many events get their typed columns in one transaction, so that other work waits for a fraction of a second."""
FILL_INTERVAL_S = 1.0
"""Under load, how often it is looked up whether columns of promoted properties lack values."""
KEYS_OF_EVENT = 200
"""How many keys of visitors and addresses may be looked through for each event that is folded."""
FOLDED_NAMES = 500_000
"""From this number of names in new events on, they are folded even if they are few, because a query reads all of the names."""


class Upkeep:
    """Upkeep of an open database, in the writer thread. Its methods raise duckdb.Error.

    Args:
        connection: the writing connection.
        tables: the tables, which know the last seq.
        recall: knows the bindings that the table bindings lacks.
        limits: counts the names of events that are not folded yet, and what each list may still have.
        settings: how far the catalogue may lag behind.
        clock: returns the current time in seconds since 1970.
        meters: counts the folds.
        checkpoints: checkpoints the log.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: Tables,
        recall: Recall,
        limits: NameLimits,
        settings: Settings,
        clock: Callable[[], float],
        meters: Meters,
        checkpoints: Checkpoints,
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._recall = recall
        self._limits = limits
        self._settings = settings
        self._clock = clock
        self._meters = meters
        self._checkpoints = checkpoints
        self._next_idle_expiry = self._next_columns = self._next_fill = 0.0
        self._next_expiry = time.monotonic() + EXPIRY_INTERVAL_S
        self._filled_at_once = COLUMNS_AT_ONCE
        self._is_tidy = False
        self.folded_seq = catalogue.read_folded_seq(connection)
        """The catalogue's watermark."""
        self._columns_seq = columns.read_columns_seq(connection)
        self._keys = columns.count_keys(connection)
        self._pruner = Pruner(connection, clock, self._fold_all)

    @property
    def last_seq(self) -> int:
        """The seq of the last event in the tables."""
        seq: int = self._tables.last_seq
        return seq

    @property
    def events_without_columns(self) -> int:
        """How many events have no typed columns yet, so that questions read them from their JSON."""
        count: int = self._tables.last_seq - self._columns_seq
        return count

    def run_when_idle(self) -> bool:
        """Fold, fill promoted columns, store filters, delete expired EventIDs and checkpoint, as far as each is due when idle.

        Returns:
            Whether many events still lack their typed columns or values of promoted properties, or are still to be deleted
            because of their age.
        """
        least = max(1, self._settings.fold_events // IDLE_FOLD_SHARE)
        self.fold(least)
        self.fold_columns(least)
        filled = self.fill_promoted()
        self._tables.store_filters()
        self._forget_event_ids(self._next_idle_expiry)
        is_pruning = self._prune()
        self._checkpoints.run_when_due(IDLE_RESTART_S)
        return is_pruning or filled or self.events_without_columns >= COLUMNS_AT_ONCE

    def run_after_commit(self) -> None:
        """Do the same, as far as each is due even under load."""
        self._checkpoints.count_commit()
        self.fold(1 if self._limits.unfolded_names >= FOLDED_NAMES else self._settings.fold_events)
        if (began := time.monotonic()) >= self._next_columns:
            self.fold_columns(max(COLUMNS_SHARE * self._settings.fold_events, self._keys // KEYS_OF_EVENT))
            self._next_columns = began + COLUMNS_PAUSE * (time.monotonic() - began)
        if (began := time.monotonic()) >= self._next_fill:
            more = self.fill_promoted()
            self._next_fill = began + (COLUMNS_PAUSE * (time.monotonic() - began) if more else FILL_INTERVAL_S)
        self._tables.store_filters()
        self._forget_event_ids(self._next_expiry)
        self._prune()
        self._checkpoints.run_when_due(RESTART_S)

    def run_at_close(self) -> None:
        """Fold everything, store the filters and checkpoint, so that the store opens quickly."""
        self.fold(1)
        self.fold_columns(1)
        self._tables.stop_reading()
        self._tables.store_filters(closing=True)
        self._checkpoints.run_at_close()

    def fold(self, least: int) -> None:
        """Fold the new events into the catalogue if there are at least `least`. If memory runs out, fold smaller portions."""
        size = PortionSize(sys.maxsize)
        while self._tables.last_seq - self.folded_seq >= least:
            began = time.perf_counter()
            last = min(self._tables.last_seq, self.folded_seq + size.events)
            try:
                if bindings := self._recall.unfolded_bindings(last):
                    self._tables.fold_bindings(bindings)
                    self._recall.forget_folded(bindings)
                catalogue.fold(self._connection, last)
            except duckdb.OutOfMemoryException:
                if last - self.folded_seq == 1:
                    raise
                size.halve(last - self.folded_seq)
                least = 1
            else:
                self.folded_seq = last
                size.note_fit()
                self._limits.note_fold(self._connection)
                self._meters.observe_fold(time.perf_counter() - began)

    def fold_columns(self, least: int) -> bool:
        """Write the typed columns of a portion of the events that lack them, if there are at least `least`.

        The events of a store from an earlier release get theirs portion by portion. Until then, they are read from their JSON.
        If memory runs out, a portion is folded in smaller ones.

        Returns:
            Whether it was a whole portion, so that there may be more.
        """
        if self.events_without_columns < least:
            return False
        began = time.perf_counter()
        size = left = min(self.events_without_columns, COLUMNS_AT_ONCE)
        is_whole = size == COLUMNS_AT_ONCE
        while left:
            try:
                reached = columns.fold(self._connection, self._columns_seq + size)
            except duckdb.OutOfMemoryException:
                if size == 1:
                    raise
                size //= 2
            else:
                self._checkpoints.count_commit()
                left -= size if reached == self._columns_seq + size else left
                self._columns_seq = reached
                size = min(size, left)
        self._keys = columns.count_keys(self._connection)
        self._meters.observe_fold(time.perf_counter() - began)
        return is_whole

    def clear_columns(self) -> None:
        """Remove all typed columns, so that they are written anew."""
        columns.clear(self._connection)
        self._checkpoints.count_commit()
        self._columns_seq = self._keys = 0

    def fill_promoted(self) -> bool:
        """Fill or clear the columns of promoted properties for a portion of the events. Return whether there may be more to do.

        Filled values take memory until a checkpoint: when there are many, and none can be made now, the rest is filled later.
        """
        if not self._is_tidy:  # a process may have been killed before it removed a column
            self._is_tidy = True
            (promoted.drop_unused if self._settings.asked_properties else promoted.remove_asked)(self._connection)
        if self._checkpoints.has_updated_much():
            self._checkpoints.run_when_due(0.0)
        if self._checkpoints.has_updated_much():
            return False
        while True:
            try:
                written = promoted.fill_portion(self._connection, self._filled_at_once)
            except duckdb.OutOfMemoryException:
                if self._filled_at_once == 1:
                    raise
                self._filled_at_once //= 2
            else:
                break
        self._filled_at_once = min(2 * self._filled_at_once, COLUMNS_AT_ONCE)
        if written is None:
            return False
        self._checkpoints.count_commit(written)
        return True

    def prune_portion(self, rule: KeptFor) -> int | None:
        """Delete a portion of a list's events that are too old (see pruner.py)."""
        count: int | None = self._pruner.prune_portion(rule)
        self._checkpoints.count_commit()
        self._checkpoints.run_when_due(RESTART_S)
        return count

    def _prune(self) -> bool:
        """Delete a portion of events that are too old, if it is time to; return whether more may be left."""
        if is_pruning := self._pruner.run_when_due():
            self._checkpoints.count_commit()
        return is_pruning

    def _fold_all(self) -> bool:
        """Fold new events, at most a portion of those without columns; return whether none are left for later."""
        self.fold(1)
        self.fold_columns(1)
        return self.events_without_columns == 0 and self.folded_seq == self._tables.last_seq

    def _forget_event_ids(self, due: float) -> None:
        """Delete expired EventIDs if this time has come. Deleting very many of them leaves other work its turn."""
        if (now := time.monotonic()) >= due:
            before_us = int((self._clock() - self._settings.event_id_window_s) * 1e6)
            all_deleted = self._tables.forget_event_ids(before_us, EXPIRY_S)
            self._next_expiry = self._next_idle_expiry = now + (EXPIRY_INTERVAL_S if all_deleted else EXPIRY_PAUSE_S)
