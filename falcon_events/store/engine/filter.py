"""Filters in front of the tables that grow with traffic: they recognize new keys without a query.

These tables have no index, because DuckDB keeps indexes in memory. Their rows are in order of time, so DuckDB reads only the row
groups of the times that it is asked for. Each Bloom filter has the keys of successive rows, and tells the times of these rows.
The table key_filters stores the filters with a mark, the last row that they have, so opening a store reads only later rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import rbloom

from falcon_events.model.reports import FilterState
from falcon_events.store.database import duckdb
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
MOST_BITS, LEAST_BITS = 22.0, 6.0
"""Bits for each key. A filter takes one of 39,000 new keys for a known one with 22 bits, and one of 18 with 6 bits."""
READ_AT_ONCE = 5_000
READ_AT_OPENING = 100_000
"""The most rows that opening a store reads. More are read in a thread; until then each look-up reads the table."""
STORED_AT_CLOSE = 10_000
"""How many rows the next opening may have to read after a store was closed."""
PAUSE_S = 0.001
"""How long the thread pauses after every READ_AT_ONCE keys, to let other threads run."""
NO_LIMIT = 1 << 62

# Senders may choose UUIDs that differ in a few bits only; multiplied modulo a prime, they differ in all of them.
_PRIME, _FACTOR = (1 << 61) - 1, 0x1D8E4E27C47D124F
_NO_TIME, _ANY_TIME = 253_402_300_799_999_999, -62_135_596_800_000_000
"""The end and the beginning of the times that a row may have, in microseconds since 1970."""

READ_STORED = """
select number, epoch_us(first_at), epoch_us(last_at), keys, room, bits, epoch_us(mark_at), mark, signature = $signature
from key_filters where table_name = $table order by number
"""
FORGET_STORED = "delete from key_filters where table_name = $table and number = $number"
FORGET_ALL = "delete from key_filters where table_name = $table"
STORE = """
insert into key_filters values ($table, $number, make_timestamp($first), make_timestamp($last), $keys, $room, $bits,
    make_timestamp($mark_at), $mark, $signature)
"""


class Span(NamedTuple):
    """The first and the last time of the rows that may have a key, in microseconds since 1970."""

    first: int
    last: int


class _Part:
    """Bloom filter with the keys of successive rows.

    Args:
        number: its place in the order of the parts.
        room: for how many keys it is made.
        bloom: the Bloom filter.
        keys: how many keys it has.
        span: the times of their rows.
        mark: the last row that it has, if it is complete: the row's time, and a digest of its key.
    """

    def __init__(
        self,
        number: int,
        room: int,
        bloom: rbloom.Bloom,
        keys: int = 0,
        span: Span = Span(_NO_TIME, _ANY_TIME),  # noqa: B008  # immutable
        mark: tuple[int, int] | None = None,
    ) -> None:
        self.number = number
        self.room = room
        self.bloom = bloom
        self.keys = self.stored_keys = keys
        self.span = span
        self.mark = mark

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
        number: returns the number by which the filters know a key, or a row that begins with a key.
        most_bytes: the size from which on the filters get fewer bits for each key.
    """

    def __init__(
        self, table: str, columns: Sequence[str], read: str, time: str, number: Callable[[K], int], most_bytes: int = NO_LIMIT
    ) -> None:
        self._table = table
        self._columns = columns
        self._number = number
        self._most_bytes = most_bytes
        self._count = f"select count(*) from {table} where rowid > $row"
        self._read_after = f"select {read}, epoch_us({time}) from {table} where rowid > $row"
        self._last_row = (
            f"select {read}, epoch_us({time}) from {table} where {time} >= make_timestamp($first) order by rowid desc limit 1"
        )
        self._rows_at = f"select rowid, {read} from {table} where {time} = make_timestamp($at) order by rowid"
        self._parts: tuple[_Part, ...] = ()
        """All parts, oldest first. New keys go into the last one."""
        self._thread: threading.Thread | None = None
        self._reading = self._closing = False

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Read the stored filters, and the keys of the rows after their mark. Many rows are read in a thread."""
        self._reading = True
        parts, row = self._read_stored(connection)
        ((rows,),) = connection.execute(self._count, {"row": -1}).fetchall()
        ((left,),) = connection.execute(self._count, {"row": row}).fetchall()
        if not parts or parts[-1].keys >= parts[-1].room:
            parts.append(self._make_part(parts, rows))
        self._parts = tuple(parts)
        cursor = connection.cursor()
        if left <= READ_AT_OPENING:
            self._read(cursor, row, rows)
            return
        logger.info("Building the filters of %d rows of the table %s", left, self._table)
        self._parts = (*parts, self._make_part(parts, rows, left // MIN_KEYS + 2))
        self._thread = threading.Thread(
            target=self._read, args=(cursor, row, rows, PAUSE_S), name="falcon-events-filter", daemon=True
        )
        self._thread.start()

    @property
    def reads(self) -> bool:
        """Whether a thread reads rows."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Stop reading rows, because the open cursor would keep the database alive."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()

    def add(self, keys: Sequence[K], times: Sequence[int]) -> None:
        """Add keys whose rows are about to be inserted, and the times of these rows."""
        self._add(self._parts[-1], keys, times)

    def group(self, keys: Iterable[K]) -> dict[Span, list[K]]:
        """Return the keys that the table may have, by the times of the rows that may have them."""
        if self._reading:  # asked before the parts are, which are complete once this is over
            return {Span(_ANY_TIME, _NO_TIME): list(keys)}
        parts, keys = self._parts, list(keys)
        numbers = list(map(self._number, keys))
        found = {
            place: hits
            for place, bloom in enumerate([part.bloom for part in parts])
            if (hits := [key for key, number in zip(keys, numbers, strict=True) if number in bloom])
        }
        if not found:
            return {}
        groups: dict[Span, set[K]] = {}
        places = sorted(found)
        span = Span(_NO_TIME, _ANY_TIME)
        for at, place in enumerate(places):  # one statement for neighbours is faster than one for each
            asked = groups.pop(span) if at and places[at - 1] == place - 1 else set()
            first, last = parts[place].span
            span = Span(min(first, span.first), max(last, span.last)) if asked else parts[place].span
            groups.setdefault(span, set()).update(asked, found[place])
        return {span: list(asked) for span, asked in groups.items()}

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
        """Store the filters that have enough new keys, and begin another one when the newest is full. Raises duckdb.Error.

        The thread that inserts rows calls it, while it has no transaction open.
        """
        if self._reading and not self.reads and not self._closing:
            self.load(connection)  # the database has failed meanwhile
        *full, newest = self._parts
        for part in full:
            if part.mark is None:
                return  # its rows are being read, and a mark tells that all rows before it have been
            if part.stored_keys < part.keys:
                self._store(connection, part, part.mark)
        if self._reading or newest.keys - newest.stored_keys < (STORED_AT_CLOSE if closing else newest.room // STORED_SHARE):
            return
        if (last := connection.execute(self._last_row, {"first": newest.span.first}).fetchone()) is None:
            self._forget_stored(connection, newest.number)  # all its rows have been deleted
            self._parts = (*full, self._make_part(full, 0))
            return
        self._store(connection, newest, (last[-1], self._digest(last)))
        if newest.keys >= newest.room:
            self._parts = (*self._parts, self._make_part(self._parts, sum(part.keys for part in self._parts)))

    def forget(self, connection: duckdb.DuckDBPyConnection, until: int) -> None:
        """Forget full filters whose rows were all deleted, as every row up to this time was. Raises duckdb.Error."""
        if self._reading:
            return
        *full, newest = self._parts
        kept = [part for part in full if part.span.last > until]
        for part in full:
            if part.span.last <= until:
                self._forget_stored(connection, part.number)
        self._parts = (*kept, newest)

    def state(self) -> FilterState:
        """Return how large the filters are."""
        parts = self._parts
        return FilterState(
            keys=sum(part.keys for part in parts),
            bytes=sum(part.bloom.size_in_bits // 8 for part in parts),
            most_bytes=self._most_bytes,
            false_positives=1 - math.prod(1 - part.false_positives for part in parts),
            building=self._reading,
        )

    def _make_part(self, parts: Sequence[_Part], keys: int, distance: int = 1) -> _Part:
        """Make a part to follow these, for a table with this many keys."""
        room = min(max(MIN_KEYS, keys // FILTERS), MAX_KEYS)
        bits = MOST_BITS
        if sum(part.bloom.size_in_bits for part in parts) + room * bits > self._most_bytes * 8:
            bits = max(LEAST_BITS, min(MOST_BITS, self._most_bytes * 8 / (keys + room)))
        bloom = rbloom.Bloom(room, math.exp(-bits * math.log(2) ** 2), int)
        return _Part(parts[-1].number + distance if parts else 0, room, bloom)

    def _add(self, part: _Part, keys: Sequence[Any], times: Sequence[int]) -> None:
        first, last = part.span
        part.span = Span(min(first, *times), max(last, *times))  # before the keys, because look-ups find these at once
        part.bloom.update(list(map(self._number, keys)))
        part.keys += len(keys)

    def _read(self, cursor: duckdb.DuckDBPyConnection, row: int, rows: int, pause_s: float = 0) -> None:
        """Add the keys of the rows after this one to the parts before the newest one, or to the newest one if it is the only one.

        Args:
            cursor: a cursor, which is closed at the end.
            row: the row.
            rows: how many rows the table has.
            pause_s: how long to pause after every READ_AT_ONCE keys.
        """
        try:
            reading = cursor.execute(self._read_after, {"row": row})
            in_thread = bool(pause_s)
            while not self._closing and (read := reading.fetchmany(READ_AT_ONCE)):
                part = self._parts[-2 if in_thread else -1]
                self._add(part, read, [row[-1] for row in read])
                mark = read[-1][-1], self._digest(read[-1])
                if part.keys >= part.room and in_thread:
                    part.mark = mark
                    *full, newest = self._parts
                    self._parts = (*full, self._make_part(full, rows), newest)
                time.sleep(pause_s)
            if self._closing:
                return
            if in_thread:
                self._parts[-2].mark = mark
            self._reading = False
        except duckdb.Error as error:
            if not pause_s:
                raise
            logger.warning("The filters of the table %s cannot be built now: %s", self._table, error)
        finally:
            cursor.close()

    def _read_stored(self, connection: duckdb.DuckDBPyConnection) -> tuple[list[_Part], int]:
        """Return the stored filters, and the marked row: they have the keys of all rows up to that one."""
        found = connection.execute(READ_STORED, {"table": self._table, "signature": SIGNATURE})
        parts: list[_Part] = []
        while row := found.fetchone():
            number, first, last, keys, room, bits, mark_at, digest, of_this_release = row
            if not of_this_release:
                parts.clear()
                break
            bloom = rbloom.Bloom.load_bytes(bits, int)
            parts.append(_Part(number, room, bloom, keys, Span(first, last), (mark_at, digest)))
        if parts and parts[-1].mark is not None:
            at, digest = parts[-1].mark
            for row_number, *key in connection.execute(self._rows_at, {"at": at}).fetchall():
                if self._digest(key) == digest:
                    return parts, int(row_number)
        connection.execute(FORGET_ALL, {"table": self._table})  # nothing tells which rows they have
        return [], -1

    def _store(self, connection: duckdb.DuckDBPyConnection, part: _Part, mark: tuple[int, int]) -> None:
        """Store a filter that has the keys of all rows up to the marked one."""
        keys = part.keys
        connection.begin()
        try:
            self._forget_stored(connection, part.number)
            values = {
                "table": self._table,
                "number": part.number,
                "first": part.span.first,
                "last": part.span.last,
                "keys": keys,
                "room": part.room,
                "bits": part.bloom.save_bytes(),
                "mark_at": mark[0],
                "mark": mark[1],
                "signature": SIGNATURE,
            }
            connection.execute(STORE, values)
            connection.commit()
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # a failed commit has ended the transaction already
                connection.rollback()
            raise
        part.mark, part.stored_keys = mark, keys

    def _forget_stored(self, connection: duckdb.DuckDBPyConnection, number: int) -> None:
        connection.execute(FORGET_STORED, {"table": self._table, "number": number})

    def _digest(self, key: Any) -> int:
        return self._number(key)


def number_event_id(key: EventKey) -> int:
    """Return the number by which filters know an EventID. Stored filters depend on it."""
    return int(key[1].replace("-", ""), 16) * _FACTOR % _PRIME


def number_binding(key: BindingKey) -> int:
    """Return the number by which filters know a binding. Stored filters depend on it."""
    list_id, visitor, email = key[:3]
    return (int(visitor.replace("-", ""), 16) ^ zlib.crc32(email.encode()) << 64 ^ list_id) * _FACTOR % _PRIME


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
