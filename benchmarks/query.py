"""Latency of a property query over HTTP by size of the store, compared with counting the list's properties afresh."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb

from benchmarks.common import Contender, Poster, Report, describe, fail, make_store, positive, workplace
from benchmarks.workload import LIST_ID, LISTS, SEED, page_view, zipf
from falcon_events.http.endpoints import PROPERTIES
from falcon_events.settings import Settings
from falcon_events.store.database import catalogue
from falcon_events.store.database.connect import open_database
from falcon_events.store.engine.tables import LAST_SEQ

TYPES = ("pageView", "identify", "test", "signup", "conversion", "download", "unsubscribe", "searched")
PATTERNS = 20_000
"""Number of different events made in Python; the database repeats them, each time with the uuid of another visitor."""
VISITOR = "(visitor)"
WARM_UP = 20
FOLD_AT_ONCE = 100_000
FRESH_RUNS = 3

AT_ONCE = 200_000
"""Rows per statement; sorting more of them would need more memory than a store has."""
FILL = f"""
insert into events
select $first + i, md5('event ' || ($first + i))::uuid, 'benchmark', list_id, event, visitor, 'user-id-' || i, i || '@test.com',
       timestamp '2025-06-01' + to_milliseconds(i), timestamp '2025-06-01' + to_milliseconds(i),
       replace(properties, '{VISITOR}', visitor::varchar), null, null, null
from (select i, md5('visitor ' || i // 20)::uuid as visitor from range($since, $until) as numbers(i))
join patterns on patterns.number = hash(i) % {PATTERNS}
order by i
"""


def fill(connection: duckdb.DuckDBPyConnection, events: int) -> None:
    """Add rows in the shape that the writer makes, without folding them."""
    chance = random.Random(SEED)
    lists, types = zipf(chance, len(LISTS)), zipf(chance, len(TYPES))
    made: list[dict[str, Any]] = []
    for number, list_rank, type_rank in zip(range(PATTERNS), lists, types, strict=False):
        properties = page_view(chance, VISITOR, LISTS[list_rank - 1])
        own = {} if type_rank == 1 else {f"{TYPES[type_rank - 1]}-{name}": chance.randrange(100) for name in ("count", "value")}
        made.append({"number": number, "list_id": LISTS[list_rank - 1], "event": TYPES[type_rank - 1]})
        made[-1]["properties"] = json.dumps(properties | own)
    form = '[{"number": "UBIGINT", "list_id": "BIGINT", "event": "VARCHAR", "properties": "VARCHAR"}]'
    connection.execute(
        "create or replace temp table patterns as select unnest(from_json_strict($made, $form), recursive := true)",
        {"made": json.dumps(made), "form": form},
    )
    ((last,),) = connection.execute(LAST_SEQ).fetchall()
    for since in range(0, events, AT_ONCE):
        connection.execute(FILL, {"first": last + 1, "since": since, "until": min(events, since + AT_ONCE)})


def fold(connection: duckdb.DuckDBPyConnection) -> None:
    """Fold every event into the catalogue, as the writer does."""
    ((last,),) = connection.execute(LAST_SEQ).fetchall()
    for seq in (*range(catalogue.read_folded_seq(connection) + FOLD_AT_ONCE, last, FOLD_AT_ONCE), last):
        catalogue.fold(connection, seq)
    connection.execute("checkpoint")


def count_afresh(connection: duckdb.DuckDBPyConnection) -> tuple[float, dict[str, list[str]]]:
    """Run json_keys over the whole list; return the milliseconds it takes, and the names found by event type."""
    taken = []
    for _ in range(FRESH_RUNS):
        began = time.perf_counter()
        rows = connection.execute(catalogue.RECOUNT_PROPERTIES, {"list_id": LIST_ID}).fetchall()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3, {event: names or [] for event, names in rows}


def query(contender: Contender, api_key: str, requests: int, expected: dict[str, list[str]]) -> list[float]:
    """Query one after the other over one connection, and return the milliseconds of each query."""
    poster = Poster(contender.port)
    body = json.dumps({"APIKey": api_key, "ListID": LIST_ID}).encode()
    taken = []
    for _ in range(WARM_UP + requests):
        began = time.perf_counter()
        text = poster.post(PROPERTIES, body)
        taken.append((time.perf_counter() - began) * 1e3)
    poster.close()
    if json.loads(text)["Properties"] != expected:
        fail("the answer differs from the properties counted afresh")
    return taken[WARM_UP:]


class FilledStore:
    """A store with many events, for which the right answer is known.

    Args:
        db: the file of the store.
        events: number of events that it gets at first.
    """

    def __init__(self, db: Path, events: int) -> None:
        self.db = db
        self.events = events
        self.api_key = make_store(db, *LISTS)

    def add(self, events: int, folded: bool) -> None:
        """Add rows, and count the properties of the list afresh."""
        with open_database(self.db, Settings.from_environment()) as connection:
            fill(connection, events)
            if folded:
                fold(connection)
            self.fresh_ms, self.expected = count_afresh(connection)
            ((self.listed,),) = connection.execute("select count(*) from events where list_id = ?", [LIST_ID]).fetchall()


def measure(stores: Sequence[FilledStore], state: str, given: argparse.Namespace, report: Report) -> list[dict[str, Any]]:
    """Measure all stores. They are queried in turn, so that other activity on the machine affects all of them."""
    taken: dict[int, list[float]] = {store.events: [] for store in stores}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Contender("unfolded", store.db, given.interface)) for store in stores]
        for _ in range(given.rounds):
            for store, server in zip(stores, servers, strict=True):
                taken[store.events] += query(server, store.api_key, -(-given.requests // given.rounds), store.expected)
        for server in servers:
            server.stop()
    found = []
    for store in stores:
        times = sorted(taken[store.events])
        record = {"events": store.events, "catalogue": state, "of_the_list": store.listed, "fresh_ms": round(store.fresh_ms, 3)}
        p50, p99 = statistics.median(times), times[min(len(times) - 1, len(times) * 99 // 100)]
        found.append({**record, "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)})
        report.progress(f"{store.events:,} events, {state}: {p50:.2f} ms")
    return found


COLUMNS = ("events", "catalogue", "of the list", "p50 ms", "p99 ms", "to the smallest", "afresh ms", "to afresh")


def rows(found: list[dict[str, Any]]) -> list[tuple[dict[str, Any], list[str]]]:
    """Make a row for each store and state, with its ratios to the smallest store and to counting afresh."""
    made = []
    for one in sorted(found, key=lambda one: (one["catalogue"] != "folded", one["events"])):
        least = min((other for other in found if other["catalogue"] == one["catalogue"]), key=lambda other: other["events"])
        growth, share = one["p50_ms"] / least["p50_ms"], one["p50_ms"] / one["fresh_ms"]
        cells = [
            f"{one['events']:,}",
            one["catalogue"],
            f"{one['of_the_list']:,}",
            f"{one['p50_ms']:.2f}",
            f"{one['p99_ms']:.2f}",
        ]
        cells += [f"{growth:.2f}", f"{one['fresh_ms']:.1f}", f"{share:.4f}"]
        made.append(({**one, "to_smallest": round(growth, 4), "to_fresh": round(share, 5)}, cells))
    return made


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, nargs="+", default=[100_000, 1_000_000], metavar="N", help="sizes of stores")
    parser.add_argument("--requests", type=positive, default=300, metavar="N", help="queries per store")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="number of rounds")
    parser.add_argument("--interface", choices=("asgi", "wsgi"), default="asgi", help="interface of the server")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    given = arguments()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        options = {name: value for name, value in vars(given).items() if name not in ("folder", "json")}
        report.settings(describe(folder, **options, lists=len(LISTS), event_types=len(TYPES)))
        settings = Settings.from_environment()
        stores = [FilledStore(folder / f"{events}.duckdb", events) for events in given.events]
        found = []
        for state, added in (("folded", None), (f"and {settings.fold_events} unfolded", settings.fold_events)):
            for store in stores:
                began = time.perf_counter()
                store.add(store.events if added is None else added, folded=added is None)
                report.progress(f"{store.events:,} events, {state}: created in {time.perf_counter() - began:.1f} s")
            found += measure(stores, state, given, report)
    report.figures(COLUMNS, rows(found))
    report.note("to the smallest: p50 divided by the p50 of the smallest store; 1.00 means that the size does not matter.")
    report.note("to afresh: p50 divided by the time of json_keys over the whole list, run directly in DuckDB.")


if __name__ == "__main__":
    main()
