"""Events per second and latency, with every event committed and synced, compared with the same server that stores nothing."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import Contender, Report, describe, fail, positive, workplace
from benchmarks.load import GENERATORS, SETTLE_S, Load, Run, version
from benchmarks.postgresql import PostgreSQL
from benchmarks.rivals import DSN, RIVALS
from falcon_events import EventTracking

WARM_UP_S = 2
BESIDE = ("no-store", "one-worker", *RIVALS)


def measure(
    load: Load, stores: Sequence[Path], interface: str, given: argparse.Namespace, report: Report, env: Mapping[str, str]
) -> dict[str, Any]:
    """Run both contenders in alternation, one at a time; return their runs by number of connections."""
    pair = ("durable", given.beside)
    runs: dict[int, dict[str, list[Run]]] = {count: {name: [] for name in pair} for count in given.connections}
    durable_db, other_db = stores
    kind, workers = ("durable", 1) if given.beside == "one-worker" else (given.beside, given.workers)
    with (
        Contender("durable", durable_db, interface, given.workers) as durable,
        Contender(kind, other_db, interface, workers, env) as other,
    ):
        for contender in (durable, other):
            contender.hold()
        for contender in (durable, other):
            while load.sent.get(contender, 0) < load.count:  # afterwards every returning visitor is cached in memory
                last = load.run(contender, max(given.connections), WARM_UP_S)
            report.progress(
                f"{interface}, {contender.kind}: warm after {load.sent[contender]:,} events, {last.per_second:,.0f}/s"
            )
        for number in range(given.rounds):
            for count in given.connections:
                for name, contender in zip(pair, (durable, other), strict=True):
                    runs[count][name].append(load.run(contender, count, given.seconds))
                both = [runs[count][name][-1].per_second for name in pair]
                report.progress(f"{interface}, round {number + 1}, {count} connections: {both[0]:,.0f} beside {both[1]:,.0f}")
        if given.beside in RIVALS and given.beside != "bare":
            other.resume()
            if (rows := int(other.get("/count"))) < load.sent[other]:
                fail(f"{other.kind} acknowledged {load.sent[other]:,} events, but only {rows:,} are in its table")
        for contender in (durable, other):
            contender.resume()
            time.sleep(SETTLE_S)  # granian may hang if connections, here the generator's, close at the time of the signal
            contender.stop()
        acknowledged = load.sent[durable]
    with EventTracking(durable_db) as tracking:
        stored = tracking.stats().events - load.known
    if stored < acknowledged:
        fail(f"{acknowledged:,} events were acknowledged, but only {stored:,} are in the store")
    report.progress(f"{interface}: {acknowledged:,} events acknowledged, all of them in the store")
    return {"interface": interface, "runs": runs}


PERCENTILES = ("p50", "p99", "p999")
COLUMNS = ("interface", "connections", "durable/s", "p50 ms", "p99 ms", "beside it/s", "p50 ms", "p99 ms", "ratio", "min-max")


def rows(measured: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """Make a row for each number of connections: medians over the rounds, and the ratio of runs next to each other."""
    made = []
    for count, runs in measured["runs"].items():
        record: dict[str, Any] = {"interface": measured["interface"], "connections": count}
        cells = [measured["interface"], str(count)]
        for kind in runs:
            per_second = statistics.median(run.per_second for run in runs[kind])
            times = {name: statistics.median(getattr(run, f"{name}_us") for run in runs[kind]) / 1e3 for name in PERCENTILES}
            record[kind] = {"events_per_second": round(per_second)} | {f"{name}_ms": round(ms, 3) for name, ms in times.items()}
            cells += [f"{per_second:,.0f}", f"{times['p50']:.2f}", f"{times['p99']:.2f}"]
        ratios = [one.per_second / other.per_second for one, other in zip(*runs.values(), strict=True)]
        record["ratios"] = [round(ratio, 4) for ratio in ratios]
        record["ratio"] = round(statistics.median(ratios), 4)
        cells += [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}"]
        made.append((record, cells))
    return made


CORES = ("interface", "connections", "contender", "beside", "server", "owner", "load", "all", "µs per event")


def cores(measured: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """Make rows with the cores that each process kept busy (medians over the rounds), and the processor time per event."""
    made = []
    for count, runs in measured["runs"].items():
        for name, taken in runs.items():
            busy = {who: statistics.median(run.cores(who) for run in taken) for who in ("server", "owner", "load")}
            per_event = statistics.median((run.server_s + run.owner_s + run.load_s) / run.requests for run in taken) * 1e6
            record = {
                "interface": measured["interface"],
                "connections": count,
                "contender": name,
                "beside": next(other for other in runs if other != name),
                **busy,
                "us_an_event": per_event,
            }
            figures = [f"{value:.2f}" for value in (*busy.values(), sum(busy.values()))]
            made.append((record, [measured["interface"], str(count), name, record["beside"], *figures, f"{per_event:.0f}"]))
    return made


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seconds", type=positive, default=2, metavar="S", help="duration of each run")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="number of rounds")
    parser.add_argument(
        "--connections", type=positive, nargs="+", default=[1, 32, 128, 256], metavar="N", help="open connections"
    )
    parser.add_argument("--interface", choices=("asgi", "wsgi", "both"), default="both", help="interface of the server")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="number of worker processes")
    parser.add_argument("--beside", choices=BESIDE, default="no-store", help="contender to compare with")
    parser.add_argument("--body", choices=("small", "browser"), default="small", help="documented example, or page views")
    parser.add_argument("--visitors", type=positive, default=10_000, metavar="N", help="number of returning visitors")
    parser.add_argument("--new-visitors", type=float, default=1.0, metavar="PERCENT", help="events from new visitors")
    parser.add_argument("--bodies", type=positive, default=50_000, metavar="N", help="different requests, sent repeatedly")
    parser.add_argument("--generator", choices=GENERATORS, help="load generator (default: wrk if installed, else own)")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    given = arguments()
    generator = given.generator or ("wrk" if shutil.which("wrk") else "own")
    if generator == "wrk" and shutil.which("wrk") is None:
        fail("wrk is not installed; run apt-get install wrk or brew install wrk, or pass --generator own", 2)
    report = Report(given.json)
    if given.beside in RIVALS and given.interface != "asgi":
        fail(f"--beside {given.beside} needs --interface asgi, because its endpoint is an ASGI application", 2)
    with workplace(given.folder) as folder, contextlib.ExitStack() as stack:
        tools, env = version(generator), {}
        if given.beside == "postgresql":
            server = stack.enter_context(PostgreSQL(folder))
            tools["postgresql"], env = server.version, {DSN: server.dsn}
        options = {
            name: getattr(given, name)
            for name in ("seconds", "rounds", "connections", "workers", "beside", "body", "visitors", "new_visitors", "bodies")
        }
        report.settings(describe(folder, tools=tools, **options))
        template = folder / "template.duckdb"
        load = Load(folder, given.body, given.visitors, given.new_visitors, template, given.bodies, generator)
        made, busy = [], []
        for interface in ("asgi", "wsgi") if given.interface == "both" else (given.interface,):
            stores = [shutil.copy(template, folder / f"{interface}-{name}.duckdb") for name in ("durable", "beside")]
            measured = measure(load, stores, interface, given, report, env)
            made += rows(measured)
            busy += cores(measured)
        report.figures(COLUMNS, made)
        report.note("Medians over the rounds. ratio: durable/s divided by beside it/s of the run next to it.")
        report.figures(CORES, busy)
        report.note(f"Cores kept busy, of {os.cpu_count()}. Load generator: {generator}, which uses one core at most.")


if __name__ == "__main__":
    main()
