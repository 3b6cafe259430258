"""Filters in front of the tables that grow with traffic: they recognize new keys without a query.

These tables have no index, because DuckDB keeps indexes in memory. Their rows are in the order of time, so DuckDB reads only the
row groups of the times that it is asked for. Each Bloom filter has the keys of successive rows, and says between which times a key
may be. The filters are stored in the table key_filters with a mark, the last row that they have, so opening a store reads few rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import duckdb
import rbloom

from falcon_events.store.database.statements import Statements
from falcon_events.store.engine.draft import BindingKey, EventKey
from falcon_events.store.engine.entry import encode

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=tuple[object, ...])

MIN_KEYS, MAX_KEYS = 1 << 18, 1 << 23
"""The least and the most keys that one filter has room for."""
FILTERS = 16
"""About how many filters a large table has. Each of them costs every look-up; fewer would make each hit read more rows."""
STORED_SHARE = 8
"""A filter is stored whenever an eighth of its room has been used, because the rows added since are read at the next opening."""
MOST_BITS, LEAST_BITS = 18.0, 6.0
"""Bits for each key. A filter takes one of 5,700 new keys for a known one with 18 bits, and one of 18 with 6 bits."""
READ_AT_ONCE = 10_000
STORED_AT_CLOSE = 10_000
"""How many rows the next opening may have to read after a store was closed."""
NO_LIMIT = 1 << 62

_PRIME, _FACTOR, _MASK = (1 << 61) - 1, 0x9E3779B97F4A7C15F39CC0605CEDC835, (1 << 127) - 1
_NO_TIME, _ANY_TIME = 253_402_300_799_999_999, -62_135_596_800_000_000
"""The end and the beginning of the times that a row may have, in microseconds since 1970."""

READ_STORED = """
select number, epoch_us(first_at), epoch_us(last_at), keys, room, bits, epoch_us(mark_at), mark, signature = $signature
from key_filters where table_name = $table order by number
"""
FORGET_STORED = "delete from key_filters where table_name = $table and number >= $first and number <= $last"
STORE = """
insert into key_filters values ($table, $number, make_timestamp($first), make_timestamp($last), $keys, $room, $bits,
    make_timestamp($mark_at), $mark, $signature)
"""


class Span(NamedTuple):
    """The first and the last time of the rows that may have a key, in microseconds since 1970."""

    first: int
    last: int


class FilterState(NamedTuple):
    """How large the filters of a table are."""

    keys: int
    bytes: int
    false_positives: float
    """The share of new keys that the filters take for known ones, as computed from their sizes."""


class _Part:
    """Bloom filter with the keys of successive rows."""

    def __init__(self, number: int, first: int, last: int, keys: int, room: int, bloom: rbloom.Bloom) -> None:
        self.number = number
        self.first = first
        self.last = last
        self.keys = keys
        self.room = room
        self.bloom = bloom

    @property
    def false_positives(self) -> float:
        return math.exp(-self.bloom.size_in_bits / max(1, self.keys) * math.log(2) ** 2)


class Filter(Generic[K]):
    """Filters of one table. One thread adds keys and stores the filters; any thread looks keys up.

    Args:
        table: the table.
        columns: the columns of its key, which are the members of a look-up's rows.
        read: the columns of its key, as SQL that gives them in the form of the keys in Python.
        time: the column with the time of a row.
        number: returns the number by which the filters know a key.
        most_bytes: the size from which on the filters get fewer bits for each key.
    """

    def __init__(
        self, table: str, columns: Sequence[str], read: str, time: str, number: Callable[[K], int], most_bytes: int = NO_LIMIT
    ) -> None:
        self._table = table
        self._columns = columns
        self._number = number
        self._most_bytes = most_bytes
        self._count = f"select count(*) from {table}"
        self._read_after = f"select {read}, epoch_us({time}) from {table} where rowid > $row"
        self._last_row = (
            f"select {read}, epoch_us({time}) from {table} where {time} >= make_timestamp($first) order by rowid desc limit 1"
        )
        self._rows_at = f"select rowid, {read} from {table} where {time} = make_timestamp($at) order by rowid"
        self._parts: tuple[_Part, ...] = ()
        self._unstored = 0

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Read the stored filters, and the keys of the rows that came after their mark."""
        stored = connection.execute(READ_STORED, {"table": self._table, "signature": SIGNATURE})
        parts: list[_Part] = []
        row, valid = -1, True
        mark: tuple[int, int] | None = None
        while found := stored.fetchone():
            number, first, last, keys, room, bits, mark_at, digest, of_this_release = found
            valid = valid and of_this_release
            if valid:
                parts.append(_Part(number, first, last, keys, room, rbloom.Bloom.load_bytes(bits, int)))
                mark = mark_at, digest
        if not valid or mark is None or (row := self._find_mark(connection, *mark)) < 0:
            parts.clear()  # the rows are read anew, because nothing tells which of them the filters have
            self._forget_stored(connection, 0, NO_LIMIT >> 32)
        self._parts = tuple(parts)
        self._unstored = 0
        ((rows,),) = connection.execute(self._count).fetchall()
        if not parts:
            self._begin(rows)
        if (left := rows - sum(part.keys for part in parts)) >= MIN_KEYS:
            logger.info("Building the filters of %d rows of the table %s", left, self._table)
        cursor = connection.cursor()
        try:
            reading = cursor.execute(self._read_after, {"row": row})
            while read := reading.fetchmany(READ_AT_ONCE):
                self.add((key, at) for *key, at in read)
                if self._parts[-1].keys >= self._parts[-1].room:
                    self._store(connection, read[-1])
                    self._begin(rows)
        finally:
            cursor.close()

    def add(self, keys: Iterable[tuple[Sequence[Any], int]]) -> None:
        """Add keys whose rows are about to be inserted, each with the time of its row."""
        newest = self._parts[-1]
        added = 0
        for key, at in keys:
            newest.first = min(newest.first, at)
            newest.last = max(newest.last, at)
            newest.bloom.add(self._number(key))  # type: ignore[arg-type]  # rows of DuckDB are keys, too
            added += 1
        newest.keys += added
        self._unstored += added

    def group(self, keys: Iterable[K]) -> dict[Span, list[K]]:
        """Return the keys that the table may have, by the times of the rows that may have them."""
        groups: dict[Span, list[K]] = {}
        parts = self._parts
        for key in keys:
            number = self._number(key)
            for part in parts:
                if number in part.bloom:
                    groups.setdefault(Span(part.first, part.last), []).append(key)
        return groups

    def look_up(self, statements: Statements, sql: str, keys: Iterable[K]) -> list[tuple[Any, ...]]:
        """Run a statement for the rows that may have some of these keys, and return its rows.

        Args:
            statements: the connection's statements.
            sql: a statement with the parameters `rows`, a JSON array of keys, and `first` and `last`, a span of time.
            keys: the keys.
        """
        found: list[tuple[Any, ...]] = []
        for span, asked in self.group(keys).items():
            rows = encode([dict(zip(self._columns, key, strict=True)) for key in asked]).decode()
            found += statements.run(sql, rows=rows, first=span.first, last=span.last).fetchall()
        return found

    def store(self, connection: duckdb.DuckDBPyConnection, *, closing: bool = False) -> None:
        """Store the newest filter if it has enough new keys, and begin another one if it is full. Raises duckdb.Error.

        The thread that inserts rows calls it, while it has no transaction open.
        """
        newest = self._parts[-1]
        if self._unstored < (STORED_AT_CLOSE if closing else newest.room // STORED_SHARE):
            return
        if (last := connection.execute(self._last_row, {"first": newest.first}).fetchone()) is not None:
            self._store(connection, last)
        if newest.keys >= newest.room:
            self._begin(sum(part.keys for part in self._parts))

    def forget(self, connection: duckdb.DuckDBPyConnection, until: int) -> None:
        """Forget full filters whose rows were all deleted, as every row up to this time was. Raises duckdb.Error."""
        *full, newest = self._parts
        kept = [part for part in full if part.last > until]
        if len(kept) < len(full):
            for part in full:
                if part.last <= until:
                    self._forget_stored(connection, part.number, part.number)
            self._parts = (*kept, newest)

    def first_time(self, keys: int) -> int:
        """Return a time from which on the table has at least this many keys, if it has so many at all."""
        for part in reversed(self._parts):
            keys -= part.keys
            if keys <= 0:
                return part.first
        return _ANY_TIME

    def state(self) -> FilterState:
        """Return how large the filters are."""
        parts = self._parts
        return FilterState(
            sum(part.keys for part in parts),
            sum(part.bloom.size_in_bits // 8 for part in parts),
            1 - math.prod(1 - part.false_positives for part in parts),
        )

    def _begin(self, keys: int) -> None:
        """Begin a filter, in a table with this many keys."""
        parts = self._parts
        room = min(max(MIN_KEYS, keys // FILTERS), MAX_KEYS)
        bits = MOST_BITS
        if self.state().bytes + room * MOST_BITS / 8 > self._most_bytes:
            bits = max(LEAST_BITS, min(MOST_BITS, self._most_bytes * 8 / (keys + room)))
        bloom = rbloom.Bloom(room, math.exp(-bits * math.log(2) ** 2), int)
        self._parts = (*parts, _Part(parts[-1].number + 1 if parts else 0, _NO_TIME, _ANY_TIME, 0, room, bloom))
        self._unstored = 0

    def _store(self, connection: duckdb.DuckDBPyConnection, last: tuple[Any, ...]) -> None:
        """Store the newest filter, which has the keys of all rows up to this one."""
        newest = self._parts[-1]
        *key, at = last
        connection.begin()
        try:
            self._forget_stored(connection, newest.number, newest.number)
            values = {
                "table": self._table,
                "number": newest.number,
                "first": newest.first,
                "last": newest.last,
                "keys": newest.keys,
                "room": newest.room,
                "bits": newest.bloom.save_bytes(),
                "mark_at": at,
                "mark": self._digest(key),
                "signature": SIGNATURE,
            }
            connection.execute(STORE, values)
            connection.commit()
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # a failed commit has ended the transaction already
                connection.rollback()
            raise
        self._unstored = 0

    def _forget_stored(self, connection: duckdb.DuckDBPyConnection, first: int, last: int) -> None:
        connection.execute(FORGET_STORED, {"table": self._table, "first": first, "last": last})

    def _find_mark(self, connection: duckdb.DuckDBPyConnection, at: int, digest: int) -> int:
        """Return the number of the marked row, or -1 if it was deleted."""
        for row, *key in connection.execute(self._rows_at, {"at": at}).fetchall():
            if self._digest(key) == digest:
                return int(row)
        return -1

    def _digest(self, key: Sequence[Any]) -> int:
        return self._number(key) >> 64  # type: ignore[arg-type]  # rows of DuckDB are keys, too


def number_event_id(key: EventKey) -> int:
    """Return the number by which filters know an EventID. Stored filters depend on it."""
    return int(key[1].replace("-", ""), 16) % _PRIME * _FACTOR & _MASK


def number_binding(key: BindingKey) -> int:
    """Return the number by which filters know a binding. Stored filters depend on it."""
    list_id, visitor, email = key
    return (int(visitor.replace("-", ""), 16) ^ zlib.crc32(email.encode()) << 64 ^ list_id) % _PRIME * _FACTOR & _MASK


def event_id_filter(most_bytes: int = NO_LIMIT) -> Filter[EventKey]:
    """Return the filters of the table event_ids, without any keys yet."""
    columns = ("account_id", "event_id")
    return Filter("event_ids", columns, "account_id, event_id::varchar", "stored_at", number_event_id, most_bytes)


def binding_filter(most_bytes: int = NO_LIMIT) -> Filter[BindingKey]:
    """Return the filters of the table bindings, without any keys yet."""
    columns = ("list_id", "visitor", "email")
    return Filter("bindings", columns, "list_id, visitor::varchar, email", "bound_at", number_binding, most_bytes)


def _sign() -> bytes:
    """Return a signature of how numbers are computed and stored. Stored filters with another signature are made anew."""
    sample = rbloom.Bloom(64, 0.001, int)
    for n in range(32):
        sample.add(number_event_id(("", f"{n:032x}")))
        sample.add(number_binding((n, f"{n:032x}", str(n))))
    return hashlib.sha256(sample.save_bytes()).digest()[:8]


SIGNATURE = _sign()
