"""The load of `ingest`: wrk where it is installed, else the suite's own generator; what a run counted."""

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
"""How long a server that was held may look after what it has put off, before it is measured."""

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
    '\\nresult {"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d, ' ..
    '"status": %d, "socket": %d, "timeout": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.status, e.connect + e.read + e.write, e.timeout))
end
"""


class Run(msgspec.Struct, frozen=True):
    """What the load generator counted in one run: times in microseconds, errors by kind."""

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
    """Processor time of the server's processes, of the owner of the file, and of the load generator, in seconds."""

    def cores(self, name: str) -> float:
        """How many cores one of them kept busy."""
        busy: float = getattr(self, f"{name}_s")
        return busy / self.us * 1e6

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.requests / self.us * 1e6


class Load:
    """Drives contenders with wrk or the suite's own generator, each through the same requests in the same order.

    Args:
        folder: where the script and the bodies are put.
        kind: which bodies.
        visitors: how many visitors come back.
        new_per_100: how many of 100 events come from somebody new.
        store: the store to prepare for it; it gets every visitor who comes back.
        count: how many different bodies.
        generator: which of GENERATORS makes it.
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
        """One run on a contender that was held; it is held again afterwards."""
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
                f"the {contender.kind} server at {connections} connections: {run.requests} answers, of which {run.status} were "
                f"errors; {run.socket} broken connections, {run.timeout} timeouts\n{contender.log()}"
            )
        self.sent[contender] = sent + run.requests
        return run

    def _command(self, port: int, connections: int, seconds: int) -> list[str]:
        """What to run, but for the bodies and how many were sent before."""
        if self._generator == "wrk":
            url = f"http://127.0.0.1:{port}{EVENT}"
            options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(self._script)]
            return ["wrk", *options, url, "--"]
        options = ["--port", str(port), "--path", EVENT, "--connections", str(connections), "--seconds", str(seconds)]
        return [sys.executable, "-m", "benchmarks.generator", *options]


def version(generator: str) -> dict[str, str]:
    """The load generator and its version, for the settings of a report."""
    if generator == "wrk":
        told = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout.partition("Copyright")[0]
        return {"wrk": told.split()[1]}
    return {"generator": f"benchmarks/generator.py on uvloop {importlib.metadata.version('uvloop')}"}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
