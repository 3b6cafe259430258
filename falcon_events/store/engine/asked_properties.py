"""How often questions ask for properties of lists, so that those asked for often are promoted."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable

from falcon_events.model.access import MAX_INDEXED
from falcon_events.store.database import duckdb, promoted

OFTEN = 9.5
"""The count from which on a property is asked for often. A question counts by half after HALF_LIFE_S, so these are ten soon after
each other."""
HALF_LIFE_S = 86_400.0
MOST_COUNTED = 10_000
"""Of how many properties questions are counted at once. Beyond that, those that are asked for least are forgotten."""
RETRY_S = 60.0
"""How often it is tried to promote a property that is asked for often."""
LEAST_EVENTS = 10_000
"""Lists with fewer events are answered quickly from JSON."""
MOST_CHARACTERS = 200
"""The longest name of a property."""
MOST_VALUE_BYTES = 64
"""Properties whose values are longer on average would take too much of the disk, unless a rule names them."""
NEWEST = 20_000
"""Among this number of newest events, values are measured."""
COUNT_EVENTS = "select coalesce(sum(events), 0) from event_types where list_id = $list_id"
HAS_PROPERTY = "select exists (from event_properties where list_id = $list_id and name = $name)"
MEASURE = """
select coalesce(avg(strlen(json_extract_string(properties, $path))), 0) from events
where list_id = $list_id and seq > (select max(seq) from events) - $newest
"""


class AskedProperties:
    """Counts questions by list and property, in memory only: after a restart, the counts begin again.

    Args:
        budget: how many properties of a list may be promoted because of questions.
        clock: returns a time in seconds that only grows.
    """

    def __init__(self, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._began = clock()
        self._counting = threading.Lock()
        self._counts: dict[tuple[int, str], tuple[float, float]] = {}
        """The count of each property, and when it was right."""
        self._next_tries: dict[tuple[int, str], float] = {}

    def count(self, list_id: int, dimensions: Iterable[str]) -> list[str]:
        """Count a question that asks for these dimensions. Return the properties among them that it is time to promote."""
        if not self._budget:
            return []
        often = []
        with self._counting:
            for dimension in dimensions:
                name = dimension.removeprefix("property:")
                if name == dimension or not 0 < len(name) <= MOST_CHARACTERS:
                    continue
                key, now = (list_id, name), self._clock()
                number = self._read(key) + 1
                self._counts[key] = (number, now)
                if number >= OFTEN and now >= self._next_tries.get(key, now):
                    self._next_tries[key] = now + RETRY_S
                    often.append(name)
            if len(self._counts) > MOST_COUNTED:
                kept = heapq.nlargest(MOST_COUNTED // 2, self._counts, key=self._read)
                self._counts = {key: self._counts[key] for key in kept}
                self._next_tries = {key: at for key, at in self._next_tries.items() if key in self._counts}
        return often

    def promote(self, connection: duckdb.DuckDBPyConnection, list_id: int, name: str) -> bool:
        """Promote a property that is asked for often, if it has values and the list has room. Return whether it was promoted.

        It takes the place of another one if questions ask for it twice as often.
        """
        connection.begin()
        try:
            is_promoted = self._promote(connection, list_id, name)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return is_promoted

    def _promote(self, connection: duckdb.DuckDBPyConnection, list_id: int, name: str) -> bool:
        rows = [row for row in promoted.read_rows(connection, list_id) if row.name is not None]
        if any(row.name == name for row in rows):
            return False
        if not _is_worth_it(connection, list_id, name):
            return False
        asked = [row for row in rows if row.asked]
        if len(asked) >= self._budget or len(rows) >= MAX_INDEXED:
            with self._counting:
                least = min(asked, key=lambda row: self._credit(list_id, row.name or ""), default=None)
                if least is None or self._read((list_id, name)) < 2 * self._credit(list_id, least.name or ""):
                    return False
            promoted.remove(connection, list_id, least.number)
        promoted.promote(connection, list_id, name, asked=True)
        promoted.drop_unused(connection)
        return True

    def _read(self, key: tuple[int, str]) -> float:
        number, at = self._counts.get(key, (0.0, 0.0))
        return number * self._decay(at)

    def _credit(self, list_id: int, name: str) -> float:
        """Return the count of a promoted property, or of as many questions when the counts began as have it promoted."""
        return max(self._read((list_id, name)), OFTEN * self._decay(self._began))

    def _decay(self, since: float) -> float:
        return float(0.5 ** ((self._clock() - since) / HALF_LIFE_S))


def _is_worth_it(connection: duckdb.DuckDBPyConnection, list_id: int, name: str) -> bool:
    """Return whether the list is large, and has the property, with values that are not long."""
    ((events,),) = connection.execute(COUNT_EVENTS, {"list_id": list_id}).fetchall()
    if events < LEAST_EVENTS or connection.execute(HAS_PROPERTY, {"list_id": list_id, "name": name}).fetchone() != (True,):
        return False
    measured = {"list_id": list_id, "path": promoted.express_path(name), "newest": NEWEST}
    ((length,),) = connection.execute(MEASURE, measured).fetchall()
    return bool(length <= MOST_VALUE_BYTES)
