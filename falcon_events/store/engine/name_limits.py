"""Name limits: how many event types and property names a list may have. Events that would add more are refused."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

import duckdb
import msgspec

from falcon_events.contract.schemas import listed_errors, load_schema
from falcon_events.errors import InvalidRequest
from falcon_events.model.events import NewEvent
from falcon_events.settings import Settings

NAMES_CODE, TYPES_CODE = 19, 20
IDENTIFY = "identify"
ADDRESS = "emailAddress"
EXACT_LISTS = 16
"""How many lists near a limit have their names in memory, about 100 bytes each."""
SEEN_TYPES = 10_000

# At most as many as there are: names of several types of value are counted for each.
COUNT_NAMES = """
select list_id, count(*) from event_properties group by list_id
union all
select list_id, sum(len(json_keys(properties)))::bigint from events where seq > (select folded_seq from meta) group by list_id
"""
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


class NameLimits:
    """The limits of all lists.

    Most events are admitted by a count of the names that they have at most, which takes a fraction of a microsecond. Only if
    that might exceed what is left are the list's names loaded, and from then on each of its events is checked exactly.

    Args:
        settings: the limits.
        load: returns the names that a list has, by event type.
    """

    def __init__(self, settings: Settings, load: LoadNames) -> None:
        self._most_names = settings.max_property_names
        self._most_types = settings.max_event_types
        self._load = load
        self._changing = threading.Lock()
        self._rooms: dict[int, Room] = {}
        self._seen_types: set[tuple[int, str]] = set()
        self._exact: OrderedDict[int, tuple[set[int], set[str]]] = OrderedDict()
        """Hashes of event types with names, and the event types, of lists near a limit. A set of hashes takes a third."""
        self._drafted: list[tuple[NewEvent, bool]] = []
        """The events admitted for the current draft, which neither the tables nor the journal have yet."""
        self.unfolded_names = 0
        """How many names, repeated ones included, events have that were admitted since the last fold."""

    def recount(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Count what is left of the limits, from the tables. Lists whose names are in memory stay so."""
        names, types = _sum_rows(connection, COUNT_NAMES), _sum_rows(connection, COUNT_TYPES)
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
            self._seen_types.clear()
        self.recount(connection)

    def begin_draft(self) -> None:
        """Begin with the events of the next draft."""
        self._drafted.clear()

    def find_refusal(self, event: NewEvent, *, sends_identify: bool) -> InvalidRequest | None:
        """Count the names and types of an event that is about to be stored; return the refusal if it would add too many."""
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
            if (code := self._check_exactly(event, sends_identify)) is not None:
                status, failure = _ERRORS[code]
                return InvalidRequest(status, [failure])
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

    def _check_exactly(self, event: NewEvent, sends_identify: bool) -> int | None:
        with self._changing:
            known = self._exact.get(event.list_id)
        if known is None:
            known = (set(), set())
            for kind, found in self._load(event.list_id):
                known[1].add(kind)
                known[0].update(hash((kind, name)) for name in found)
            for drafted, sent_identify in self._drafted:
                if drafted.list_id == event.list_id:
                    names, types = _list_names(drafted, sent_identify)
                    known[0].update(names)
                    known[1].update(types)
        with self._changing:
            self._exact[event.list_id] = known
            self._exact.move_to_end(event.list_id)
            while len(self._exact) > EXACT_LISTS:
                self._rooms[self._exact.popitem(last=False)[0]] = Room(0, 0)
        names, types = known
        added, added_types = _list_names(event, sends_identify)
        added -= names
        added_types -= types
        if added_types and len(types) + len(added_types) > self._most_types:
            return TYPES_CODE
        if added and len(names) + len(added) > self._most_names:
            return NAMES_CODE
        names |= added
        types |= added_types
        return None


def _list_names(event: NewEvent, sends_identify: bool) -> tuple[set[int], set[str]]:
    """Return the hashes of the names, and the types, of an event and the identify event beside it."""
    given = list(_decode(event.properties))
    names = {hash((event.event, name)) for name in given}
    if not sends_identify:
        return names, {event.event}
    return names | {hash((IDENTIFY, name)) for name in (*given, ADDRESS)}, {event.event, IDENTIFY}


def _sum_rows(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for list_id, count in connection.execute(sql).fetchall():
        counts[list_id] = counts.get(list_id, 0) + count
    return counts
