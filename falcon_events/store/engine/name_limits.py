"""Name limits: how many event types and property names a list may have. Events that would add more are refused."""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from falcon_events.contract.schemas import listed_errors, load_schema
from falcon_events.errors import InvalidRequest, RequestRefused, StoreUnavailable
from falcon_events.model.events import NewEvent
from falcon_events.settings import Settings
from falcon_events.store.database import duckdb
from falcon_events.store.database.portions import OF_PORTION, run_in_portions

NAMES_CODE, TYPES_CODE = 19, 20
IDENTIFY = "identify"
ADDRESS = "emailAddress"
EXACT_BYTES = 64 << 20
"""How much memory the names of lists near a limit may take together. 100,000 names that were loaded take 0.8 MB."""
ADDED_BYTES, LIST_BYTES = 80, 1_000
"""How much of that a name takes that was added since they were loaded, and a list beside its names."""
LOAD_SHARE = 0.2
"""The share of the time for which the names of lists may be loaded, because events of all lists wait meanwhile."""
LOAD_BURST_S = 2.0
"""How long names may be loaded at once, in seconds, if there was nothing to load before."""
LATER = "The list has nearly as many property names as it may have, and they are not in memory at the moment. Try again later."
SEEN_TYPES = 10_000

# At most as many as there are: names of several types of value are counted for each.
COUNT_NAMES = "select list_id, count(*) from event_properties group by list_id"
COUNT_UNFOLDED_NAMES = f"select list_id, sum(len(json_keys(properties)))::bigint from events where {OF_PORTION} group by list_id"
COUNTED_AT_ONCE = 100_000
UNFOLDED = "select folded_seq, (select coalesce(max(seq), 0) from events) from meta"
COUNT_TYPES = """
select list_id, count(*) from event_types group by list_id
union all
select list_id, count(distinct event) from events where seq > (select folded_seq from meta) group by list_id
"""
COUNT_EXACTLY = """
select list_id, sum(names)::bigint, sum(types)::bigint from (
    select list_id, count(distinct (event, name)) as names, 0 as types from event_properties
    where list_id in (select unnest($lists::bigint[])) group by list_id
    union all
    select list_id, 0, count(*) from event_types where list_id in (select unnest($lists::bigint[])) group by list_id
) group by list_id
"""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ERRORS = listed_errors(load_schema("event.request"))
LoadNames = Callable[[int], Iterable[tuple[str, Iterable[str]]]]


class Room(msgspec.Struct):
    """How many more names and types a list may certainly have, and how much of that its events took since the last folds."""

    names: int
    types: int
    taken: int = 0
    """Names that events took since the last fold. They may be in the tables, or not yet."""
    taken_types: int = 0
    taken_before: tuple[int, int] = (0, 0)
    """Names and types that events took in the interval before."""


class _Hashes:
    """A set of hashes: a sorted array, and those that were added since. A set of the same size takes nine times the memory."""

    def __init__(self, hashes: Iterable[int]) -> None:
        self._loaded = array("q", sorted(hashes))
        self._added: set[int] = set()

    def find_missing(self, asked: set[int]) -> set[int]:
        return {one for one in asked if one not in self._added and not self._is_loaded(one)}

    def add(self, hashes: set[int]) -> None:
        self._added |= hashes

    def measure(self) -> int:
        """Return about how many bytes they take."""
        return len(self._loaded) * self._loaded.itemsize + len(self._added) * ADDED_BYTES

    def _is_loaded(self, one: int) -> bool:
        at = bisect_left(self._loaded, one)
        return at < len(self._loaded) and self._loaded[at] == one

    def __len__(self) -> int:
        return len(self._loaded) + len(self._added)


class _KnownNames:
    """Hashes of a list's event types with names, and of its event types."""

    def __init__(self, names: set[int], types: set[int]) -> None:
        self.names = _Hashes(names)
        self.types = _Hashes(types)
        self.size = 0
        """How many bytes they were counted with."""

    def measure(self) -> int:
        return LIST_BYTES + self.names.measure() + self.types.measure()


class NameLimits:
    """The limits of all lists.

    Most events are admitted by a count of the names that they have at most, which takes a fraction of a microsecond. Only if
    that might exceed what is left are the list's names loaded, and from then on each of its events is checked exactly.

    Args:
        settings: the limits.
        load: returns the names that a list has, by event type.
        clock: returns the current time in seconds, from any start.
    """

    def __init__(self, settings: Settings, load: LoadNames, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_names = settings.max_property_names
        self._most_types = settings.max_event_types
        self._load = load
        self._changing = threading.Lock()
        self._rooms: dict[int, Room] = {}
        self._seen_types: set[tuple[int, str]] = set()
        self._exact: OrderedDict[int, _KnownNames] = OrderedDict()
        """The names of lists near a limit. The list that had an event last is the last one."""
        self._exact_bytes = 0
        self._clock = clock
        self._may_load_s = LOAD_BURST_S
        """How long names may be loaded now."""
        self._counted_at = clock()
        self._drafted: list[tuple[NewEvent, bool]] = []
        """The events admitted for the current draft, which neither the tables nor the journal have yet."""
        self.unfolded_names = 0
        """How many names, repeated ones included, events have that were admitted since the last fold."""

    def recount(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Count what is left of the limits, from the tables. Lists whose names are in memory stay so."""
        names, types = _sum_rows(connection, COUNT_NAMES), _sum_rows(connection, COUNT_TYPES)

        def add(bounds: dict[str, int]) -> None:
            for list_id, count in _sum_rows(connection, COUNT_UNFOLDED_NAMES, bounds).items():
                names[list_id] = names.get(list_id, 0) + count

        ((folded, newest),) = connection.execute(UNFOLDED).fetchall()
        run_in_portions(connection, folded, newest, COUNTED_AT_ONCE, add)
        with self._changing:
            self._rooms = {
                list_id: Room(self._most_names - count, self._most_types - types.get(list_id, 0))
                for list_id, count in names.items()
            }
            for list_id, count in types.items():
                self._rooms.setdefault(list_id, Room(self._most_names, self._most_types - count))

    def note_fold(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Count again what is left for lists that have less than half of a limit left, because events repeat names."""
        self.unfolded_names = 0
        with self._changing:
            scarce = [
                (list_id, room)
                for list_id, room in list(self._rooms.items())  # the intake adds some meanwhile
                if list_id not in self._exact
                and (room.taken or room.taken_types)
                and (room.names < self._most_names // 2 or room.types < self._most_types // 2)
            ]
        if not scarce:
            return
        lists = {"lists": [list_id for list_id, _ in scarce]}
        counts = {row[0]: row[1:] for row in connection.execute(COUNT_EXACTLY, lists).fetchall()}
        for list_id, room in scarce:
            names, types = counts.get(list_id, (0, 0))
            before, before_types = room.taken_before
            names_left = self._most_names - names - room.taken - before
            left = Room(names_left, self._most_types - types - room.taken_types - before_types)
            left.taken_before = room.taken, room.taken_types
            self._rooms[list_id] = left

    def reset(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Forget the names in memory and count again, because lists or events were deleted."""
        with self._changing:
            self._exact.clear()
            self._exact_bytes = 0
            self._seen_types.clear()
        self.recount(connection)

    def begin_draft(self) -> None:
        """Begin with the events of the next draft."""
        self._drafted.clear()

    def find_refusal(self, event: NewEvent, *, sends_identify: bool) -> RequestRefused | None:
        """Count the names and types of an event that is about to be stored; return the refusal if it would add too many.

        It is StoreUnavailable if that is not known now, because the names of too many lists near a limit are asked for.
        """
        names = event.properties.count(b'":')
        if sends_identify:
            names += names + 1
        list_id = event.list_id
        key = (list_id, event.event)
        room = self._rooms.get(list_id)
        if room is None:
            room = self._rooms[list_id] = Room(self._most_names, self._most_types)
        types = 0 if key in self._seen_types else 1 + sends_identify
        if list_id in self._exact or names > room.names or types > room.types:
            if (refusal := self._check_exactly(event, sends_identify)) is not None:
                return refusal
        else:
            room.names -= names
            room.taken += names
            if types:
                room.types -= types
                room.taken_types += types
            self._drafted.append((event, sends_identify))
        self.unfolded_names += names
        if types:
            if len(self._seen_types) >= SEEN_TYPES:
                self._seen_types.clear()
            self._seen_types.add(key)
        return None

    def _check_exactly(self, event: NewEvent, sends_identify: bool) -> RequestRefused | None:
        with self._changing:
            known = self._exact.get(event.list_id)
        if known is None:
            if not self._may_load():
                return StoreUnavailable(LATER)
            began = self._clock()
            known = self._load_known(event.list_id)
            self._may_load_s -= self._clock() - began
        added, added_types = _list_names(event, sends_identify)
        added = known.names.find_missing(added)
        added_types = known.types.find_missing(added_types)
        refusal = None
        if added_types and len(known.types) + len(added_types) > self._most_types:
            refusal = _refuse(TYPES_CODE)
        elif added and len(known.names) + len(added) > self._most_names:
            refusal = _refuse(NAMES_CODE)
        else:
            known.names.add(added)
            known.types.add(added_types)
            self._drafted.append((event, sends_identify))  # the list may be forgotten and loaded again in this draft
        self._keep(event.list_id, known)
        return refusal

    def _may_load(self) -> bool:
        now = self._clock()
        self._may_load_s = min(LOAD_BURST_S, self._may_load_s + (now - self._counted_at) * LOAD_SHARE)
        self._counted_at = now
        return self._may_load_s > 0

    def _load_known(self, list_id: int) -> _KnownNames:
        names: set[int] = set()
        types: set[int] = set()
        for kind, found in self._load(list_id):
            types.add(hash(kind))
            names.update(hash((kind, name)) for name in found)
        for drafted, sent_identify in self._drafted:
            if drafted.list_id == list_id:
                drafted_names, drafted_types = _list_names(drafted, sent_identify)
                names |= drafted_names
                types |= drafted_types
        return _KnownNames(names, types)

    def _keep(self, list_id: int, known: _KnownNames) -> None:
        """Keep a list's names in memory, and forget those of the lists that had no event for longest if there is no room."""
        size = known.measure()
        with self._changing:
            if list_id not in self._exact:
                known.size = 0
            self._exact[list_id] = known
            self._exact.move_to_end(list_id)
            self._exact_bytes += size - known.size
            known.size = size
            while self._exact_bytes > EXACT_BYTES and len(self._exact) > 1:
                forgotten, other = self._exact.popitem(last=False)
                self._exact_bytes -= other.size
                self._rooms[forgotten] = Room(0, 0)


def _refuse(code: int) -> InvalidRequest:
    status, failure = _ERRORS[code]
    return InvalidRequest(status, [failure])


def _list_names(event: NewEvent, sends_identify: bool) -> tuple[set[int], set[int]]:
    """Return the hashes of the names and of the types of an event and the identify event beside it."""
    given = list(_decode(event.properties))
    names = {hash((event.event, name)) for name in given}
    if not sends_identify:
        return names, {hash(event.event)}
    return names | {hash((IDENTIFY, name)) for name in (*given, ADDRESS)}, {hash(event.event), hash(IDENTIFY)}


def _sum_rows(connection: duckdb.DuckDBPyConnection, sql: str, bounds: dict[str, int] | None = None) -> dict[int, int]:
    counts: dict[int, int] = {}
    for list_id, count in connection.execute(sql, bounds).fetchall():
        counts[list_id] = counts.get(list_id, 0) + count
    return counts
