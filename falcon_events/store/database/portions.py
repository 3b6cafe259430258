"""Reading many events in portions: where the memory runs out, because events are large, in smaller ones."""

from __future__ import annotations

from collections.abc import Callable

from falcon_events.store.database import duckdb

_SPAN = "select min(rowid), max(rowid) from events where seq > $since and seq <= $until"
OF_PORTION = "seq > $since and seq <= $until and rowid >= $first_row and rowid <= $last_row"
"""The condition on the events of a portion.

Where a condition on seq stands alone and seq is read, DuckDB reads the properties of 2,048 events at once: large ones would need
more memory than there is.
"""


GROW_AFTER = 16
"""How many portions succeed before a larger one is tried: each that is too large takes its time in vain."""


class PortionSize:
    """The number of events of a portion: halved where the memory runs out, doubled again after GROW_AFTER portions that fit.

    Args:
        most: how many events a portion has at most.
    """

    def __init__(self, most: int) -> None:
        self.events = self._most = most
        self._fitted = 0

    def note_fit(self) -> None:
        """Count a portion for which the memory sufficed."""
        self._fitted += 1
        if self._fitted % GROW_AFTER == 0:
            self.events = min(2 * self.events, self._most)

    def halve(self, tried: int) -> None:
        """Take half of a number of events, for which the memory did not suffice."""
        self.events, self._fitted = tried // 2, 0


def find_portion(connection: duckdb.DuckDBPyConnection, since: int, until: int) -> dict[str, int] | None:
    """Return the parameters of OF_PORTION for the events with seqs above `since` up to `until`; None if there are none."""
    bounds = {"since": since, "until": until}
    ((first_row, last_row),) = connection.execute(_SPAN, bounds).fetchall()
    return None if first_row is None else {**bounds, "first_row": first_row, "last_row": last_row}


def run_in_portions(
    connection: duckdb.DuckDBPyConnection, since: int, until: int, at_once: int, run: Callable[[dict[str, int]], bool | None]
) -> bool:
    """Run a function for portions of the events, in the order of storage, until it returns true.

    Call it outside of a transaction, because one in which the memory ran out cannot go on.

    Args:
        connection: a connection to the store.
        since: the seq before that of the first event.
        until: the seq of the last event.
        at_once: how many events a portion has at most.
        run: called with the parameters of OF_PORTION. If it raises OutOfMemoryException, it is called again for smaller portions.

    Returns:
        Whether the function has returned true.

    Raises:
        duckdb.OutOfMemoryException: the memory does not suffice for a single event.
    """
    size = PortionSize(at_once)
    while since < until:
        last = min(since + size.events, until)
        bounds = find_portion(connection, since, last)
        if bounds is not None:
            try:
                if run(bounds):
                    return True
            except duckdb.OutOfMemoryException:
                if last - since == 1:
                    raise
                size.halve(last - since)
                continue
        since = last
        size.note_fit()
    return False
