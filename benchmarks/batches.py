"""Events per second in batches of 1,000 over HTTP, compared with DuckDB's own insert of the same rows."""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks.common import Contender, Poster, Report, describe, fail, make_store, positive, workplace
from benchmarks.workload import LISTS, bodies
from falcon_events import EventTracking
from falcon_events.http.endpoints import EVENTS
from falcon_events.settings import Settings
from falcon_events.store.database.connect import open_database
from falcon_events.store.engine.entry import EventRow
from falcon_events.store.engine.tables import INSERT_EVENTS

BATCH = 1_000
COLUMNS = ("body", "connections", "events/s", "DuckDB rows/s", "ratio", "min-max")


def envelopes(kind: str, count: int, key: str) -> list[bytes]:
    """Make `count` requests of BATCH events each."""
    made = [msgspec.json.decode(body) for body in bodies(kind, count * BATCH, 10_000, 0, key)]
    for body in made:
        del body["APIKey"]
    batches = [made[start : start + BATCH] for start in range(0, len(made), BATCH)]
    return [msgspec.json.encode({"APIKey": key, "Events": batch}) for batch in batches]


def send(contender: Contender, requests: list[bytes], connections: int) -> float:
    """Send the requests from several clients, and return the events per second."""
    waiting = list(requests)

    def client() -> None:
        poster = Poster(contender.port)
        while True:
            try:
                body = waiting.pop()
            except IndexError:
                break
            answer = poster.post(EVENTS, body)
            if b'"Errors"' in answer:
                fail(f"an event was refused: {answer[:300]!r}")
        poster.close()

    clients = [threading.Thread(target=client) for _ in range(connections)]
    began = time.perf_counter()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return len(requests) * BATCH / (time.perf_counter() - began)


def insert(db: Path, requests: list[bytes]) -> float:
    """Insert the same rows with DuckDB, by the same statement and in transactions of that size; return the rows per second."""
    at, rows = 1_750_000_000_000_000, []
    for number, request in enumerate(requests):
        events = msgspec.json.decode(request)["Events"]
        rows.append([_row(number * BATCH + place, event, at) for place, event in enumerate(events)])
    encoded = [msgspec.json.encode(batch).decode() for batch in rows]
    with open_database(db, Settings.from_environment()) as connection:
        began = time.perf_counter()
        for text in encoded:
            connection.execute(INSERT_EVENTS, {"rows": text})
        return len(requests) * BATCH / (time.perf_counter() - began)


def _row(seq: int, event: dict[str, Any], at: int) -> EventRow:
    visitor, external_id = event.get("UUID") or str(uuid.uuid4()), event.get("id") or "x"
    who = ("benchmark", event["ListID"], event["event"], visitor, external_id, event["email"])
    return EventRow(seq, str(uuid.uuid4()), *who, at, at, msgspec.Raw(msgspec.json.encode(event["properties"])), None, None, None)


def measure(folder: Path, kind: str, given: argparse.Namespace, report: Report) -> list[dict[str, Any]]:
    """Measure both in alternation, for several rounds."""
    db = folder / f"{kind}.duckdb"
    requests = envelopes(kind, given.requests, make_store(db, *LISTS))
    runs: dict[int, list[tuple[float, float]]] = {count: [] for count in given.connections}
    with Contender("durable", db, "asgi") as contender:
        send(contender, requests, 1)  # from here on, every visitor is cached in memory
        for number in range(given.rounds):
            for count in given.connections:
                contender.resume()
                ours = send(contender, requests, count)
                contender.hold()
                theirs = insert(folder / f"{kind}-{number}-{count}.duckdb", requests)
                runs[count].append((ours, theirs))
                report.progress(f"{kind}, round {number + 1}, {count} connections: {ours:,.0f} beside {theirs:,.0f}")
        contender.resume()
        contender.stop()
    sent = len(requests) * BATCH * (1 + given.rounds * len(given.connections))
    with EventTracking(db) as tracking:
        if (stored := tracking.stats().events) < sent:
            fail(f"{sent:,} events were acknowledged, but only {stored:,} are in the store")
    return [
        {
            "body": kind,
            "connections": count,
            "events_per_second": statistics.median(ours for ours, _ in pairs),
            "duckdb_rows_per_second": statistics.median(theirs for _, theirs in pairs),
            "ratio": statistics.median(ours / theirs for ours, theirs in pairs),
            "ratios": [ours / theirs for ours, theirs in pairs],
        }
        for count, pairs in runs.items()
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--requests", type=positive, default=50, metavar="N", help="batches in each round")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="number of rounds")
    parser.add_argument("--connections", type=positive, nargs="+", default=[1, 4], metavar="N", help="concurrent clients")
    parser.add_argument("--body", choices=("small", "browser"), nargs="+", default=["small", "browser"], help="kinds of events")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        report.settings(describe(folder, requests=given.requests, rounds=given.rounds, connections=given.connections))
        found = [one for kind in given.body for one in measure(folder, kind, given, report)]
    rows = []
    for one in found:
        figures = [f"{one['events_per_second']:,.0f}", f"{one['duckdb_rows_per_second']:,.0f}", f"{one['ratio']:.2f}"]
        spread = f"{min(one['ratios']):.2f}-{max(one['ratios']):.2f}"
        rows.append((one, [one["body"], str(one["connections"]), *figures, spread]))
    report.figures(COLUMNS, rows)
    report.note("DuckDB: the same rows and the same statement as the store's, 1,000 per transaction, without HTTP and checks.")


if __name__ == "__main__":
    main()
