"""SQL of the relations that questions read (query/source.py) about events that were deleted because of their age."""

from __future__ import annotations

import msgspec

from falcon_events.query.source import Deletion
from falcon_events.store.database import duckdb

KEPT = "select epoch_us(before), day::varchar, last_seq from prunings where list_id = $list_id"
ZONES = """
select time_zone, epoch_us(min(begins_at)), epoch_us(max(begins_at)) from daily_totals
where list_id = $list_id and event is null group by time_zone
"""
HAS_UNITS = "select exists (from daily_units where list_id = $list_id)"
TOTALS = """
select time_zone, begins_at as occurred_at, event, events, people, visitors, views, conversions, revenue from daily_totals
where list_id = $list_id
"""
ORDERS = "select digest from counted_orders where list_id = $list_id"
_UNITS = "select time_zone, begins_at as occurred_at, event, is_person, {unit} as unit from daily_units{joined} where {of_list}"
UNITS = {
    False: _UNITS.format(unit="unit::varchar", joined="", of_list="list_id = $list_id"),
    True: _UNITS.format(
        unit="coalesce(address, visitor::varchar)",
        joined=" left join address_keys on address_key = -unit left join visitor_keys on visitor_key = unit",
        of_list="daily_units.list_id = $list_id",
    ),
}
"""The persons and visitors whom totals count: by their keys, and by their names where all events are read from their JSON."""
FIRST_NAMES = ["seq", "event", "visitor_key", "person_key", "occurred_at", "bot", "automatic"]
FIRST_ROWS = """
select seq, occurred_at, event, visitor_key, address_key, false as bot, automatic from first_events where list_id = $list_id
"""
_ADDRESSES = """
select seq, list_id, visitor, address, occurred_at, 'address' as of from kept_addresses
join visitor_keys using (list_id, visitor_key) join address_keys using (list_id, address_key) where {condition}
"""
_FIRSTS = """
select seq, list_id, event, visitor, address, occurred_at, false as bot, automatic, 'first' as of from first_events
join visitor_keys using (list_id, visitor_key) left join address_keys using (list_id, address_key) where {condition}
"""
EVENTS, FIRSTS = " where of = 'event'", " where of = 'first'"
"""Conditions that choose from the rows of add_addresses() and add_firsts(), once the person of each is known."""
VISITORS = """
select visitor, address from visitor_addresses
join (from visitor_keys where list_id = $list_id) using (visitor_key)
join (from address_keys where list_id = $list_id) using (address_key)
where visitor_addresses.list_id = $list_id
"""


class Kept(msgspec.Struct, frozen=True):
    """The rest of a list's deleted events: since when events are there, the last deleted seq, and whether days go on."""

    deletion: Deletion
    last_seq: int
    has_units: bool


def read_kept(connection: duckdb.DuckDBPyConnection, list_id: int) -> Kept | None:
    """Return what is left of a list's deleted events; None: none were deleted. Call it within a transaction."""
    given = {"list_id": list_id}
    row = connection.execute(KEPT, given).fetchone()
    if row is None:
        return None
    before, day, last_seq = row
    zones = connection.execute(ZONES, given).fetchall()
    ((has_units,),) = connection.execute(HAS_UNITS, given).fetchall()
    return Kept(Deletion(before, day, zones), last_seq, has_units)


def add_addresses(read: str, condition: str) -> str:
    """Return the SELECT of events together with the addresses that deleted ones had, by which their persons are found."""
    return f"select *, 'event' as of from ({read}) union all by name {_ADDRESSES.format(condition=condition)}"


def add_firsts(read: str, condition: str) -> str:
    """Return the SELECT of events together with those addresses, and with the first ones of deleted events."""
    return f"{add_addresses(read, condition)} union all by name {_FIRSTS.format(condition=condition)}"
