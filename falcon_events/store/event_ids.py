"""Which EventIDs are known: those whose rows are still to be written, and a filter in front of the table of all others."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import duckdb
import rbloom

from falcon_events.store.entry import EventIDRow
from falcon_events.store.plan import EventKey
from falcon_events.store.records import Receipt

FALSE_ALARMS = 0.001
"""How many of the unknown EventIDs are looked up in the table all the same."""
LEAST_KEYS = 1 << 18
MOST_KEYS = 1 << 24
"""How many EventIDs the filter is made for: half a megabyte to 30. With more of them it raises more false alarms."""
LOADED_AT_ONCE = 5_000

COUNT_KEYS = "select count(*) from event_ids"
EVERY_KEY = "select account_id, event_id::varchar from event_ids"


class EventIDs:
    """Answers most questions for an EventID from memory: an unknown one is nearly always known to be new."""

    def __init__(self) -> None:
        self._pending: dict[EventKey, tuple[Receipt, int]] = {}
        self._filter: rbloom.Bloom | None = None
        self._filling: rbloom.Bloom | None = None
        self._room = 0
        self._thread: threading.Thread | None = None
        self._closing = False

    def pending(self, key: EventKey) -> tuple[Receipt, int] | None:
        """The answer and the time of receipt of an EventID that is not in the table yet."""
        return self._pending.get(key)

    def may_be_stored(self, key: EventKey) -> bool:
        """Whether the table has to be asked, after pending()."""
        return self._filter is None or key in self._filter

    def add(self, rows: Iterable[EventIDRow]) -> None:
        """Remembers EventIDs that were journaled."""
        for row in rows:
            key = (row.account_id, row.event_id)
            receipt = Receipt(row.event_id, row.visitor, row.external_id, row.identify_event_sent, duplicate=True)
            self._pending[key] = (receipt, row.stored_at)
            for kept in (self._filter, self._filling):
                if kept is not None:
                    kept.add(key)
            self._room -= 1

    def stored(self, rows: Iterable[EventIDRow]) -> None:
        """Leaves to the table what it has by now."""
        for row in rows:
            key = (row.account_id, row.event_id)
            if (known := self._pending.get(key)) is not None and known[1] == row.stored_at:
                del self._pending[key]

    def fill(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Makes the filter anew where it has no more room, in a thread of its own; until then the old one, if any, serves.

        Args:
            connection: a cursor of it reads the table.
        """
        if self._room > 0 or self._filling is not None:
            return
        ((stored,),) = connection.execute(COUNT_KEYS).fetchall()
        size = min(max(LEAST_KEYS, 2 * stored), MOST_KEYS)
        self._room = max(size - stored, LEAST_KEYS)
        self._filling = filling = rbloom.Bloom(size, FALSE_ALARMS)  # from here on add() adds to it
        filling.update(list(self._pending))
        self._closing = False
        self._thread = threading.Thread(
            target=self._load, args=(connection.cursor(), filling), name="falcon-events-filter", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends the filling: its cursor would keep the database alive."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()

    def _load(self, cursor: duckdb.DuckDBPyConnection, filling: rbloom.Bloom) -> None:
        try:
            rows = cursor.execute(EVERY_KEY)
            while not self._closing and (keys := rows.fetchmany(LOADED_AT_ONCE)):
                filling.update(keys)
        except duckdb.Error:  # the database has failed, and is opened anew
            self._closing = True
        finally:
            cursor.close()
        if self._closing:
            self._room = 0  # the table is asked until the next filling
        else:
            self._filter = filling
        self._filling = None
