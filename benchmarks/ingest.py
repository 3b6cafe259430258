"""Events per second and latency, every event committed and synced, beside the same server that stores nothing."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks.common import Contender, Report, describe, fail, make_store, positive, workplace
from benchmarks.postgresql import PostgreSQL
from benchmarks.rivals import DSN, RIVALS
from benchmarks.workload import LIST_ID, NEW_VISITOR, bodies
from falcon_events import EventTracking
from falcon_events.http.endpoints import EVENT

WARM_UP_S = 2
SETTLE_S = 0.3
"""How long a server that was held may look after what it has put off, before it is measured."""
BESIDE = ("no-store", "one-worker", *RIVALS)

WRK_MISSING = """wrk is not installed; it makes the load. Install it with one of
  apt-get install wrk      (Debian, Ubuntu)
  brew install wrk         (macOS)
or from https://github.com/wg/wrk"""

# Requests are made before the clock runs. A server's first request is the one after the last of its previous run, and
# numbers of new visitors go on from there.
LUA = """
local requests, at, sent = {}, 0, 0

function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, line)
  end
  sent = tonumber(args[2])
  at = sent % #requests
end

function request()
  at = at % #requests + 1
  sent = sent + 1
  local made = requests[at]
  if made:find("(new-visitor", 1, true) then
    made = made:gsub("%(new%-visitor", string.format("%012d", 500000000000 + sent))
  end
  return made
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\nresult {"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "status": %d, "socket": %d, "timeout": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write, e.timeout))
end
"""


class Run(msgspec.Struct, frozen=True):
    """What wrk counted in one run: times in microseconds, errors by kind."""

    requests: int
    us: int
    p50_us: int
    p99_us: int
    status: int
    socket: int
    timeout: int

    server_s: float = 0.0
    owner_s: float = 0.0
    wrk_s: float = 0.0
    """Processor time of the server's processes, of the owner of the file, and of wrk, in seconds."""

    def cores(self, name: str) -> float:
        """How many cores one of them kept busy."""
        busy: float = getattr(self, f"{name}_s")
        return busy / self.us * 1e6

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.requests / self.us * 1e6


class Load:
    """Drives contenders with wrk, each through the same requests in the same order.

    Args:
        folder: where the script and the bodies are put.
        kind: which bodies.
        visitors: how many visitors come back.
        new_per_100: how many of 100 events come from somebody new.
        store: the store to prepare for it; it gets every visitor who comes back.
        count: how many different bodies.
    """

    def __init__(self, folder: Path, kind: str, visitors: int, new_per_100: float, store: Path, count: int) -> None:
        self._script = folder / "load.lua"
        self._script.write_text(LUA)
        self._bodies = folder / "bodies.ndjson"
        made = list(bodies(kind, count, visitors, new_per_100, make_store(store, LIST_ID)))
        self._bodies.write_bytes(b"\n".join(made))
        with EventTracking(store) as tracking:
            deque(tracking.track_many(body for body in made if NEW_VISITOR.encode() not in body), maxlen=0)
            self.known = tracking.stats().events
        self.count = count
        self.sent: dict[Contender, int] = {}

    def run(self, contender: Contender, connections: int, seconds: int) -> Run:
        """One run of wrk on a contender that was held; it is held again afterwards."""
        contender.resume()
        time.sleep(SETTLE_S)
        sent = self.sent.get(contender, 0)
        url = f"http://127.0.0.1:{contender.port}{EVENT}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(self._script), url]
        before, wrk_before = contender.busy_s(), _children_s()
        done = subprocess.run([*command, "--", str(self._bodies), str(sent)], capture_output=True, text=True)
        server_s, owner_s = (now - then for now, then in zip(contender.busy_s(), before, strict=True))
        wrk_s = _children_s() - wrk_before
        contender.hold()
        found = [line for line in done.stdout.splitlines() if line.startswith("result ")]
        if done.returncode or not found:
            fail(f"wrk on the {contender.kind} server: {done.stderr or done.stdout}")
        run = msgspec.json.decode(found[0].removeprefix("result "), type=Run)
        run = msgspec.structs.replace(run, server_s=server_s, owner_s=owner_s, wrk_s=wrk_s)
        if run.status or run.socket or run.timeout or not run.requests:
            fail(
                f"the {contender.kind} server at {connections} connections: {run.requests} answers, of which {run.status} were "
                f"errors; {run.socket} broken connections, {run.timeout} timeouts\n{contender.log()}"
            )
        self.sent[contender] = sent + run.requests
        return run


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(
    load: Load, stores: Sequence[Path], interface: str, given: argparse.Namespace, report: Report, env: Mapping[str, str]
) -> dict[str, Any]:
    """The runs of both contenders by connections: alternating, neighbours in time; only one runs at a time."""
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
            while load.sent.get(contender, 0) < load.count:  # from here on, memory knows every visitor who comes back
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
                fail(f"{load.sent[other]:,} events were acknowledged by {other.kind}, and only {rows:,} are in its table")
        for contender in (durable, other):
            contender.resume()
            time.sleep(SETTLE_S)  # wrk has dropped its connections; granian may hang on such as come down with the signal
            contender.stop()
        acknowledged = load.sent[durable]
    with EventTracking(durable_db) as tracking:
        stored = tracking.stats().events - load.known
    if stored < acknowledged:
        fail(f"{acknowledged:,} events were acknowledged, and only {stored:,} are in the store")
    report.progress(f"{interface}: {acknowledged:,} acknowledged, all of them in the store")
    return {"interface": interface, "runs": runs}


COLUMNS = ("interface", "connections", "durable/s", "p50 ms", "p99 ms", "beside it/s", "p50 ms", "p99 ms", "ratio", "min-max")


def rows(measured: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """A row for each number of connections: medians over the rounds, and the ratio of neighbouring runs."""
    made = []
    for count, runs in measured["runs"].items():
        record: dict[str, Any] = {"interface": measured["interface"], "connections": count}
        cells = [measured["interface"], str(count)]
        for kind in runs:
            per_second = statistics.median(run.per_second for run in runs[kind])
            p50, p99 = (statistics.median(getattr(run, name) for run in runs[kind]) / 1e3 for name in ("p50_us", "p99_us"))
            record[kind] = {"events_per_second": round(per_second), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}
            cells += [f"{per_second:,.0f}", f"{p50:.2f}", f"{p99:.2f}"]
        ratios = [one.per_second / other.per_second for one, other in zip(*runs.values(), strict=True)]
        record["ratios"] = [round(ratio, 4) for ratio in ratios]
        record["ratio"] = round(statistics.median(ratios), 4)
        cells += [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}"]
        made.append((record, cells))
    return made


CORES = ("interface", "connections", "contender", "server", "owner", "wrk", "all", "µs an event")


def cores(measured: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """Who kept how many of the machine's cores busy: medians over the rounds; and processor time by event."""
    made = []
    for count, runs in measured["runs"].items():
        for name, taken in runs.items():
            busy = {who: statistics.median(run.cores(who) for run in taken) for who in ("server", "owner", "wrk")}
            per_event = statistics.median((run.server_s + run.owner_s + run.wrk_s) / run.requests for run in taken) * 1e6
            record = {
                "interface": measured["interface"],
                "connections": count,
                "contender": name,
                **busy,
                "us_an_event": per_event,
            }
            figures = [f"{value:.2f}" for value in (*busy.values(), sum(busy.values()))]
            made.append((record, [measured["interface"], str(count), name, *figures, f"{per_event:.0f}"]))
    return made


def arguments() -> argparse.Namespace:
    """The options given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seconds", type=positive, default=2, metavar="S", help="how long each run takes")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="how often each pair is run")
    parser.add_argument("--connections", type=positive, nargs="+", default=[1, 32, 128, 256], metavar="N", help="kept open")
    parser.add_argument("--interface", choices=("asgi", "wsgi", "both"), default="both", help="which flavour answers")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="how many processes answer")
    parser.add_argument("--beside", choices=BESIDE, default="no-store", help="what the durable server is compared with")
    parser.add_argument("--body", choices=("small", "browser"), default="small", help="the documented example, or page views")
    parser.add_argument("--visitors", type=positive, default=10_000, metavar="N", help="how many come back")
    parser.add_argument("--new-visitors", type=float, default=1.0, metavar="PERCENT", help="events of somebody new")
    parser.add_argument("--bodies", type=positive, default=50_000, metavar="N", help="different requests, sent over and over")
    parser.add_argument("--folder", type=Path, help="where the databases are put for the time, on a disk")
    parser.add_argument("--json", action="store_true", help="JSON, one object a line")
    return parser.parse_args()


def main() -> None:
    """Measures and reports."""
    given = arguments()
    if shutil.which("wrk") is None:
        print(WRK_MISSING, file=sys.stderr)
        raise SystemExit(2)
    version = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout.partition("Copyright")[0]
    report = Report(given.json)
    if given.beside in RIVALS and given.interface != "asgi":
        fail(f"--beside {given.beside} needs --interface asgi, which these endpoints are written for", 2)
    with workplace(given.folder) as folder, contextlib.ExitStack() as stack:
        tools, env = {"wrk": version.split()[1]}, {}
        if given.beside == "postgresql":
            server = stack.enter_context(PostgreSQL(folder))
            tools["postgresql"], env = server.version, {DSN: server.dsn}
        options = {
            name: getattr(given, name)
            for name in ("seconds", "rounds", "connections", "workers", "beside", "body", "visitors", "new_visitors", "bodies")
        }
        report.settings(describe(folder, tools=tools, **options))
        template = folder / "template.duckdb"
        load = Load(folder, given.body, given.visitors, given.new_visitors, template, given.bodies)
        made, busy = [], []
        for interface in ("asgi", "wsgi") if given.interface == "both" else (given.interface,):
            stores = [shutil.copy(template, folder / f"{interface}-{name}.duckdb") for name in ("durable", "beside")]
            measured = measure(load, stores, interface, given, report, env)
            made += rows(measured)
            busy += cores(measured)
        report.figures(COLUMNS, made)
        report.note("Medians over the rounds. ratio: durable/s divided by beside it/s of the run next to it.")
        report.figures(CORES, busy)
        report.note(f"Cores kept busy, of {os.cpu_count()}: nothing is faster than all of them.")


if __name__ == "__main__":
    main()
