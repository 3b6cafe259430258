"""Webhooks: stored events posted a second, beside a bare loop of posts, and what taking events in costs meanwhile."""

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
"""How many posts are under way at once, here and in the process that delivers."""
COLUMNS = ("events", "delivered/s", "bare posts/s", "ratio", "batches/s alone", "while delivering", "their ratio")


class Receiver(BaseHTTPRequestHandler):
    """Takes whatever is posted and says how much that was."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self) -> None:
        """Takes an event."""
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).taken += 1
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        """Says how many events came."""
        body = str(self.taken).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


def receive(told: Any) -> None:
    """Receives until the process is ended."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    told.send(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """The URL of a receiver in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs,), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{ours.recv()}/events"
    process.kill()
    process.join()


def bodies(count: int) -> list[bytes]:
    """Events of many visitors."""
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


def bare(url: str, count: int) -> float:
    """Posts a second of a loop that does nothing else, from as many threads."""
    body = b'{"type":"event.stored","data":' + bodies(1)[0] + b"}"
    with httpx.Client() as client, ThreadPoolExecutor(SENDERS) as pool:
        began = time.perf_counter()
        for answer in pool.map(lambda _: client.post(url, content=body), range(count)):
            answer.raise_for_status()
        return count / (time.perf_counter() - began)


def taken_in(tracking: EventTracking, count: int) -> float:
    """Events stored a second, in batches."""
    given = bodies(count)
    began = time.perf_counter()
    for _ in tracking.track_many(given):
        pass
    return count / (time.perf_counter() - began)


def wait_for(url: str, count: int) -> None:
    """Returns when a receiver has that many."""
    while int(httpx.get(url).text) < count:
        time.sleep(0.01)


def measured(folder: Path, events: int) -> dict[str, float]:
    """One round, on a new store."""
    db = folder / "events.duckdb"
    make_store(db, LIST)
    with receiver() as url:
        posts = bare(url, events)
    with EventTracking(db) as tracking:
        taken_in(tracking, events)  # the visitors are known then
        alone = taken_in(tracking, 10 * events)
        with receiver() as url:
            tracking.deliver(url, since="start", events=["order"])
            wait_for(url, events // 10)  # the process that posts is under way
            meanwhile = taken_in(tracking, 10 * events)
            first = int(httpx.get(url).text)
            began = time.perf_counter()
            wait_for(url, first + events)
            delivered = events / (time.perf_counter() - began)
            tracking.stop_delivering(url)
    for path in folder.glob("events.duckdb*"):
        path.unlink()
    return {"delivered": delivered, "posts": posts, "alone": alone, "meanwhile": meanwhile}


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=5000, metavar="N", help="how many events are delivered")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="how often")
    parser.add_argument("--folder", type=Path, help="where the store is put for the time, on a disk")
    parser.add_argument("--json", action="store_true", help="JSON, one object a line")
    given = parser.parse_args()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        report.settings(describe(folder, events=given.events, rounds=given.rounds))
        rounds = []
        for number in range(given.rounds):
            rounds.append(measured(folder, given.events))
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
    shown = (middle["delivered"], middle["posts"], record["ratio"], middle["alone"], middle["meanwhile"], record["taken_ratio"])
    cells = [f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in shown]  # type: ignore[operator]
    report.figures(COLUMNS, [(record, [f"{given.events:,}", *cells])])
    report.note("Medians. Bare posts go to the same kind of receiver from as many threads, and nothing is read or recorded.")


if __name__ == "__main__":
    main()
