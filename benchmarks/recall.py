"""Look-up of EventIDs and bindings in a store that has many millions of both, compared with an empty store."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb

from benchmarks.common import Report, describe, fail, make_store, positive, workplace
from falcon_events.model.events import NewEvent, Receipt
from falcon_events.settings import Settings
from falcon_events.store.store import Store

BATCH = 300
AT_ONCE = 1_000_000
ACCOUNT = "benchmark"
COLUMNS = ("EventIDs", "bindings", "open s", "new ms", "to empty", "repeated ms", "returning ms", "query ms", "close s", "MB")
# A key is computed from its number, so that the script can send it again.
UUID = "md5('{}' || n)::uuid"
FILL_EVENT_IDS = f"""
insert into event_ids
select '{ACCOUNT}/1', {UUID.format("id")}, {UUID.format("of")}, 'visitor ' || n, false,
    (now() at time zone 'utc')::timestamp - to_seconds(40 * 3600.0 * ($all - n) / $all)
from range($first, $last) as numbers(n)
"""
FILL_BINDINGS = f"""
insert into bindings
select 1, {UUID.format("visitor")}, 'person' || n || '@example.com', null,
    (now() at time zone 'utc')::timestamp - to_seconds(300 * 86400.0 * ($all - n) / $all)
from range($first, $last) as numbers(n)
"""
COMPUTE = "select md5($word || n)::uuid::varchar from (select unnest($numbers::bigint[]) as n)"


class Compared:
    """A store with this many EventIDs and bindings, opened twice with the default settings.

    Args:
        db: its file.
        event_ids: the number of EventIDs.
        bindings: the number of bindings.
    """

    def __init__(self, db: Path, event_ids: int, bindings: int) -> None:
        self._db = db
        self._event_ids = event_ids
        self._bindings = bindings
        make_store(db, 1)

    def fill(self, report: Report) -> None:
        """Insert the rows with SQL, then open and close the store once, which makes the filters."""
        for sql, rows in ((FILL_EVENT_IDS, self._event_ids), (FILL_BINDINGS, self._bindings)):
            with duckdb.connect(str(self._db), config={"memory_limit": "2GB"}) as connection:
                for first in range(0, rows, AT_ONCE):
                    connection.execute(sql, {"first": first, "last": min(rows, first + AT_ONCE), "all": rows})
        report.progress(f"{self._event_ids:,} EventIDs and {self._bindings:,} bindings inserted")
        began = time.perf_counter()
        store = Store(self._db, Settings.from_environment())
        store.open()
        while any(size.building for size in store.filters().values()):
            time.sleep(0.1)
        store.close()
        report.progress(f"filters built in {time.perf_counter() - began:.0f} s")

    def measure(self, rounds: int) -> dict[str, Any]:
        """Open the store, store events, ask for properties, fold, and close it."""
        began = time.perf_counter()
        store = Store(self._db, Settings.from_environment())
        store.open()
        opened = time.perf_counter()
        taken: dict[str, list[float]] = {"new": [], "repeated": [], "returning": [], "query": []}
        with duckdb.connect() as numbers:
            for number in range(rounds):
                self._send(store, taken["new"], [make_event(event_id=str(uuid.uuid4())) for _ in range(BATCH)], False)
                if self._event_ids:
                    ids = compute(numbers, "id", spread(number, rounds, self._event_ids))
                    self._send(store, taken["repeated"], [make_event(event_id=one) for one in ids], True)
                if self._bindings:
                    chosen = spread(number, rounds, self._bindings)
                    visitors = zip(compute(numbers, "visitor", chosen), chosen, strict=True)
                    events = [make_event(visitor=one, email=f"person{n}@example.com") for one, n in visitors]
                    self._send(store, taken["returning"], events, False)
                began_query = time.perf_counter()
                if "benchmark" not in store.properties(1).result(60):
                    fail("a property query lacks an event type")
                taken["query"].append((time.perf_counter() - began_query) * 1e3)
        if store.stats().result(60).unfolded_events > rounds * 3 * BATCH:
            fail("events were not folded")
        resident = resident_mb()
        before_close = time.perf_counter()
        store.close()
        medians = {f"{name}_ms": statistics.median(values) if values else 0.0 for name, values in taken.items()}
        return {
            "event_ids": self._event_ids,
            "bindings": self._bindings,
            "open_s": opened - began,
            **medians,
            "close_s": time.perf_counter() - before_close,
            "resident_mb": resident,
        }

    def _send(self, store: Store, taken: list[float], events: list[NewEvent], known: bool) -> None:
        """Store a batch, check what became of it, and note how long it took."""
        began = time.perf_counter()
        outcomes = store.submit(events).result(60)
        taken.append((time.perf_counter() - began) * 1e3)
        if any(not isinstance(one, Receipt) or one.duplicate is not known or one.identify_event_sent for one in outcomes):
            fail("an EventID or a binding was not recognized, or a new one was taken for a known one")


def make_event(**given: Any) -> NewEvent:
    """Make an event of list 1, of a random visitor without an address unless they are given."""
    now = int(time.time() * 1e6)
    values = {
        "account_id": ACCOUNT,
        "list_id": 1,
        "event": "benchmark",
        "visitor": str(uuid.uuid4()),
        "external_id": "1",
        "email": None,
        "properties": b'{"a":1}',
        "occurred_at": now,
        "received_at": now,
        "traits": None,
        "size": 500,
        "event_id": None,
    }
    return NewEvent(**{**values, **given})


def spread(number: int, rounds: int, rows: int) -> list[int]:
    """Return the numbers of BATCH rows that are spread over the table, others in each round."""
    return sorted({(place * rows) // BATCH + number * rows // BATCH // rounds for place in range(BATCH)})


def compute(connection: duckdb.DuckDBPyConnection, word: str, numbers: list[int]) -> list[str]:
    """Return the UUIDs with these numbers."""
    return [one for (one,) in connection.execute(COMPUTE, {"word": word, "numbers": numbers}).fetchall()]


def resident_mb() -> float:
    """Return the resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--event-ids", type=positive, default=50_000_000, metavar="N", help="number of EventIDs")
    parser.add_argument("--bindings", type=positive, default=20_000_000, metavar="N", help="number of bindings")
    parser.add_argument("--rounds", type=positive, default=20, metavar="N", help="number of batches of each kind")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    rows = []
    with workplace(given.folder) as folder:
        report.settings(describe(folder, event_ids=given.event_ids, bindings=given.bindings, rounds=given.rounds))
        empty = Compared(folder / "empty.duckdb", 0, 0).measure(given.rounds)
        full = Compared(folder / "full.duckdb", given.event_ids, given.bindings)
        full.fill(report)
        for record in (empty, full.measure(given.rounds)):
            record["new_to_empty"] = record["new_ms"] / empty["new_ms"]
            cells = [f"{record['event_ids']:,}", f"{record['bindings']:,}"]
            names = ("open_s", "new_ms", "new_to_empty", "repeated_ms", "returning_ms", "query_ms", "close_s")
            cells += [*(f"{record[name]:.2f}" for name in names), f"{record['resident_mb']:.0f}"]
            rows.append((record, cells))
    report.figures(COLUMNS, rows)
    report.note(f"Batches of {BATCH} events. The repeated EventIDs and the returning visitors are spread over the whole tables.")


if __name__ == "__main__":
    main()
