"""Deletion of events by age: a portion of a list's oldest events goes, and what is kept of them is written, in one transaction.

Kept are the daily totals; for each visitor, person and event type the first event; and what the events that are left need so that
answers about them stay as they were: which address a visitor had when, and which orders were counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from falcon_events.query.expressions import PLACE
from falcon_events.store.database import duckdb

TABLES = ("prunings", "daily_totals", "daily_units", "first_events", "kept_addresses", "counted_orders")
"""The tables of what is kept of deleted events. Each has a column list_id."""
# An event that a webhook still has to get is deleted after its delivery.
LIMIT = """
select least(
    (select min(folded_seq) from meta), (select min(columns_seq) from meta),
    (select min(next_seq) - 1 from webhooks where not disabled and (list_ids is null or list_contains(list_ids, $list_id)))
)
"""
NOT_AWAITED = """seq not in (
    select seq from deliveries join webhooks using (webhook_id) where list_id = $list_id and not failed and not disabled
)"""
_DUE = f"list_id = $list_id and occurred_at < make_timestamp($before) and seq <= $limit and {NOT_AWAITED}"
OLDEST = f"select epoch_us(min(occurred_at)) from event_columns where {_DUE}"
HAS_UNFOLDED = """
select exists (
    from events where list_id = $list_id and occurred_at < make_timestamp($before)
        and seq > (select least(folded_seq, columns_seq) from meta)
)
"""
# The person of an event is that of questions (store/queries/answer_source.py). All events have their typed columns here.
CHOOSE = f"""
create or replace temp table pruned as
with due as materialized (
    select seq, event, visitor_key, address_key, occurred_at, bot, automatic, conversion_id, conversion_value, {PLACE} as place
    from event_columns where {_DUE} and occurred_at < make_timestamp($until) order by occurred_at, seq limit $most
),
    bound as materialized (
        select visitor_key, address_key, number from visitor_addresses
        where list_id = $list_id and visitor_key in (select visitor_key from due where address_key is null)
    ),
    times as materialized (
        select visitor_key, address_key, {PLACE} as place from address_times
        where list_id = $list_id and visitor_key in (select visitor_key from bound where number = 2)
        union all
        select visitor_key, address_key, -1::hugeint from bound
        where number = 1 and visitor_key not in (select visitor_key from bound where number = 2)
    ),
    earliest as (select visitor_key, arg_min(address_key, place) as address_key from times group by visitor_key),
    days as (
        select day, make_timestamp(begins) as begins_at
        from (select unnest($days::date[]) as day, unnest($begins::bigint[]) as begins)
    )
select due.*, not bot and not automatic as is_shown, day, begins_at,
    coalesce(-due.address_key, -before.address_key, -earliest.address_key, due.visitor_key) as person_key
from due asof join days on due.occurred_at >= days.begins_at
    asof left join times as before on before.visitor_key = due.visitor_key and before.place <= due.place
    left join earliest on earliest.visitor_key = due.visitor_key
"""
CHOOSE_ORDERS = f"""
create or replace temp table pruned_orders as
select event, day, begins_at, conversion_value, md5(conversion_id) as digest from pruned
where is_shown and conversion_id is not null
    and md5(conversion_id) not in (select digest from counted_orders where list_id = $list_id)
    and seq in (
        select arg_min(seq, {PLACE}) from event_columns
        where list_id = $list_id and not bot and conversion_id in (select conversion_id from pruned) group by conversion_id
    )
"""
# Whom a day's totals count is known while the day is being deleted, and for a while after.
CHOOSE_UNITS = """
create or replace temp table pruned_units as
select distinct day, begins_at, event, is_person, unit from (
    select day, begins_at, unnest([event, null]) as event, true as is_person, person_key as unit from pruned where is_shown
    union all
    select day, begins_at, unnest([event, null]), false, visitor_key from pruned where is_shown
) as met where not exists (
    from daily_units as known where known.list_id = $list_id and known.time_zone = $time_zone and known.day = met.day
        and known.begins_at >= make_timestamp($first)
        and known.event is not distinct from met.event and known.is_person = met.is_person and known.unit = met.unit
)
"""
KEEP_UNITS = """
insert into daily_units select $list_id, $time_zone, day, begins_at, event, is_person, unit from pruned_units
"""
_SHRINK, _GROW = "2.3283064365386963e-10", "4294967296e0"
"""A power of two and its inverse: a sum of shrunken numbers stays within a double on the way where its result does."""
KEEP_TOTALS = f"""
merge into daily_totals as kept
using (
    select day, begins_at, event, sum(events) as events, sum(people) as people, sum(visitors) as visitors, sum(views) as views,
        sum(conversions) as conversions, max(revenue) as revenue
    from (
        select day, begins_at, event, count(*) as events, 0 as people, 0 as visitors,
            count(*) filter (where event = 'pageView') as views, 0 as conversions, null::double as revenue
        from pruned where is_shown group by grouping sets ((day, begins_at, event), (day, begins_at))
        union all
        select day, begins_at, event, 0, count(*) filter (where is_person), count(*) filter (where not is_person), 0, 0, null
        from pruned_units group by all
        union all
        select day, begins_at, event, 0, 0, 0, 0, count(*), fsum(conversion_value * {_SHRINK}) * {_GROW}
        from pruned_orders group by grouping sets ((day, begins_at, event), (day, begins_at))
    ) group by day, begins_at, event
) as new
on kept.list_id = $list_id and kept.time_zone = $time_zone and kept.day = new.day and kept.event is not distinct from new.event
when matched then update set
    events = kept.events + new.events,
    people = kept.people + new.people,
    visitors = kept.visitors + new.visitors,
    views = kept.views + new.views,
    conversions = kept.conversions + new.conversions,
    revenue = coalesce(kept.revenue + new.revenue, kept.revenue, new.revenue),
    changed_at = make_timestamp($now)
when not matched then insert values ($list_id, $time_zone, new.day, new.begins_at, new.event, new.events, new.people,
    new.visitors, new.views, new.conversions, new.revenue, make_timestamp($now))
"""
KEEP_ORDERS = "insert into counted_orders select $list_id, digest from pruned_orders"
KEEP_FIRST = f"""
merge into first_events as kept
using (
    select event, visitor_key, address_key, person_key, automatic, arg_min(occurred_at, place) as occurred_at,
        arg_min(seq, place) as seq, min(place) as place
    from pruned where not bot group by event, visitor_key, address_key, person_key, automatic
) as new
on kept.list_id = $list_id and kept.event = new.event and kept.visitor_key = new.visitor_key
    and kept.address_key is not distinct from new.address_key and kept.person_key = new.person_key
    and kept.automatic = new.automatic
when matched and new.place < (epoch_us(kept.occurred_at)::hugeint * {2**63} + kept.seq)
    then update set occurred_at = new.occurred_at, seq = new.seq
when not matched then insert values ($list_id, new.event, new.visitor_key, new.address_key, new.person_key, new.automatic,
    new.occurred_at, new.seq)
"""
# Between two times at which a visitor had the same address, others say nothing more. The one stored first numbers the address.
CHOOSE_TIMES = """
create or replace temp table pruned_times as
select seq, before is not distinct from address_key and after is not distinct from address_key and seq <> first_seq as is_between
from (
    select seq, address_key, lag(address_key) over of_visitor as before, lead(address_key) over of_visitor as after,
        min(seq) over (partition by visitor_key, address_key) as first_seq
    from (
        select visitor_key, address_key, occurred_at, seq from pruned where address_key is not null
        union all
        select visitor_key, address_key, occurred_at, seq from kept_addresses
        where list_id = $list_id and visitor_key in (select visitor_key from pruned where address_key is not null)
    )
    window of_visitor as (partition by visitor_key order by occurred_at, seq)
)
"""
KEEP_TIMES = """
insert into kept_addresses
select $list_id, visitor_key, address_key, occurred_at, seq from pruned
where address_key is not null and seq in (select seq from pruned_times where not is_between)
"""
_BETWEEN = "list_id = $list_id and seq in (select seq from pruned_times where is_between)"
_PRUNED = "list_id = $list_id and seq in (select seq from pruned)"
COUNT_DELETED = """
update event_types as kept set deleted = kept.deleted + gone.events
from (select event, count(*) as events from pruned group by event) as gone
where kept.list_id = $list_id and kept.event = gone.event
"""
MOVE_BORDER = """
merge into prunings as kept
using (select count(*) as events, max(seq) as last_seq from pruned) as new on kept.list_id = $list_id
when matched and kept.before < make_timestamp($before) then update set before = make_timestamp($before), day = $day,
    time_zone = $time_zone, events = kept.events + new.events, last_seq = greatest(kept.last_seq, new.last_seq)
when matched then update set events = kept.events + new.events, last_seq = greatest(kept.last_seq, new.last_seq)
when not matched then insert values ($list_id, make_timestamp($before), $day, $time_zone, new.events, new.last_seq)
"""
HAS_BOTS = "select exists (from pruned where bot)"
# Bots leave nothing that would need the visitor's key.
DELETE_KEYS = """
delete from visitor_keys where list_id = $list_id and visitor_key in (select visitor_key from pruned where bot)
    and visitor_key not in (select visitor_key from event_columns where list_id = $list_id)
    and visitor_key not in (select visitor_key from first_events where list_id = $list_id)
    and visitor_key not in (select visitor_key from kept_addresses where list_id = $list_id)
"""
STATEMENTS = (
    CHOOSE_ORDERS,
    CHOOSE_UNITS,
    KEEP_UNITS,
    KEEP_TOTALS,
    KEEP_ORDERS,
    KEEP_FIRST,
    CHOOSE_TIMES,
    KEEP_TIMES,
    f"delete from kept_addresses where {_BETWEEN}",
    f"delete from address_times where {_BETWEEN}",
    f"delete from deliveries where {_PRUNED}",
    COUNT_DELETED,
    MOVE_BORDER,
    f"delete from events where {_PRUNED}",
    f"delete from event_columns where {_PRUNED}",
)
"""The statements of a portion, after CHOOSE."""
TEMPORARY = ("pruned", "pruned_orders", "pruned_units", "pruned_times")
FORGET_UNITS = """
delete from daily_units where (list_id, time_zone, day) in (
    select (list_id, time_zone, day) from daily_totals where event is null and changed_at < make_timestamp($before)
)
"""
RULES = "select list_id, keep_days, time_zone from list_rules where keep_days is not null order by list_id"
# Read from the events, so that those are counted, too, that have no typed columns yet.
COUNT_DUE = """
with awaited as (
    select min(next_seq) as next_seq from webhooks
    where not disabled and (list_ids is null or list_contains(list_ids, $list_id))
),
    marked as (
        select occurred_at, occurred_at < make_timestamp($before) as is_old,
            seq >= coalesce((select next_seq from awaited), 9223372036854775807) or seq in (
                select seq from deliveries join webhooks using (webhook_id)
                where list_id = $list_id and not failed and not disabled
            ) as is_awaited
        from events where list_id = $list_id
    )
select count(*) filter (where is_old and not is_awaited), count(*) filter (where is_old and is_awaited),
    epoch_us(min(occurred_at) filter (where not is_old or is_awaited))
from marked
"""
# Of each day, the totals of its event types add up to those of all, but for people and visitors, who may be of several.
COUNT_WRONG = """
with days as (
    select sum(events) filter (where event is null) as events, sum(events) filter (where event is not null) as of_types,
        sum(views) filter (where event is null) as views, sum(views) filter (where event is not null) as views_of_types,
        sum(conversions) filter (where event is null) as conversions,
        sum(conversions) filter (where event is not null) as conversions_of_types,
        max(people) filter (where event is not null) as most_people, any_value(people) filter (where event is null) as people
    from daily_totals group by list_id, time_zone, day
),
    types as (
        select coalesce(any_value(prunings.events), 0) as events, coalesce(sum(event_types.deleted), 0) as of_types
        from event_types full join prunings using (list_id) group by list_id
    )
select (select count(*) from prunings), (select count(*) from days where events is distinct from of_types
        or views is distinct from views_of_types or conversions is distinct from conversions_of_types
        or most_people > people or people > events)
    + (select count(*) from types where events <> of_types)
"""


class KeptFor(msgspec.Struct, frozen=True):
    """For how long the events of a list are kept: its rule."""

    list_id: int
    days: int
    time_zone: str


class Cut(msgspec.Struct, frozen=True):
    """Where the events of a list end that are deleted: those before a moment, in microseconds since 1970, and its local day."""

    list_id: int
    time_zone: str
    before: int
    day: date


class DaySpan(msgspec.Struct, frozen=True):
    """The days that a portion may have events of: when each begins, and when the last one ends."""

    days: Sequence[date]
    begins: Sequence[int]
    until: int


def read_rules(connection: duckdb.DuckDBPyConnection) -> list[KeptFor]:
    """Return the rules of all lists whose events are not kept for ever."""
    return [KeptFor(*row) for row in connection.execute(RULES).fetchall()]


def read_time_zone(connection: duckdb.DuckDBPyConnection, list_id: int) -> str:
    """Return the time zone of a list's days."""
    row = connection.execute("select time_zone from list_rules where list_id = $list_id", {"list_id": list_id}).fetchone()
    return "UTC" if row is None else str(row[0])


def has_unfolded(connection: duckdb.DuckDBPyConnection, cut: Cut) -> bool:
    """Return whether some of the events are too old that are not folded yet, into the catalogue and into typed columns."""
    ((found,),) = _run(connection, HAS_UNFOLDED, {"list_id": cut.list_id, "before": cut.before})
    return bool(found)


def find_oldest(connection: duckdb.DuckDBPyConnection, cut: Cut, hold_seq: int) -> tuple[int | None, int]:
    """Return when the oldest event happened that may be deleted now, None if there is none; and up to which seq some may be.

    Args:
        connection: the writing connection.
        cut: which events are too old.
        hold_seq: the first seq that is left for now.
    """
    ((limit,),) = connection.execute(LIMIT, {"list_id": cut.list_id}).fetchall()
    limit = min(int(limit), hold_seq - 1)
    given = {"list_id": cut.list_id, "before": cut.before, "limit": limit}
    ((oldest,),) = connection.execute(OLDEST, given).fetchall()
    return oldest, limit


def prune(connection: duckdb.DuckDBPyConnection, cut: Cut, span: DaySpan, limit: int, most: int, now_us: int) -> int:
    """Delete the oldest events of a list and write what is kept of them, in one transaction. All events must be folded.

    Args:
        connection: the writing connection.
        cut: which events are too old.
        span: the days that their totals may be of.
        limit: the highest seq that may be deleted.
        most: how many events to delete at most.
        now_us: the time, in microseconds since 1970.

    Returns:
        The number of events.
    """
    given: dict[str, Any] = {
        "list_id": cut.list_id,
        "time_zone": cut.time_zone,
        "before": cut.before,
        "day": cut.day,
        "days": list(span.days),
        "begins": list(span.begins),
        "first": span.begins[0],
        "until": span.until,
        "limit": limit,
        "most": most,
        "now": now_us,
    }
    connection.begin()
    try:
        ((count,),) = _run(connection, CHOOSE, given)
        if count:
            for statement in STATEMENTS:
                _run(connection, statement, given)
            if _run(connection, HAS_BOTS, given) == [(True,)]:
                _run(connection, DELETE_KEYS, given)
        for table in TEMPORARY:
            connection.execute(f"drop table if exists temp.{table}")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return int(count)


def forget_units(connection: duckdb.DuckDBPyConnection, before_us: int) -> None:
    """Forget whom the totals count that have not changed since a time, in microseconds since 1970."""
    _run(connection, FORGET_UNITS, {"before": before_us})


def count_units(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many persons and visitors of totals are known."""
    ((count,),) = connection.execute("select count(*) from daily_units").fetchall()
    return int(count)


def count_due(connection: duckdb.DuckDBPyConnection, cut: Cut) -> tuple[int, int, int | None]:
    """Return how many events are too old, how many more wait for a webhook, and when the oldest happened that will be left."""
    ((due, awaited, oldest),) = connection.execute(COUNT_DUE, {"list_id": cut.list_id, "before": cut.before}).fetchall()
    return due, awaited, oldest


def _run(connection: duckdb.DuckDBPyConnection, statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    named = set(re.findall(r"\$(\w+)", statement))
    return connection.execute(statement, {name: value for name, value in given.items() if name in named}).fetchall()


def keeps_keys(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether something is kept of deleted events that names visitors and addresses by their keys."""
    ((found,),) = connection.execute("select exists (from first_events) or exists (from kept_addresses)").fetchall()
    return bool(found)
