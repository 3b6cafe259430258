"""`falcon-events import` of NDJSON, compared with DuckDB's own read_json and insert of the same file."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks.common import Report, describe, fail, make_store, positive, workplace
from benchmarks.workload import LISTS, bodies

READ_AND_INSERT = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute('''create table events (seq bigint, event_id uuid, list_id bigint, event varchar, visitor uuid,
    external_id varchar, email varchar, received_at timestamp, properties json)''')
connection.execute('''insert into events
    select row_number() over (), uuid(), "ListID", event, uuid(), id, email, now()::timestamp, properties
    from read_json(?, format = 'newline_delimited', columns = {"ListID": 'BIGINT', "event": 'VARCHAR', "id": 'VARCHAR',
        "email": 'VARCHAR', "UUID": 'VARCHAR', "properties": 'JSON'})''', [sys.argv[2]])
"""
COLUMNS = ("body", "events", "import s", "events/s", "DuckDB s", "rows/s", "ratio", "min-max")


def time_command(*command: str) -> float:
    """Run a command, and return the seconds it takes; a failure ends the benchmark."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode:
        fail(f"{command[:3]}: {done.stderr}")
    return time.perf_counter() - began


def measure(folder: Path, kind: str, given: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Measure both in alternation, for several rounds, each with a new store."""
    file = folder / f"{kind}.ndjson"
    with file.open("wb") as out:
        for body in bodies(kind, given.events, 10_000, 0, ""):
            event = msgspec.json.decode(body)
            del event["APIKey"]
            out.write(msgspec.json.encode(event) + b"\n")
    pairs = []
    for number in range(given.rounds):
        db = folder / f"{kind}-{number}.duckdb"
        make_store(db, *LISTS)
        ours = time_command("-m", "falcon_events", "import", str(file), "--db", str(db), "--rejects", str(folder / "rejects"))
        theirs = time_command("-c", READ_AND_INSERT, str(folder / f"{kind}-{number}-bare.duckdb"), str(file))
        pairs.append((ours, theirs))
        report.progress(f"{kind}, round {number + 1}: {ours:.1f} s beside {theirs:.1f} s")
    if (folder / "rejects").exists():
        fail("the import rejected lines")
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [theirs / ours for ours, theirs in pairs]
    return {
        "body": kind,
        "events": given.events,
        "import_s": ours,
        "duckdb_s": theirs,
        "events_per_second": given.events / ours,
        "rows_per_second": given.events / theirs,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=200_000, metavar="N", help="number of lines in the file")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="number of rounds")
    parser.add_argument("--body", choices=("small", "browser"), nargs="+", default=["small", "browser"], help="kinds of events")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        report.settings(describe(folder, events=given.events, rounds=given.rounds))
        found = [measure(folder, kind, given, report) for kind in given.body]
    rows = []
    for one in found:
        speeds = [f"{one['import_s']:.1f}", f"{one['events_per_second']:,.0f}", f"{one['duckdb_s']:.1f}"]
        speeds += [f"{one['rows_per_second']:,.0f}", f"{one['ratio']:.2f}"]
        spread = f"{min(one['ratios']):.2f}-{max(one['ratios']):.2f}"
        rows.append((one, [one["body"], f"{one['events']:,}", *speeds, spread]))
    report.figures(COLUMNS, rows)
    report.note("Times of whole commands, from start to end. ratio: the time of DuckDB divided by the time of import.")


if __name__ == "__main__":
    main()
