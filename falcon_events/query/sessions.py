"""The relations of sessions: the events of a visitor with less than some gap from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

from falcon_events.query.expressions import CTE, PLACE

FIRST_US = 62_135_596_800_000_000
"""No event is from before the year 1, which began these microseconds before 1970."""
SLOT = f"((epoch_us({{event}}occurred_at) + {FIRST_US}) // {{gap}})"
"""The number of an event's slot. Slots are as long as the gap that ends a session, so a visitor's events of one slot are of one
session: there are fewer slots than events to put in order."""
SLOTS = f"""
select {{scope}}visitor_key, {SLOT.replace("{event}", "")} as slot, count(*) as slot_events, min(occurred_at) as slot_since,
    max(occurred_at) as slot_until{{of_slots}}
from {{before}} group by all
"""
KNOWN_SESSIONS = "sessions"
"""The relation with one row for each session."""
# One order for all visitors takes a fraction of the time of one for each.
GAPS = """
select *, visitor_key = lag(visitor_key) over in_order and slot_since - lag(slot_until) over in_order < to_microseconds({gap})
        {and_alike} as goes_on
from slots window in_order as (order by {scope}visitor_key, slot)
"""
NUMBER = """sum(case when goes_on then 0 else 1 end) over (
        order by {scope}visitor_key, slot rows unbounded preceding)::bigint as session_number"""
NUMBERED = f"select *, {NUMBER} from gaps"
TOGETHER = """sum(slot_events)::bigint as session_events,
    (epoch_us(max(slot_until)) - epoch_us(min(slot_since))) / 1e6 as session_seconds"""
"""The columns of a session, of its slots."""
SESSIONS = f"select session_number, {TOGETHER}{{of_sessions}} from numbered group by session_number"
OF_SESSION = f"""
select before.*, session_number, session_events, session_seconds{{columns}}
from {{before}} as before
join (from numbered join sessions using (session_number)) as known
    on known.visitor_key = before.visitor_key and known.slot = {SLOT.replace("{event}", "before.")}{{same}}
"""
# Most sessions are within one slot. Only the others need a number, by which their slots are put together.
ENDS = """
select *, coalesce(visitor_key = lag(visitor_key) over in_order and slot_since - lag(slot_until) over in_order < {gap}, false)
        as goes_on,
    coalesce(visitor_key = lead(visitor_key) over in_order and lead(slot_since) over in_order - slot_until < {gap}, false)
        as goes_on_later
from slots window in_order as (order by visitor_key, slot)
"""
PARTS = f"select *, {NUMBER.replace('{scope}', '')} from ends where goes_on or goes_on_later"
WHOLE_SESSIONS = f"""
select slot_events as session_events, (epoch_us(slot_until) - epoch_us(slot_since)) / 1e6 as session_seconds,
    slot_counts as is_counted
from ends where not goes_on and not goes_on_later
union all
select {TOGETHER}, bool_or(slot_counts) from parts group by session_number
"""
_RELATIONS = (
    ("slots", SLOTS),
    ("gaps", GAPS),
    ("numbered", NUMBERED),
    (KNOWN_SESSIONS, SESSIONS),
    ("in_sessions", OF_SESSION),
)
FIRST_OF_SESSIONS = {
    "entry_path": ("path", "min"),
    "exit_path": ("path", "max"),
    "session_id": ("event_id", "min"),
}
"""The columns of a session that are those of its first or last event which has one."""


def define_whole_sessions(before: str, gap: str, counted: str) -> list[CTE]:
    """Return the relations of sessions without their events, the last of which is KNOWN_SESSIONS.

    It has `session_events`, `session_seconds` and `is_counted`: whether one of the session's events counts.

    Args:
        before: the name of the relation of events.
        gap: the SQL of the microseconds without an event that end a session.
        counted: the SQL of whether an event counts.
    """
    slots = SLOTS.replace("{scope}", "").replace("{gap}", gap).replace("{before}", before)
    ends = ENDS.replace("{gap}", f"to_microseconds({gap})")
    return [
        ("slots", slots.replace("{of_slots}", f", bool_or({counted}) as slot_counts")),
        ("ends", ends),
        ("parts", PARTS),
        (KNOWN_SESSIONS, WHOLE_SESSIONS),
    ]


def define_sessions(before: str, gap: str, apart: str, columns: Sequence[str]) -> list[CTE]:
    """Return the relations of sessions, the last of which has the events of `before` with their sessions.

    Args:
        before: the name of the relation of events.
        gap: the SQL of the microseconds without an event that end a session.
        apart: the column that sets events apart, as those of one session are alike in it, with a comma; or empty.
        columns: which of FIRST_OF_SESSIONS are needed.
    """
    of_slots = of_sessions = ""
    for name in columns:
        value, which = FIRST_OF_SESSIONS[name]
        of_slots += f",\n    arg_{which}({value}, {PLACE}) filter (where {value} is not null) as slot_{name}"
        of_sessions += f",\n    arg_{which}(slot_{name}, slot) filter (where slot_{name} is not null) as {name}"
    given = {
        "{before}": before,
        "{gap}": gap,
        "{scope}": apart,
        "{of_slots}": of_slots,
        "{of_sessions}": of_sessions,
        "{columns}": "".join(f", {name}" for name in columns),
        "{same}": " and known.is_shown = before.is_shown" if apart else "",
        "{and_alike}": "and is_shown = lag(is_shown) over in_order" if apart else "",
    }
    relations = []
    for name, body in _RELATIONS:
        for mark, text in given.items():
            body = body.replace(mark, text)
        relations.append((name, body))
    return relations
