"""Bloom filter in front of a table: it recognizes nearly every new key without a query.

It needs rbloom (`falcon-events[standard]`). Without rbloom the table is always queried, which is slower and finds the same.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable

import duckdb

try:
    import rbloom
except ImportError:
    rbloom = None  # type: ignore[assignment]

FALSE_POSITIVE_RATE = 0.001
"""The share of new keys for which the table is queried all the same."""
MIN_KEYS = 1 << 18
MAX_KEYS = 1 << 24
"""The number of keys that a filter has room for: half a megabyte to 30. With more keys, false positives become more frequent."""
LOADED_AT_ONCE = 5_000


class Filter:
    """Filter with the keys of a table. One thread adds keys; a thread that has a connection fills the filter.

    Args:
        count: the statement that counts the table's keys.
        keys: the statement that reads the table's keys.
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
        """Whether the table may have the key, so that it must be queried."""
        return self._filter is None or key in self._filter

    def add(self, keys: Iterable[Hashable]) -> None:
        """Add keys that the table will have."""
        for key in keys:
            self._room -= 1
            for kept in (self._filter, self._filling):
                if kept is not None:
                    kept.add(key)

    def fill(self, connection: duckdb.DuckDBPyConnection, coming: Iterable[Hashable]) -> None:
        """Fill the filter from the table if it is new or full.

        A large table is read in a thread of its own; the old filter is used until that thread is done.

        Args:
            connection: a connection; a cursor of it reads the table.
            coming: the keys that were added and are not in the table yet.
        """
        if rbloom is None or self._room > 0 or self._filling is not None:
            return
        ((stored,),) = connection.execute(self._count).fetchall()
        size = min(max(MIN_KEYS, 2 * stored), MAX_KEYS)
        self._room = max(size - stored, stored // 2, MIN_KEYS)  # a large table is read again when it has grown by half
        self._filling = filling = rbloom.Bloom(size, FALSE_POSITIVE_RATE)  # from here on add() adds to it
        filling.update(list(coming))
        self._closing = False
        cursor = connection.cursor()
        if stored <= LOADED_AT_ONCE:
            self._load(cursor, filling)
            return
        self._thread = threading.Thread(target=self._load, args=(cursor, filling), name="falcon-events-filter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop filling, because the open cursor would keep the database alive."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()

    def _load(self, cursor: duckdb.DuckDBPyConnection, filling: rbloom.Bloom) -> None:
        try:
            rows = cursor.execute(self._keys)
            while not self._closing and (keys := rows.fetchmany(LOADED_AT_ONCE)):
                filling.update(keys)
        except duckdb.Error:  # the database has failed and will be opened again
            self._closing = True
        finally:
            cursor.close()
        if self._closing:
            self._room = 0  # the next fill() tries again
        else:
            self._filter = filling
        self._filling = None
