"""Resident memory of the server and of the owner of its file, while millions of events of many visitors arrive."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks.batches import BATCH
from benchmarks.common import Contender, Poster, Report, describe, fail, make_store, positive, workplace
from benchmarks.workload import LISTS, bodies
from falcon_events.http.endpoints import EVENTS

SAMPLES = 20
COLUMNS = ("events", "visitors", "server MB", "owner MB", "together MB")


def template(kind: str, key: str) -> bytes:
    """Make a request of BATCH events with placeholders for the visitors' numbers, since encoding each event would be too slow."""
    events = [msgspec.json.decode(body) for body in bodies(kind, BATCH, 100, 0, key)]
    for event in events:
        del event["APIKey"]
        event.pop("id", None)
        event |= {"UUID": "13f8e79a-f063-4b80-90e4-(visitor)", "email": "(visitor)@test.com"}
    made = msgspec.json.encode({"APIKey": key, "Events": events})
    return made.replace(b"%", b"%%").replace(b"(visitor)", b"%012d")


def visitors_of(number: int, visitors: int) -> tuple[int, ...]:
    """Return the visitors of a batch, each twice. Over many batches all visitors occur, about equally often."""
    return tuple((number * BATCH + place) * 7919 % visitors for place in range(BATCH) for _ in range(2))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=1_000_000, metavar="N", help="number of events")
    parser.add_argument("--visitors", type=positive, default=100_000, metavar="N", help="number of different visitors")
    parser.add_argument("--body", choices=("small", "browser"), default="small", help="kind of events")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    samples: list[dict[str, Any]] = []
    with workplace(given.folder) as folder:
        report.settings(describe(folder, events=given.events, visitors=given.visitors, body=given.body))
        db = folder / "events.duckdb"
        key = make_store(db, *LISTS)
        made = template(given.body, key)
        with Contender("durable", db, "asgi") as contender:
            poster = Poster(contender.port)
            batches = -(-given.events // BATCH)
            for number in range(batches):
                answer = poster.post(EVENTS, made % visitors_of(number, given.visitors))
                if b'"Errors"' in answer:
                    fail(f"an event was refused: {answer[:300]!r}")
                if (number + 1) % max(1, batches // SAMPLES) == 0:
                    server, owner = contender.resident_mb()
                    sent = (number + 1) * BATCH
                    samples.append(
                        {"events": sent, "visitors": min(sent, given.visitors), "server_mb": server, "owner_mb": owner}
                    )
                    report.progress(f"{sent:,} events: {server:.0f} + {owner:.0f} MB")
            poster.close()
            contender.stop()
    rows = []
    for one in samples:
        both = one["server_mb"] + one["owner_mb"]
        cells = [f"{one['events']:,}", f"{one['visitors']:,}", f"{one['server_mb']:.0f}", f"{one['owner_mb']:.0f}", f"{both:.0f}"]
        rows.append(({**one, "together_mb": both}, cells))
    report.figures(COLUMNS, rows)


if __name__ == "__main__":
    main()
