"""What a durable event costs one client: beside a request that stores nothing and a bare commit of the database."""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb

from benchmarks.common import Contender, Poster, Report, describe, make_store, positive, workplace
from benchmarks.rivals import TABLE
from benchmarks.workload import LIST_ID, bodies
from falcon_events.http.endpoints import EVENT

WARM_UP = 200
INSERT = "insert into events values (uuid(), 94, 'test', uuid(), 'x', 'a@example.com', epoch(now()), '{\"a\": 1}')"
COLUMNS = ("interface", "durable p50 ms", "p99 ms", "no store p50 ms", "p99 ms", "commit p50 ms", "ratio", "min-max")


def timed(action: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each of so many calls, sorted."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1e3)
    return sorted(taken)


def percentile(taken: list[float], share: float) -> float:
    """A percentile of sorted figures."""
    return taken[min(len(taken) - 1, int(len(taken) * share))]


def measure(folder: Path, interface: str, given: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Rounds of the three, next to each other."""
    stores = [folder / f"{interface}-{kind}.duckdb" for kind in ("durable", "no-store")]
    posts = []
    rounds: list[tuple[list[float], list[float], list[float]]] = []
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
            timed(action, WARM_UP)
        for number in range(given.rounds):
            one, two, three = (timed(action, given.requests) for action in actions)
            rounds.append((one, two, three))
            report.progress(f"{interface}, round {number + 1}: {statistics.median(one):.2f} ms durable")
        durable.stop()
        no_store.stop()
    medians = [[statistics.median(taken) for taken in one] for one in rounds]
    ratios = [durable_ms / (no_store_ms + commit_ms) for durable_ms, no_store_ms, commit_ms in medians]
    p99 = [statistics.median(percentile(one[place], 0.99) for one in rounds) for place in range(2)]
    columns = [statistics.median(column) for column in zip(*medians, strict=True)]
    return {
        "interface": interface,
        "durable": {"p50_ms": columns[0], "p99_ms": p99[0]},
        "no_store": {"p50_ms": columns[1], "p99_ms": p99[1]},
        "commit": {"p50_ms": columns[2]},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def row(found: dict[str, Any]) -> list[str]:
    """The figures as a person reads them."""
    times = [found["durable"]["p50_ms"], found["durable"]["p99_ms"], found["no_store"]["p50_ms"], found["no_store"]["p99_ms"]]
    cells = [f"{value:.2f}" for value in (*times, found["commit"]["p50_ms"], found["ratio"])]
    return [found["interface"], *cells, f"{min(found['ratios']):.2f}-{max(found['ratios']):.2f}"]


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--requests", type=positive, default=500, metavar="N", help="of each kind in each round")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="how often")
    parser.add_argument("--folder", type=Path, help="where the databases are put for the time, on a disk")
    parser.add_argument("--json", action="store_true", help="JSON, one object a line")
    given = parser.parse_args()
    report = Report(given.json)
    with workplace(given.folder) as folder:
        report.settings(describe(folder, requests=given.requests, rounds=given.rounds))
        given.keys = {
            interface: [make_store(folder / f"{interface}-{kind}.duckdb", LIST_ID) for kind in ("durable", "no-store")]
            for interface in ("asgi", "wsgi")
        }
        found = [measure(folder, interface, given, report) for interface in ("asgi", "wsgi")]
    report.figures(COLUMNS, [(one, row(one)) for one in found])
    report.note("One client, one connection. ratio: durable p50 divided by the sum of the other two, of neighbouring runs.")


if __name__ == "__main__":
    main()
