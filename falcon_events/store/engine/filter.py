"""A filter in front of a table: nearly every key that the table lacks is known to be new without asking it.

It needs rbloom (`falcon-events[standard]`); without it the table is always asked, which takes longer and finds the same.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable

import duckdb

try:
    import rbloom
except ImportError:
    rbloom = None  # type: ignore[assignment]

FALSE_ALARMS = 0.001
"""How many of the unknown keys are looked up in the table all the same."""
LEAST_KEYS = 1 << 18
MOST_KEYS = 1 << 24
"""How many keys a filter is made for: half a megabyte to 30. With more of them it raises more false alarms."""
LOADED_AT_ONCE = 5_000


class Filter:
    """The keys of a table. One thread adds to it, and it is filled in one that has a connection.

    Args:
        count: the statement that counts the table's keys.
        keys: the statement that reads them.
    """

    def __init__(self, count: str, keys: str) -> None:
        self._count = count
        self._keys = keys
        self._filter: rbloom.Bloom | None = None
        self._filling: rbloom.Bloom | None = None
        self._room = 0
        self._thread: threading.Thread | None = None
        self._closing = False

    def may_have(self, key: Hashable) -> bool:
        """Whether the table has to be asked."""
        return self._filter is None or key in self._filter

    def add(self, keys: Iterable[Hashable]) -> None:
        """Adds keys that the table will have."""
        for key in keys:
            self._room -= 1
            for kept in (self._filter, self._filling):
                if kept is not None:
                    kept.add(key)

    def fill(self, connection: duckdb.DuckDBPyConnection, coming: Iterable[Hashable]) -> None:
        """Fills it where it is new or has no more room: many keys in a thread of its own, until which the old one serves.

        Args:
            connection: a cursor of it reads the table.
            coming: the keys that were added and are not in the table yet.
        """
        if rbloom is None or self._room > 0 or self._filling is not None:
            return
        ((stored,),) = connection.execute(self._count).fetchall()
        size = min(max(LEAST_KEYS, 2 * stored), MOST_KEYS)
        self._room = max(size - stored, stored // 2, LEAST_KEYS)  # a larger table is read again when it has grown by half
        self._filling = filling = rbloom.Bloom(size, FALSE_ALARMS)  # from here on add() adds to it
        filling.update(list(coming))
        self._closing = False
        cursor = connection.cursor()
        if stored <= LOADED_AT_ONCE:
            self._load(cursor, filling)
            return
        self._thread = threading.Thread(target=self._load, args=(cursor, filling), name="falcon-events-filter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the filling: its cursor would keep the database alive."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()

    def _load(self, cursor: duckdb.DuckDBPyConnection, filling: rbloom.Bloom) -> None:
        try:
            rows = cursor.execute(self._keys)
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
