"""Checks of a store for `falcon-events doctor`: its files, its rows, its catalogue, its webhooks, its filters and the disk."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from falcon_events.files.lockfile import lock_path
from falcon_events.files.paths import cut_journals_of, logs_of
from falcon_events.model.reports import Check, FilterState
from falcon_events.store.database import catalogue, columns, duckdb, promoted, pruning
from falcon_events.store.database.portions import OF_PORTION, run_in_portions
from falcon_events.store.database.wal import find_copies
from falcon_events.store.engine.apply import refused_path
from falcon_events.store.queries.answer_check import check_answers

SCANNED = (
    "meta", "accounts", "lists", "api_keys", "sessions", "list_rules", "dropped_events", "saved_queries", "events", "bindings",
    "event_ids", "key_filters", "event_types", "event_properties", "webhooks", "deliveries", "promoted_properties",
    "dashboard_views", "dashboard_shares", *columns.TABLES, *pruning.TABLES,
)  # fmt: skip
UNBOUND = """
select count(*) from (
    select distinct list_id, visitor, lower(email) as email from events
    where event = 'identify' and email is not null and seq <= (select folded_seq from meta)
    except
    select list_id, visitor, email from bindings
)
"""
WEBHOOKS = """
select url, disabled, (select count(*) from deliveries as d where d.webhook_id = w.webhook_id and d.failed)
from webhooks as w order by created_at
"""
REPEATED_VIEWS = """
select list_id, board, name, count(*) as views from dashboard_views group by all having views > 1 order by list_id, board, name
"""
LEAST_FREE_BYTES = 1 << 30
MOST_FILTERS = 0.6
"""The share of their memory from which on the filters are reported."""


def run_checks(connection: duckdb.DuckDBPyConnection, path: Path, filters: dict[str, FilterState]) -> list[Check]:
    """Check a store by reading every row."""
    return [
        *_check_files(path),
        *_check_rows(connection),
        *_check_catalogue(connection),
        *_check_totals(connection),
        *check_answers(connection),
        *_list_promoted(connection),
        *_check_views(connection),
        *_check_webhooks(connection),
        *_check_filters(filters),
        _check_disk(path),
    ]


def _check_files(path: Path) -> list[Check]:
    found = []
    for file in (path, *logs_of(path), refused_path(path), lock_path(path)):
        if not file.exists():
            continue
        mode = stat.S_IMODE(file.stat().st_mode)
        ok = not mode & 0o077
        advice = "" if ok else f"; others may read it: chmod 600 {file}"
        if file == refused_path(path):
            ok, advice = False, f"{advice}; the database has refused these rows: please report this"
        if file.stat().st_nlink > 1:
            ok, advice = False, f"{advice}; it has several names (hard links): remove the others"
        found.append(Check(f"file {file.name}", ok, f"mode {mode:04o}, {file.stat().st_size} bytes{advice}"))
    for _, copy in find_copies(path, 0):
        words = "a log that ended in the middle of a write, as after a kill or a power loss; delete it when nothing is missing"
        found.append(Check(f"file {copy.name}", True, f"{copy.stat().st_size} bytes: {words}"))
    for kept in cut_journals_of(path):
        words = "another program had cut or overwritten this journal: acknowledged events may be missing; delete it when you know"
        found.append(Check(f"file {kept.name}", False, f"{kept.stat().st_size} bytes: {words}"))
    return found


def _check_rows(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    found = []
    for table in SCANNED:
        try:
            found.append(Check(f"table {table}", True, f"{_read_table(connection, table)} rows read"))
        except duckdb.OutOfMemoryException:
            found.append(
                Check(f"table {table}", False, "cannot be read within the memory limit; raise the setting memory_limit_mb")
            )
        except duckdb.Error as error:
            found.append(Check(f"table {table}", False, f"{str(error).splitlines()[0]} Restore the store from a backup."))
    ((repeated,),) = connection.execute("select count(*) - count(distinct seq) from events").fetchall()
    words = "each event has a seq of its own" if repeated == 0 else f"{repeated} events repeat the seq of another"
    found.append(Check("order of events", repeated == 0, words))
    ((unbound,),) = connection.execute(UNBOUND).fetchall()
    words = "each identify event has its binding" if unbound == 0 else f"{unbound} bindings of identify events are missing"
    found.append(Check("bindings", unbound == 0, words))
    return found


def _read_table(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Read every row of a table and return their number; of the table events in portions if they are large."""
    # hash() of whole rows makes DuckDB read every block of every column and compare its checksum.
    read = f"select count(*), bit_xor(hash(t)) from {table} as t"
    try:
        ((count, _),) = connection.execute(read).fetchall()
    except duckdb.OutOfMemoryException:
        if table != "events":
            raise
        count = 0

        def add(bounds: dict[str, int]) -> None:
            nonlocal count
            ((rows, _),) = connection.execute(f"{read} where {OF_PORTION}", bounds).fetchall()
            count += rows

        ((newest,),) = connection.execute("select coalesce(max(seq), 0) from events").fetchall()
        run_in_portions(connection, 0, newest, catalogue.READ_AT_ONCE, add)
    return int(count)


def _check_catalogue(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    lists = [row[0] for row in connection.execute("select distinct list_id from event_types order by 1").fetchall()]
    try:
        differing = [list_id for list_id in lists if catalogue.differs(connection, list_id)]
    except duckdb.OutOfMemoryException:
        advice = "raise the setting memory_limit_mb, and see max_property_names"
        return [Check("catalogue", False, f"cannot be compared with a recount within the memory limit; {advice}")]
    if not differing:
        return [Check("catalogue", True, f"{len(lists)} lists agree with a recount")]
    named = ", ".join(str(list_id) for list_id in differing[:10])
    return [Check("catalogue", False, f"differs from a recount in {len(differing)} lists ({named}); please report this")]


def _check_totals(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    """Check that the totals of days agree with each other, and the numbers of deleted events with those of event types."""
    ((pruned, wrong),) = connection.execute(pruning.COUNT_WRONG).fetchall()
    if not pruned:
        return []
    words = f"{wrong} totals disagree; please report this" if wrong else f"those of {pruned} lists agree with each other"
    return [Check("daily totals", not wrong, words)]


def _list_promoted(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    """Return how far the columns of promoted properties are filled, by list. That their values are right is checked before."""
    found: dict[int, list[str]] = {}
    for list_id, name, asked, filled, events in connection.execute(promoted.PROGRESS).fetchall():
        share = "" if filled == events else f", {filled} of {events} events so far"
        found.setdefault(list_id, []).append(json.dumps(name, ensure_ascii=False) + (" (by questions)" if asked else "") + share)
    return [Check(f"indexed properties of list {list_id}", True, "; ".join(names)) for list_id, names in found.items()]


def _check_views(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    """Return which saved views have the name of another on their board."""
    return [
        Check(f"view {name!r}", False, f"is {views} times on board {board!r} of list {list_id}; save it once more, or remove it")
        for list_id, board, name, views in connection.execute(REPEATED_VIEWS).fetchall()
    ]


def _check_webhooks(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    found = []
    for url, disabled, failed in connection.execute(WEBHOOKS).fetchall():
        words = ["disabled, because its receiver answered 410 Gone"] * disabled
        words += [f"{failed} deliveries have failed"] * bool(failed)
        advice = "; see 'falcon-events deliveries list', then run 'deliveries retry --all' or 'webhooks remove'"
        found.append(Check(f"webhook {url}", not words, "; ".join(words) + advice if words else "nothing has failed"))
    return found


def _check_filters(filters: dict[str, FilterState]) -> list[Check]:
    found = []
    for table, state in filters.items():
        ok = state.bytes < MOST_FILTERS * state.most_bytes
        words = f"{state.keys} keys in {state.bytes / 1e6:.1f} of {state.most_bytes / 1e6:.0f} MB of memory"
        words += ", still being built" if state.building else f", {state.false_positives:.2%} of new keys are looked up"
        advice = "" if ok else "; soon look-ups will become slower: raise the setting filter_mb"
        found.append(Check(f"filters of {table}", ok, words + advice))
    return found


def _check_disk(path: Path) -> Check:
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    needed = max(LEAST_FREE_BYTES, path.stat().st_size)
    advice = "" if free >= needed else "; compacting or a backup here may need more"
    return Check("disk", free >= LEAST_FREE_BYTES // 8, f"{free >> 20} MiB free{advice}")
