"""A large store with known events, made by SQL in the shape that the server writes, and the same events in PostgreSQL."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.workload import SEED, page_view, zipf
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue, columns
from falcon_events.store.engine.tables import LAST_SEQ
from falcon_events.store.engine.upkeep import COLUMNS_SHARE

LISTS = range(1, 6)
LIST_ID = 1
"""The list that has half of the events."""
PATTERNS = 20_000
"""Number of different events made in Python; the database repeats them, each time with the uuid of another visitor."""
VISITOR = "(visitor)"
AT_ONCE = 100_000
DAY_US = 86_400_000_000
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
            make_timestamp(($first_us + i * ($length_us // $events))::bigint) as happened
        from numbered
    )
select $last_seq + i + 1, md5('event ' || i)::uuid, 'benchmark',
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
CREATE_IN_POSTGRESQL = """
create table events (
    list_id bigint not null, seq bigint not null, event_id uuid not null, event text not null, visitor uuid not null, email text,
    occurred_at timestamp not null, properties jsonb not null
)
"""
INDEX_IN_POSTGRESQL = (
    "create index on events (list_id, occurred_at)",
    "create index on events (list_id, lower(email)) where email is not null",
    "create index on events (list_id, visitor)",
    "vacuum analyze events",
)
EXPORTED = """
copy (
    select list_id, seq, event_id, event, visitor, email, occurred_at, properties from events
    where list_id <= {lists} and seq > {since} and seq <= {until}
) to '{path}' (format csv, header false)
"""


def fill(connection: duckdb.DuckDBPyConnection, events: int, days: int) -> Iterator[int]:
    """Add rows of the last days in the shape that the writer makes, without folding them. Yield their number now and then."""
    first_us = time.time_ns() // 1000 - days * DAY_US
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
    ((last_seq,),) = connection.execute(LAST_SEQ).fetchall()
    given = {"events": events, "first_us": first_us, "length_us": days * DAY_US, "last_seq": last_seq}
    for since in range(0, events, AT_ONCE):
        connection.execute(FILL, {**given, "since": since, "until": min(events, since + AT_ONCE)})
        yield min(events, since + AT_ONCE)
    connection.execute("checkpoint")


def fold(connection: duckdb.DuckDBPyConnection) -> tuple[float, float]:
    """Fold all events, as the writer does under load. Return the microseconds of an event: for the catalogue, for the columns."""
    at_once = COLUMNS_SHARE * Settings.from_environment().fold_events
    ((last,),) = connection.execute(LAST_SEQ).fetchall()
    first = columns.read_columns_seq(connection)
    taken = [0.0, 0.0]
    for seq in (*range(first + at_once, last, at_once), last):
        for number, one in enumerate((catalogue.fold, columns.fold)):
            began = time.perf_counter()
            one(connection, seq)
            taken[number] += time.perf_counter() - began
    connection.execute("checkpoint")
    return taken[0] / (last - first) * 1e6, taken[1] / (last - first) * 1e6


def copy_to_postgresql(connection: duckdb.DuckDBPyConnection, dsn: str, folder: Path) -> Iterator[int]:
    """Copy the events of LISTS into a table of a PostgreSQL server, and index it. Yield their number now and then."""
    import psycopg

    path = folder / "part.csv"
    ((last,),) = connection.execute(LAST_SEQ).fetchall()
    with psycopg.connect(dsn, autocommit=True) as target:
        target.execute(CREATE_IN_POSTGRESQL)
        for since in range(0, last, AT_ONCE):
            given = {"lists": LISTS[-1], "since": since, "until": since + AT_ONCE, "path": path}
            connection.execute(EXPORTED.format(**given))
            with target.cursor() as cursor, cursor.copy("copy events from stdin (format csv)") as copy, path.open("rb") as file:
                while part := file.read(1 << 20):
                    copy.write(part)
            yield min(last, since + AT_ONCE)
        path.unlink()
        for statement in INDEX_IN_POSTGRESQL:
            target.execute(statement)
