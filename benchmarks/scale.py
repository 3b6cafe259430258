"""Slowest answers of a large store under half of its full load, where checkpoints and folds would show."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import Contender, Poster, Report, describe, make_store, positive, workplace
from benchmarks.latency import percentile
from benchmarks.query import fill, fold
from benchmarks.workload import LISTS, bodies
from falcon_events.http.endpoints import EVENT
from falcon_events.settings import Settings
from falcon_events.store.database.connect import open_database

FULL_S = 5.0
COLUMNS = ("events before", "events/s", "seconds", "p50 ms", "p99 ms", "p99.9 ms", "slowest ms")


def drive(contender: Contender, sent: list[bytes], connections: int, seconds: float, per_second: float | None) -> list[float]:
    """Send from several clients, at a common rate or as fast as they can; return the milliseconds of each answer, sorted."""
    ends = time.monotonic() + seconds
    taken: list[float] = []

    def client(place: int) -> None:
        poster = Poster(contender.port)
        due = time.monotonic()
        number = place
        while time.monotonic() < ends:
            if per_second is not None:
                due += connections / per_second
                time.sleep(max(0.0, due - time.monotonic()))
            began = time.perf_counter()
            poster.post(EVENT, sent[number % len(sent)])
            taken.append((time.perf_counter() - began) * 1e3)
            number += connections
        poster.close()

    clients = [threading.Thread(target=client, args=(place,)) for place in range(connections)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return sorted(taken)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=1_000_000, metavar="N", help="events in the store at the start")
    parser.add_argument("--seconds", type=positive, default=60, metavar="S", help="duration of the load")
    parser.add_argument("--connections", type=positive, default=16, metavar="N", help="number of concurrent clients")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        report.settings(describe(folder, events=given.events, seconds=given.seconds, connections=given.connections))
        db = folder / "events.duckdb"
        key = make_store(db, *LISTS)
        with open_database(db, Settings.from_environment()) as connection:
            fill(connection, given.events)
            fold(connection)
        report.progress(f"{given.events:,} events created")
        sent = list(bodies("browser", 5000, 1000, 0, key))
        with Contender("durable", db, "asgi") as contender:
            full = len(drive(contender, sent, given.connections, FULL_S, None)) / FULL_S
            report.progress(f"full load: {full:,.0f} events per second")
            taken = drive(contender, sent, given.connections, given.seconds, full / 2)
            contender.stop()
    record: dict[str, Any] = {
        "events": given.events,
        "events_per_second": len(taken) / given.seconds,
        "seconds": given.seconds,
        "p50_ms": percentile(taken, 0.5),
        "p99_ms": percentile(taken, 0.99),
        "p999_ms": percentile(taken, 0.999),
        "slowest_ms": taken[-1],
    }
    cells = [f"{record['events']:,}", f"{record['events_per_second']:,.0f}", str(record["seconds"])]
    cells += [f"{record[name]:.1f}" for name in ("p50_ms", "p99_ms", "p999_ms", "slowest_ms")]
    report.figures(COLUMNS, [(record, cells)])
    report.note("Answers of POST /api/v1/event, each after its commit, at half of the rate that these clients can reach.")


if __name__ == "__main__":
    main()
