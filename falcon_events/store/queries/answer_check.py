"""Checks of what questions read: typed columns, the keys of visitors and addresses, and saved queries."""

from __future__ import annotations

from collections import Counter

from falcon_events.model.reports import Check
from falcon_events.query.saved_reading import find_fault
from falcon_events.store.database import columns, duckdb

COLUMNS, KEYS = "columns", "keys"
"""The names of the checks whose faults a rebuild of the typed columns mends."""
ADVICE = "run 'falcon-events doctor --repair', and please report this"
COUNT_COLUMNS = """
select count(*) filter (where seq <= (select columns_seq from meta)), count(*) filter (where seq > (select columns_seq from meta))
from events
"""
# Erased events were in the catalogue, so its watermark tells that they have been there.
AHEAD = """
select columns_seq, newest from meta, (
    select greatest(
        coalesce(max(seq), 0), (select folded_seq from meta), (select coalesce(max(next_seq), 1) - 1 from webhooks)
    ) as newest from events
)
where columns_seq > newest
"""
_COUNT_KEYS = """
with used as (
    select list_id, {key} from event_columns
    union all
    select list_id, {key} from first_events
    union all
    select list_id, {key} from kept_addresses
)
select
    (select count(*) from {table} anti join used using (list_id, {key})),
    (select count(*) - count(distinct {key}) from {table}),
    (select count(*) - count(distinct (list_id, {named})) from {table})
"""
"""How many keys belong to no event, have the number of another, and are further ones of the same visitor or address.

What is kept of deleted events has keys, too.
"""
COUNT_KEYS = {
    "visitors": _COUNT_KEYS.format(table="visitor_keys", key="visitor_key", named="visitor"),
    "addresses": _COUNT_KEYS.format(table="address_keys", key="address_key", named="address"),
}
SAVED = "select list_id, name, kind, definition, epoch_us(saved_at) from saved_queries order by list_id, name"
NAMED = 5
"""How many saved queries that cannot be read are named."""


def check_answers(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    """Check what questions read, by comparing it with the events. Call it outside of a transaction."""
    return [_check_columns(connection), _check_keys(connection), _check_saved(connection)]


def _check_columns(connection: duckdb.DuckDBPyConnection) -> Check:
    ((folded, left),) = connection.execute(COUNT_COLUMNS).fetchall()
    try:
        differs = columns.differs(connection)
    except duckdb.OutOfMemoryException:
        return Check(COLUMNS, False, "cannot be compared with a recount; raise the setting memory_limit_mb")
    wrong = ["differ from a recount"] * differs
    for seq, newest in connection.execute(AHEAD).fetchall():
        wrong.append(f"reach to seq {seq} (meta.columns_seq), but the newest event is {newest}")
    words = f"{' and '.join(wrong)}; {ADVICE}" if wrong else f"those of {folded} events agree with a recount"
    return Check(COLUMNS, not wrong, words + (f"; {left} later events have none yet" if left else ""))


def _check_keys(connection: duckdb.DuckDBPyConnection) -> Check:
    wrong = []
    for named, statement in COUNT_KEYS.items():
        ((surplus, repeated, doubled),) = connection.execute(statement).fetchall()
        wrong += [f"{surplus} of {named} belong to no event"] * bool(surplus)
        wrong += [f"{repeated} of {named} repeat the number of another"] * bool(repeated)
        wrong += [f"{doubled} of {named} are further keys of the same"] * bool(doubled)
    return Check(KEYS, not wrong, f"{', '.join(wrong)}; {ADVICE}" if wrong else "each visitor and each address has one")


def _check_saved(connection: duckdb.DuckDBPyConnection) -> Check:
    rows = connection.execute(SAVED).fetchall()
    counts = Counter((list_id, name) for list_id, name, *_ in rows)
    wrong = [f"{name!r} of list {list_id} is there {count} times" for (list_id, name), count in counts.items() if count > 1]
    for list_id, name, *saved in rows:
        if (fault := find_fault(list_id, name, *saved)) is not None:
            wrong.append(f"{name!r} of list {list_id} cannot be read ({fault})")
    if not wrong:
        return Check("saved queries", True, f"{len(rows)} can be read")
    more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    advice = "'falcon-events forget NAME --list N' removes one; then save it again"
    return Check("saved queries", False, f"{', '.join(wrong[:NAMED])}{more}; {advice}")
