"""Pruner: deletes events that are older than their list keeps them, a portion at a time, in the writer thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, timedelta

from falcon_events.errors import EventsError
from falcon_events.model.reports import PruneReport
from falcon_events.model.time_zones import find_time_zone
from falcon_events.query.ranges import localize, start_of_day
from falcon_events.store.database import duckdb, pruning
from falcon_events.store.database.pruning import Cut, DaySpan, KeptFor

PORTION = 5_000
"""The most events that one transaction deletes, so that other work waits for a fraction of a second."""
SPAN_DAYS = 400
"""The most days that the events of a portion are of."""
LOOK_S = 2.0
"""How often the lists' rules are read, and the oldest events looked for."""
GRACE_S = 10.0
"""How long after a rule is read for the first time it is applied: somebody may look first what it deletes, or correct it."""
LEAST_PAUSE_S, PAUSE = 0.2, 4
"""The pause after a portion: at least this long, and this many times as long as it took."""
RESENT_S = 60.0
"""How long after it is opened a store keeps what arrived this short before: a host may send it again, which is looked up."""
UNITS_S, FORGET_S = 600.0, 60.0
"""How long after the last change of a day's totals it is known whom they count, and how often it is looked for such days."""
MOST_UNITS = 1_000_000
"""From how many on they are forgotten earlier, because many days are deleted one after the other."""
NO_SEQ = 2**62
ARRIVED = "select min(seq) from events where received_at >= make_timestamp($since)"


class Pruner:
    """Deletes events by their age. All its methods are for the writer thread, and raise duckdb.Error.

    Args:
        connection: the writing connection.
        clock: returns the current time in seconds since 1970.
        fold_all: folds new events; returns whether none are left for later.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, clock: Callable[[], float], fold_all: Callable[[], bool]) -> None:
        self._connection = connection
        self._clock = clock
        self._fold_all = fold_all
        self._next = self._next_forget = 0.0
        self._most = PORTION
        self._seen: dict[KeptFor, float] = {}
        """When each rule was read for the first time, by time.monotonic()."""
        self._released = time.monotonic() + RESENT_S
        ((first,),) = connection.execute(ARRIVED, {"since": int((clock() - RESENT_S) * 1e6)}).fetchall()
        self._hold_seq = NO_SEQ if first is None else int(first)

    def run_when_due(self) -> bool:
        """Delete a portion if it is time to; return whether more may be left to delete."""
        if (began := time.monotonic()) < self._next:
            return False
        if began >= self._next_forget:
            pruning.forget_units(self._connection, int((self._clock() - UNITS_S) * 1e6))
            self._next_forget = began + FORGET_S
        is_more = False
        rules = pruning.read_rules(self._connection)
        self._seen = {rule: self._seen.get(rule, began) for rule in rules}
        hold_seq = NO_SEQ if began >= self._released else self._hold_seq
        for rule in rules:
            if began >= self._seen[rule] + GRACE_S and (is_more := self._prune(rule, hold_seq) is not None):
                break
        self._next = time.monotonic() + (max(LEAST_PAUSE_S, PAUSE * (time.monotonic() - began)) if is_more else LOOK_S)
        return is_more

    def prune_portion(self, rule: KeptFor) -> int | None:
        """Delete a portion now, and return of how many events; 0: events had to be folded first. None: none are left."""
        return self._prune(rule, NO_SEQ)

    def _prune(self, rule: KeptFor, hold_seq: int) -> int | None:
        cut = make_cut(rule, self._clock())
        oldest, _ = pruning.find_oldest(self._connection, cut, hold_seq)
        if oldest is None and not pruning.has_unfolded(self._connection, cut):
            return None
        if not self._fold_all():
            return 0
        oldest, limit = pruning.find_oldest(self._connection, cut, hold_seq)
        if oldest is None:
            return None
        while True:
            try:
                span, now_us = list_days(oldest, cut), int(self._clock() * 1e6)
                count = pruning.prune(self._connection, cut, span, limit, self._most, now_us)
                if pruning.count_units(self._connection) > MOST_UNITS:
                    pruning.forget_units(self._connection, now_us)  # but for those of this portion, whose day may go on
                return count
            except duckdb.OutOfMemoryException:
                if self._most == 1:
                    raise
                self._most //= 2


def make_cut(rule: KeptFor, now_s: float) -> Cut:
    """Return which events of a list are too old: those before the day that is as many days before today as they are kept."""
    zone = find_time_zone(rule.time_zone) or find_time_zone("UTC")
    assert zone is not None
    day = max(localize(int(now_s * 1e6), zone).date() - timedelta(days=rule.days), date(1900, 1, 1))
    return Cut(rule.list_id, rule.time_zone, start_of_day(day, zone), day)


def list_days(oldest: int, cut: Cut) -> DaySpan:
    """Return the days that a portion may have events of, from that of the oldest one to the last one that is too old."""
    zone = find_time_zone(cut.time_zone) or find_time_zone("UTC")
    assert zone is not None
    day = localize(oldest, zone).date()
    begins: dict[int, date] = {}
    while day < cut.day and len(begins) < SPAN_DAYS:
        begins[start_of_day(day, zone)] = day  # of two that begin at the same time, the time zone skips the first
        day += timedelta(days=1)
    return DaySpan(list(begins.values()), list(begins), min(start_of_day(day, zone), cut.before))


def find_rules(connection: duckdb.DuckDBPyConnection, list_id: int | None, keep_days: int | None = None) -> list[KeptFor]:
    """Return the rules of all lists whose events are not kept for ever, or that of one list.

    Args:
        connection: any connection.
        list_id: the list; None: all.
        keep_days: the rule that the list shall have instead of its own; None: its own.

    Raises:
        EventsError: the events of this list are kept for ever.
    """
    if list_id is not None and keep_days is not None:
        return [KeptFor(list_id, keep_days, pruning.read_time_zone(connection, list_id))]
    rules = pruning.read_rules(connection)
    if list_id is None:
        return rules
    found = [rule for rule in rules if rule.list_id == list_id]
    if not found:
        raise EventsError(
            f"List {list_id} keeps its events for ever. `falcon-events lists rules {list_id} --keep-days N` changes that."
        )
    return found


def report(connection: duckdb.DuckDBPyConnection, rule: KeptFor, now_s: float) -> PruneReport:
    """Report how many events of a list are too old, and the oldest day that will be left."""
    cut = make_cut(rule, now_s)
    zone = find_time_zone(rule.time_zone) or find_time_zone("UTC")
    assert zone is not None
    due, awaited, oldest = pruning.count_due(connection, cut)
    left = None if oldest is None else localize(oldest, zone).date().isoformat()
    return PruneReport(rule.list_id, rule.days, rule.time_zone, cut.day.isoformat(), due, awaited, left)
