"""Latency of questions about a large store, compared with the same questions as SQL over the JSON of the events."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb

from benchmarks.common import Report, describe, fail, make_store, positive, workplace
from benchmarks.workload import SEED, page_view, zipf
from falcon_events import EventTracking
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, columns
from falcon_events.store.database.connect import open_database
from falcon_events.store.engine.upkeep import COLUMNS_SHARE

LISTS = range(1, 6)
LIST_ID = 1
"""The list that has half of the events."""
DAYS = 300
PATTERNS = 20_000
VISITOR = "(visitor)"
AT_ONCE = 100_000
PERSON_EVERY = 10
"""One visitor in ten has an address; one in a thousand has two."""
FILL = f"""
insert into events
with numbered as (
    select i, hash(i // 4) % ($events // 10 + 1) as number, (hash(i) % {PATTERNS})::integer as pattern
    from range($since, $until) as numbers(i)
),
    placed as (
        select *, (hash(number) % 1000)::integer as chance, hash(i, 'address') % 8 = 0 as is_addressed,
            make_timestamp(($first_us + i * ({DAYS * 86_400_000_000} // $events))::bigint) as happened
        from numbered
    )
select i + 1, md5('event ' || i)::uuid, 'benchmark',
    case when chance < 520 then 1 when chance < 740 then 2 when chance < 860 then 3 when chance < 940 then 4 else 5 end,
    event, md5('visitor ' || placed.number)::uuid, 'user-id-' || i,
    case when not is_addressed or placed.number % {PERSON_EVERY} <> 0 then null
        when placed.number % 1000 = 0 and i % 3 = 0 then 'other-' || placed.number || '@test.com'
        else 'visitor-' || placed.number || '@test.com' end,
    happened, happened, replace(properties, '{VISITOR}', md5('visitor ' || placed.number)::uuid::varchar), null, null,
    case when event = 'identify' then false end
from placed join patterns on patterns.number = placed.pattern
order by i
"""


def fill(connection: duckdb.DuckDBPyConnection, events: int, report: Report) -> None:
    """Add rows in the shape that the writer makes, without folding them. The last one happened now."""
    first_us = time.time_ns() // 1000 - DAYS * 86_400_000_000
    chance = random.Random(SEED)
    types = ["pageView"] * 85 + ["signup"] * 5 + ["conversion"] * 4 + ["searched"] * 4 + ["identify"] * 2
    plans = zipf(chance, 40)
    made: list[dict[str, Any]] = []
    for number in range(PATTERNS):
        event = chance.choice(types)
        properties = page_view(chance, VISITOR) | {"plan": f"plan {next(plans)}"}
        if event == "conversion":
            properties |= {"conversion-id": f"{number}-{VISITOR}", "conversion-value": chance.randrange(1, 500)}
        made.append({"number": number, "event": event, "properties": json.dumps(properties)})
    form = '[{"number": "INTEGER", "event": "VARCHAR", "properties": "VARCHAR"}]'
    connection.execute(
        "create or replace temp table patterns as select unnest(from_json_strict($made, $form), recursive := true)",
        {"made": json.dumps(made), "form": form},
    )
    for since in range(0, events, AT_ONCE):
        until = min(events, since + AT_ONCE)
        connection.execute(FILL, {"since": since, "until": until, "events": events, "first_us": first_us})
        if since % 1_000_000 == 0:
            report.progress(f"{since:,} events created")


def fold(connection: duckdb.DuckDBPyConnection, events: int, at_once: int, unfolded: int) -> tuple[float, float]:
    """Fold all events but the last ones, as the writer does. Return the microseconds of an event: catalogue, columns."""
    taken = [0.0, 0.0]
    steps = [*range(at_once, events - unfolded, at_once), events - unfolded]
    for seq in steps:
        for number, one in enumerate((catalogue.fold, columns.fold)):
            began = time.perf_counter()
            one(connection, seq)
            taken[number] += time.perf_counter() - began
    connection.execute("checkpoint")
    return taken[0] / events * 1e6, taken[1] / events * 1e6


# The person of each event by the rules of the questions, with window functions over the events of the list.
PERSONS = """
with attributed as (
    select *, coalesce(
        last_value(lower(email) ignore nulls) over (
            partition by visitor order by occurred_at, seq rows between unbounded preceding and current row),
        first_value(lower(email) ignore nulls) over (
            partition by visitor order by occurred_at, seq rows between current row and unbounded following),
        visitor::varchar) as person
    from events where list_id = 1
)
"""
ADDRESS = "select lower(email) from events where list_id = 1 and email is not null order by seq limit 1"
RECENT = "occurred_at >= (now() at time zone 'utc')::date - {days}"
PATH = "regexp_extract(properties->>'url', '^https?://[^/?#]+([^?#]*)', 1)"
PROMOTED = "plan"
FILLED = "select count(*) from promoted_properties where filled_seq >= until_seq"
Ask = Callable[[EventTracking, str], Any]


def ask_top(dimension: str) -> Ask:
    """Return a question for the ten most frequent values of a dimension in 28 days."""
    return lambda tracking, address: tracking.query(
        LIST_ID, date_range="28d", dimensions=[dimension], metrics=["people"], limit=10
    )


def express_top(value: str) -> str:
    """Return the same in SQL."""
    return (
        f"{PERSONS} select {value} as value, count(distinct person) as people from attributed"
        f" where {RECENT.format(days=27)} group by 1 order by 2 desc, 1 limit 10"
    )


QUESTIONS: dict[str, tuple[Ask, str, bool]] = {
    "people and events by day, 28 days": (
        lambda tracking, address: tracking.query(LIST_ID, date_range="28d", dimensions=["time:day"]),
        f"{PERSONS} select occurred_at::date, count(distinct person), count(*) from attributed"
        f" where {RECENT.format(days=27)} group by 1 order by 1",
        True,
    ),
    "top 10 paths with people, 90 days": (
        lambda tracking, address: tracking.query(LIST_ID, date_range="90d", dimensions=["path"], metrics=["people"], limit=10),
        f"{PERSONS} select {PATH} as path, count(distinct person) as people from attributed"
        f" where {RECENT.format(days=89)} group by 1 order by 2 desc, 1 limit 10",
        True,
    ),
    "top 10 paths with people, 28 days": (ask_top("path"), express_top(PATH), True),
    "top 10 of a property, 28 days": (ask_top(f"property:{PROMOTED}"), express_top(f"properties->>'{PROMOTED}'"), True),
    "people who did X three times and not Y": (
        lambda tracking, address: tracking.people(
            LIST_ID, people=[["has_done", {"Event": "signup", "Count": [">=", 3]}], ["has_not_done", {"Event": "conversion"}]]
        ),
        f"""{PERSONS} select person, max(occurred_at) from attributed group by person
            having count(*) filter (where event = 'signup') >= 3 and count(*) filter (where event = 'conversion') = 0
            order by 2 desc, 1 limit 100""",
        False,
    ),
    "one person's timeline": (
        lambda tracking, address: tracking.timeline(LIST_ID, email=address),
        f"{PERSONS} select event_id, event, occurred_at, properties from attributed where person = $address"
        " order by occurred_at desc, seq desc limit 100",
        False,
    ),
}
"""Each question over the Python API, the same in SQL, and whether the rows of both are compared."""
ONCE_PROMOTED = {"top 10 of a promoted property, 28 days": QUESTIONS["top 10 of a property, 28 days"]}
"""Questions that are asked once their property has a column."""


def ask(tracking: EventTracking, question: Ask, address: str, times: int) -> tuple[list[float], Any]:
    """Ask a question several times; return the milliseconds of each and the last answer."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        answered = question(tracking, address)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken[1:], answered


def promote(tracking: EventTracking, report: Report) -> None:
    """Give a property a column, and wait until it is filled."""
    began = time.perf_counter()
    tracking.directory.set_rules(LIST_ID, indexed=[PROMOTED])
    asked_s = time.perf_counter() - began
    while tracking.sql(FILLED).rows != [[1]]:
        time.sleep(0.1)
    report.progress(f"a column added in {asked_s * 1e3:.0f} ms, and filled in {time.perf_counter() - began:.1f} s")


def measure(db: Path, given: argparse.Namespace, report: Report) -> list[dict[str, Any]]:
    """Ask all questions over the Python API, and then in SQL on the same file with the same settings."""
    with open_database(db, Settings.from_environment()) as connection:
        ((address,),) = connection.execute(ADDRESS).fetchall()
    found = []
    with EventTracking(db, asked_properties=0) as tracking:
        answers = {name: ask(tracking, question, address, given.times) for name, (question, _, _) in QUESTIONS.items()}
        promote(tracking, report)
        answers |= {name: ask(tracking, question, address, given.times) for name, (question, _, _) in ONCE_PROMOTED.items()}
    with open_database(db, Settings.from_environment()) as connection:
        for name, (_, sql, is_compared) in (QUESTIONS | ONCE_PROMOTED).items():
            times, answered = answers[name]
            taken = []
            for _ in range(given.sql_times):
                began = time.perf_counter()
                rows = connection.execute(sql, {"address": address} if "$address" in sql else {}).fetchall()
                taken.append((time.perf_counter() - began) * 1e3)
            if is_compared and [row.metrics[0] for row in answered.rows] != [row[1] for row in rows]:
                fail(f"{name}: the answer differs from that in SQL")
            p50 = statistics.median(times)
            record = {"question": name, "p50_ms": round(p50, 2), "sql_ms": round(statistics.median(taken), 2)}
            found.append({**record, "ratio": round(p50 / statistics.median(taken), 4)})
    return found


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=1_000_000, metavar="N", help="size of the store")
    parser.add_argument("--unfolded", type=positive, default=2_500, metavar="N", help="events of them that are not folded")
    parser.add_argument("--times", type=positive, default=9, metavar="N", help="how often each question is asked")
    parser.add_argument("--sql-times", type=positive, default=3, metavar="N", help="how often each is asked in SQL")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary database")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    return parser.parse_args()


COLUMNS = ("question", "events", "p50 ms", "SQL ms", "ratio")


def main() -> None:
    """Measure and report."""
    given = arguments()
    report = Report(given.json)
    at_once = COLUMNS_SHARE * Settings.from_environment().fold_events
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace(given.folder))
        options = {name: value for name, value in vars(given).items() if name not in ("folder", "json")}
        report.settings(describe(folder, **options))
        db = folder / "events.duckdb"
        make_store(db, *LISTS)
        with open_database(db, Settings.from_environment()) as connection:
            fill(connection, given.events, report)
            connection.execute("checkpoint")
            plain_bytes = db.stat().st_size / given.events
            catalogue_us, columns_us = fold(connection, given.events, at_once, min(given.unfolded, given.events - 1))
            connection.execute("checkpoint")
        bytes_per_event = db.stat().st_size / given.events
        report.progress(f"folded in {catalogue_us:.1f} us an event, and in {columns_us:.1f} us with typed columns")
        shared = {
            "events": given.events,
            "bytes_per_event": round(bytes_per_event, 1),
            "plain_bytes_per_event": round(plain_bytes, 1),
            "columns_us": round(columns_us, 2),
        }
        found = [{**one, **shared} for one in measure(db, given, report)]
        with open_database(db, Settings.from_environment()) as connection:
            connection.execute("checkpoint")
        promoted_bytes = db.stat().st_size / given.events - bytes_per_event
    rows = [
        (one, [one["question"], f"{one['events']:,}", f"{one['p50_ms']:.1f}", f"{one['sql_ms']:.1f}", f"{one['ratio']:.3f}"])
        for one in found
    ]
    report.figures(COLUMNS, rows)
    report.note("ratio: p50 of the question over the Python API ÷ the same in SQL over the JSON of the events.")
    report.note(
        f"An event takes {bytes_per_event:.1f} bytes, {plain_bytes:.1f} without catalogue and typed columns,"
        f" which are written in {columns_us:.1f} µs. The promoted property takes {promoted_bytes:.2f} more."
    )


if __name__ == "__main__":
    main()
