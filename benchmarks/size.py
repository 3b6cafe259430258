"""Bytes on disk per event with the 24 documented properties, compared with PostgreSQL (same columns, JSONB, no index)."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import Report, describe, make_store, positive, workplace
from benchmarks.postgresql import PostgreSQL
from benchmarks.workload import LISTS, bodies
from falcon_events import EventTracking

CREATE = """
create table events (seq bigint not null, event_id uuid not null, account_id text not null, list_id bigint not null,
    event text not null, visitor uuid not null, external_id text not null, email text, occurred_at timestamp not null,
    received_at timestamp not null, properties jsonb not null, client_timestamp timestamp, client_address text, automatic boolean)
"""
EVENTS = "select * exclude (properties), properties::varchar as properties from events order by seq"
COPY = "copy events (seq, event_id, account_id, list_id, event, visitor, external_id, email, occurred_at, received_at, client_timestamp, client_address, automatic, properties) from stdin"  # fmt: skip  # noqa: E501
COLUMNS = ("events", "bytes per event", "PostgreSQL bytes per event", "ratio")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=500_000, metavar="N", help="number of events")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    import duckdb
    import psycopg

    with workplace(given.folder) as folder, PostgreSQL(folder) as server:
        report.settings(describe(folder, tools={"postgresql": server.version}, events=given.events))
        db = folder / "events.duckdb"
        key = make_store(db, *LISTS)
        empty = db.stat().st_size
        with EventTracking(db) as tracking:
            deque(tracking.track_many(bodies("browser", given.events, given.events // 20, 0, key)), maxlen=0)
            stored = tracking.stats().events
            tracking.compact()
        ours = (db.stat().st_size - empty) / stored
        report.progress(f"{stored:,} events: {ours:.0f} bytes each")
        with duckdb.connect(str(db), read_only=True) as store, psycopg.connect(server.dsn, autocommit=True) as target:
            target.execute(CREATE)
            rows = store.execute(EVENTS)
            with target.cursor() as cursor, cursor.copy(COPY) as copy:
                while batch := rows.fetchmany(10_000):
                    for row in batch:
                        copy.write_row(row)
            target.execute("vacuum full events")
            ((size,),) = target.execute("select pg_total_relation_size('events')").fetchall()
        theirs = int(size) / stored
    record = {"events": stored, "bytes_per_event": ours, "postgresql_bytes_per_event": theirs, "ratio": ours / theirs}
    report.figures(COLUMNS, [(record, [f"{stored:,}", f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.3f}"])])
    report.note("Measured after compact and after VACUUM FULL. Page views and the identify events of their visitors.")


if __name__ == "__main__":
    main()
