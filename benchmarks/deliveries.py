"""Events posted to a webhook per second, compared with a bare loop of posts; speed of storing events meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from benchmarks.common import Report, describe, make_store, positive, workplace
from falcon_events import EventTracking

LIST = 1
SENDERS = 8
"""Number of simultaneous posts, here and in the process that delivers."""
COLUMNS = ("events", "delivered/s", "bare posts/s", "ratio", "batches/s alone", "while delivering", "their ratio")


class Receiver(BaseHTTPRequestHandler):
    """Receiver that accepts every post and reports how many there were."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self) -> None:
        """Accept an event."""
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).taken += 1
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        """Return the number of events received."""
        body = str(self.taken).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""


def receive(pipe: Any) -> None:
    """Send the port through the pipe, then receive until the process is killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    pipe.send(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """Start a receiver in its own process, and give its URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs,), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{ours.recv()}/events"
    process.kill()
    process.join()


def bodies(count: int) -> list[bytes]:
    """Make events of many visitors."""
    return [
        json.dumps(
            {
                "ListID": LIST,
                "event": "order",
                "email": f"visitor{number % 1000}@example.com",
                "properties": {"number": number, "currency": "EUR"},
            }
        ).encode()
        for number in range(count)
    ]


def post_bare(url: str, count: int) -> float:
    """Post in a loop that does nothing else, from SENDERS threads; return the posts per second."""
    body = b'{"type":"event.stored","data":' + bodies(1)[0] + b"}"
    with httpx.Client() as client, ThreadPoolExecutor(SENDERS) as pool:
        began = time.perf_counter()
        for answer in pool.map(lambda _: client.post(url, content=body), range(count)):
            answer.raise_for_status()
        return count / (time.perf_counter() - began)


def store_events(tracking: EventTracking, count: int) -> float:
    """Store events in batches, and return the events per second."""
    given = bodies(count)
    began = time.perf_counter()
    for _ in tracking.track_many(given):
        pass
    return count / (time.perf_counter() - began)


def wait_for(url: str, count: int) -> None:
    """Wait until a receiver has that many events."""
    while int(httpx.get(url).text) < count:
        time.sleep(0.01)


def measure(folder: Path, events: int) -> dict[str, float]:
    """Measure one round on a new store."""
    db = folder / "events.duckdb"
    make_store(db, LIST)
    with receiver() as url:
        posts = post_bare(url, events)
    with EventTracking(db) as tracking:
        store_events(tracking, events)  # afterwards the visitors are cached
        alone = store_events(tracking, 10 * events)
        with receiver() as url:
            tracking.deliver(url, since="start", events=["order"])
            wait_for(url, events // 10)  # by then the process that posts is running
            meanwhile = store_events(tracking, 10 * events)
            first = int(httpx.get(url).text)
            began = time.perf_counter()
            wait_for(url, first + events)
            delivered = events / (time.perf_counter() - began)
            tracking.stop_delivering(url)
    for path in folder.glob("events.duckdb*"):
        path.unlink()
    return {"delivered": delivered, "posts": posts, "alone": alone, "meanwhile": meanwhile}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=5000, metavar="N", help="number of events to deliver")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="number of rounds")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary store")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        report.settings(describe(folder, events=given.events, rounds=given.rounds))
        rounds = []
        for number in range(given.rounds):
            rounds.append(measure(folder, given.events))
            report.progress(f"round {number + 1}: {rounds[-1]}")
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    ratios = [one["delivered"] / one["posts"] for one in rounds]
    taken = [one["meanwhile"] / one["alone"] for one in rounds]
    record = {
        "events": given.events,
        "delivered_per_second": middle["delivered"],
        "posts_per_second": middle["posts"],
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "alone_per_second": middle["alone"],
        "meanwhile_per_second": middle["meanwhile"],
        "taken_ratio": statistics.median(taken),
    }
    values = (middle["delivered"], middle["posts"], record["ratio"], middle["alone"], middle["meanwhile"], record["taken_ratio"])
    cells = [f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in values]  # type: ignore[operator]
    report.figures(COLUMNS, [(record, [f"{given.events:,}", *cells])])
    report.note("Medians. Bare posts go to the same kind of receiver from as many threads; no store is read or written.")


if __name__ == "__main__":
    main()
