"""Latency for one client: a durable event, compared with no store and a bare commit; a query that sees its own write."""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb

from benchmarks.common import Contender, Poster, Report, describe, fail, make_store, positive, workplace
from benchmarks.rivals import TABLE
from benchmarks.workload import LISTS, bodies
from falcon_events.http.endpoints import EVENT, PROPERTIES

WARM_UP = 200
INSERT = "insert into events values (uuid(), 94, 'test', uuid(), 'x', 'a@example.com', epoch(now()), '{\"a\": 1}')"
OWN_LIST = LISTS[-1]
NAMES = 50
"""Number of property names that the written events use in turn; no event has a name before its first write."""
COLUMNS = ("interface", "durable p50 ms", "p99 ms", "no store p50 ms", "p99 ms", "commit p50 ms", "ratio", "min-max")
QUERIES = ("interface", "after a write p50 ms", "p99 ms", "nothing written p50 ms", "p99 ms", "ratio")


def time_calls(action: Callable[[], object], times: int) -> list[float]:
    """Call `action` several times; return the milliseconds of each call, sorted."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1e3)
    return sorted(taken)


def percentile(taken: list[float], share: float) -> float:
    """Return a percentile of sorted figures."""
    return taken[min(len(taken) - 1, int(len(taken) * share))]


class QueryClient:
    """A client that queries the properties of OWN_LIST, also right after it has written to the list.

    Args:
        port: the port of the server.
        key: a key that may write and query.
    """

    def __init__(self, port: int, key: str) -> None:
        self._poster = Poster(port)
        self._query = json.dumps({"APIKey": key, "ListID": OWN_LIST}).encode()
        self._event = {"APIKey": key, "ListID": OWN_LIST, "Event": "written", "ID": "asker", "Email": "asker@example.com"}
        self._written = 0

    def query(self, times: int) -> list[float]:
        """Query several times; return the milliseconds of each query, sorted."""
        return time_calls(lambda: self._poster.post(PROPERTIES, self._query), times)

    def write_and_query(self, times: int) -> list[float]:
        """Query right after the 200 of an event, several times; the answer must have the event's property.

        Returns:
            The milliseconds of each query, sorted, without the time of the event.
        """
        taken = []
        for _ in range(times):
            name = f"name-{self._written % NAMES}"
            self._written += 1
            self._poster.post(EVENT, json.dumps({**self._event, "Properties": {name: 1}}).encode())
            began = time.perf_counter()
            answer = self._poster.post(PROPERTIES, self._query)
            taken.append((time.perf_counter() - began) * 1e3)
            if f'"{name}"'.encode() not in answer:
                fail(f"a query after an event's 200 does not return its property: {answer[:300]!r}")
        return sorted(taken)


def measure(folder: Path, interface: str, given: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Measure all three in alternation, for several rounds."""
    stores = [folder / f"{interface}-{kind}.duckdb" for kind in ("durable", "no-store")]
    posts = []
    rounds: list[tuple[list[float], list[float], list[float]]] = []
    queries: list[tuple[list[float], list[float]]] = []
    with (
        Contender("durable", stores[0], interface) as durable,
        Contender("no-store", stores[1], interface) as no_store,
        duckdb.connect(str(folder / f"{interface}-bare.duckdb")) as bare,
    ):
        bare.execute(TABLE.format(uuid="uuid", text="varchar", json="json"))
        for contender, key in ((durable, given.keys[interface][0]), (no_store, given.keys[interface][1])):
            poster = Poster(contender.port)
            sent = itertools.cycle(list(bodies("small", 1000, 100, 0, key)))
            posts.append(lambda poster=poster, sent=sent: poster.post(EVENT, next(sent)))
        actions = [*posts, lambda: bare.execute(INSERT)]
        for action in actions:
            time_calls(action, WARM_UP)
        client = QueryClient(durable.port, given.keys[interface][0])
        client.write_and_query(2 * NAMES)
        for number in range(given.rounds):
            one, two, three = (time_calls(action, given.requests) for action in actions)
            rounds.append((one, two, three))
            queries.append((client.write_and_query(given.requests), client.query(given.requests)))
            report.progress(f"{interface}, round {number + 1}: {statistics.median(one):.2f} ms durable")
        durable.stop()
        no_store.stop()
    medians = [[statistics.median(taken) for taken in one] for one in rounds]
    ratios = [durable_ms / (no_store_ms + commit_ms) for durable_ms, no_store_ms, commit_ms in medians]
    p99 = [median_of([one[place] for one in rounds], 0.99) for place in range(2)]
    columns = [statistics.median(column) for column in zip(*medians, strict=True)]
    written, quiet = ([median_of(one, share) for share in (0.5, 0.99)] for one in zip(*queries, strict=True))
    return {
        "interface": interface,
        "own_write": {"p50_ms": written[0], "p99_ms": written[1]},
        "nothing_written": {"p50_ms": quiet[0], "p99_ms": quiet[1]},
        "own_write_ratio": written[0] / quiet[0],
        "durable": {"p50_ms": columns[0], "p99_ms": p99[0]},
        "no_store": {"p50_ms": columns[1], "p99_ms": p99[1]},
        "commit": {"p50_ms": columns[2]},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def median_of(rounds: Sequence[list[float]], share: float) -> float:
    """Return the median of a percentile over the rounds."""
    return statistics.median(percentile(taken, share) for taken in rounds)


def row(found: dict[str, Any]) -> list[str]:
    """Format the figures of events."""
    times = [found["durable"]["p50_ms"], found["durable"]["p99_ms"], found["no_store"]["p50_ms"], found["no_store"]["p99_ms"]]
    cells = [f"{value:.2f}" for value in (*times, found["commit"]["p50_ms"], found["ratio"])]
    return [found["interface"], *cells, f"{min(found['ratios']):.2f}-{max(found['ratios']):.2f}"]


def queries_row(found: dict[str, Any]) -> list[str]:
    """Format the figures of queries."""
    times = [found[name][figure] for name in ("own_write", "nothing_written") for figure in ("p50_ms", "p99_ms")]
    return [found["interface"], *(f"{value:.2f}" for value in (*times, found["own_write_ratio"]))]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--requests", type=positive, default=500, metavar="N", help="requests of each kind per round")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="number of rounds")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        report.settings(describe(folder, requests=given.requests, rounds=given.rounds))
        given.keys = {
            interface: [make_store(folder / f"{interface}-{kind}.duckdb", *LISTS) for kind in ("durable", "no-store")]
            for interface in ("asgi", "wsgi")
        }
        found = [measure(folder, interface, given, report) for interface in ("asgi", "wsgi")]
    report.figures(COLUMNS, [(one, row(one)) for one in found])
    report.note("One client, one connection. ratio: durable p50 divided by the sum of the other two, of adjacent runs.")
    report.figures(QUERIES, [({}, queries_row(one)) for one in found])
    report.note("A property query right after an event's 200, which must see the event; and the same query without an event.")


if __name__ == "__main__":
    main()
