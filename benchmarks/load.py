"""Load of `ingest`, from wrk if it is installed, else from the suite's own generator; counts of a run."""

from __future__ import annotations

import importlib.metadata
import resource
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from benchmarks.common import ROOT, Contender, fail, make_store
from benchmarks.workload import LISTS, NEW_VISITOR, bodies
from falcon_events import EventTracking
from falcon_events.http.endpoints import EVENT

GENERATORS = ("wrk", "own")
SETTLE_S = 0.3
"""Time for a resumed server to catch up on postponed work before it is measured."""

# Requests are prepared before the measurement starts. A run continues after the last request of the server's previous run,
# and so do the numbers of new visitors.
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
    '\\nresult {"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d, ' ..
    '"status": %d, "socket": %d, "timeout": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.status, e.connect + e.read + e.write, e.timeout))
end
"""


class Run(msgspec.Struct, frozen=True):
    """Counts of the load generator in one run: times in microseconds, errors by kind."""

    requests: int
    us: int
    p50_us: int
    p99_us: int
    p999_us: int
    status: int
    socket: int
    timeout: int

    server_s: float = 0.0
    owner_s: float = 0.0
    load_s: float = 0.0
    """Processor times of the server's processes, of the owner of the file, and of the load generator, in seconds."""

    def cores(self, name: str) -> float:
        """Return the number of cores that `server`, `owner` or `load` kept busy."""
        busy: float = getattr(self, f"{name}_s")
        return busy / self.us * 1e6

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.requests / self.us * 1e6


class Load:
    """Load that sends each contender the same requests in the same order, by wrk or the suite's own generator.

    Args:
        folder: the folder for the script and the bodies.
        kind: the kind of bodies.
        visitors: number of returning visitors.
        new_per_100: percentage of events from new visitors.
        store: the store to prepare; it gets every returning visitor.
        count: number of different bodies.
        generator: one of GENERATORS.
    """

    def __init__(
        self, folder: Path, kind: str, visitors: int, new_per_100: float, store: Path, count: int, generator: str
    ) -> None:
        self._generator = generator
        self._script = folder / "load.lua"
        self._script.write_text(LUA)
        self._bodies = folder / "bodies.ndjson"
        made = list(bodies(kind, count, visitors, new_per_100, make_store(store, *LISTS)))
        self._bodies.write_bytes(b"\n".join(made))
        with EventTracking(store) as tracking:
            deque(tracking.track_many(body for body in made if NEW_VISITOR.encode() not in body), maxlen=0)
            self.known = tracking.stats().events
        self.count = count
        self.sent: dict[Contender, int] = {}

    def run(self, contender: Contender, connections: int, seconds: int) -> Run:
        """Resume a stopped contender, measure one run, and stop it again."""
        contender.resume()
        time.sleep(SETTLE_S)
        sent = self.sent.get(contender, 0)
        command = self._command(contender.port, connections, seconds)
        before, load_before = contender.busy_s(), _children_s()
        done = subprocess.run([*command, str(self._bodies), str(sent)], capture_output=True, text=True, cwd=ROOT)
        server_s, owner_s = (now - then for now, then in zip(contender.busy_s(), before, strict=True))
        load_s = _children_s() - load_before
        contender.hold()
        found = [line for line in done.stdout.splitlines() if line.startswith("result ")]
        if done.returncode or not found:
            fail(f"{self._generator} on the {contender.kind} server: {done.stderr or done.stdout}")
        run = msgspec.json.decode(found[0].removeprefix("result "), type=Run)
        run = msgspec.structs.replace(run, server_s=server_s, owner_s=owner_s, load_s=load_s)
        if run.status or run.socket or run.timeout or not run.requests:
            fail(
                f"the {contender.kind} server at {connections} connections: {run.requests} answers, {run.status} of them "
                f"errors; {run.socket} broken connections, {run.timeout} timeouts\n{contender.log()}"
            )
        self.sent[contender] = sent + run.requests
        return run

    def _command(self, port: int, connections: int, seconds: int) -> list[str]:
        """Return the command without its last two arguments: the file of bodies, and the number of requests sent before."""
        if self._generator == "wrk":
            url = f"http://127.0.0.1:{port}{EVENT}"
            options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(self._script)]
            return ["wrk", *options, url, "--"]
        options = ["--port", str(port), "--path", EVENT, "--connections", str(connections), "--seconds", str(seconds)]
        return [sys.executable, "-m", "benchmarks.generator", *options]


def version(generator: str) -> dict[str, str]:
    """Return the load generator and its version, for the settings of a report."""
    if generator == "wrk":
        output = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout.partition("Copyright")[0]
        return {"wrk": output.split()[1]}
    return {"generator": f"benchmarks/generator.py on uvloop {importlib.metadata.version('uvloop')}"}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
