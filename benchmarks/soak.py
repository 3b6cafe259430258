"""Kill owners, workers and servers, and fill the disk, while clients send and retry; then count the events."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb

from benchmarks.common import ROOT, Report, describe, fail, free_port, make_store, positive, workplace
from falcon_events.files.lockfile import find, is_held
from falcon_events.http.endpoints import EVENT

LIST_ID = 1
DISK_MB = 768
PATIENCE_S = 120.0
"""Longest outage before the soak gives up, in seconds."""
REQUEST_S = 30.0
INTERFACES = ("asgi", "wsgi")


class Server:
    """`falcon-events serve` on the store, with one interface; start() restarts it if it has ended.

    Args:
        db: the store.
        interface: asgi or wsgi.
        workers: number of worker processes.
        log: the file for the server's output.
    """

    def __init__(self, db: Path, interface: str, workers: int, log: Path) -> None:
        self.log = log
        self.interface = interface
        self.port = free_port()
        self.starts = 0
        self._log = log.open("w")
        self._command = [
            *(sys.executable, "-m", "falcon_events", "serve", "--db", str(db), "--port", str(self.port)),
            *("--interface", interface, "--workers", str(workers)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server unless it is running."""
        if self._process is None or self._process.poll() is not None:
            self.starts += 1
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                self._command, stdout=self._log, stderr=self._log, start_new_session=True, env={**os.environ, "PYTHONPATH": path}
            )

    def kill(self) -> None:
        """Kill the server and all its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """Shut the server down, or kill it if that takes too long."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def children(self) -> list[int]:
        """Return the process ids of its workers."""
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True).stdout
        return [int(pid) for pid in found.split()]


class Clients:
    """Clients that send events with EventIDs to all servers, and retry each event until it is acknowledged."""

    def __init__(self, ports: list[int], key: str, count: int) -> None:
        self.acknowledged: set[str] = set()
        self.sent = 0
        self.refused: Counter[int] = Counter()
        self.unanswered = 0
        self.unexpected: list[str] = []
        self.waits: list[float] = []
        self._after = math.inf
        self._answered_after = threading.Event()
        self._ports = ports
        self._key = key
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]

    def start(self) -> None:
        """Start sending."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> bool:
        """Let each client finish its event, and return whether all of them could."""
        self._stopping.set()
        deadline = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def outage(self, fault: Callable[[], object]) -> float:
        """Cause a fault; return the seconds until an event that was first sent after the fault is acknowledged."""
        self._after = math.inf
        self._answered_after.clear()
        began = time.monotonic()
        fault()
        self._after = time.monotonic()
        if not self._answered_after.wait(PATIENCE_S):
            fail(f"no event was acknowledged for {PATIENCE_S:.0f} s; refused by status: {dict(self.refused)}")
        return time.monotonic() - began

    def _run(self, number: int) -> None:
        port = self._ports[number % len(self._ports)]
        while not self._stopping.is_set():
            event_id = str(uuid.uuid4())
            visitor = random.randrange(2000)
            body = {
                "APIKey": self._key, "ListID": LIST_ID, "Event": "soak", "ID": f"v{visitor}", "Email": f"v{visitor}@example.com",
                "EventID": event_id, "Properties": {"client": number, f"p{visitor % 20}": visitor},
            }  # fmt: skip
            self.sent += 1
            began = time.monotonic()
            while not self._try(port, json.dumps(body)):
                if self._stopping.is_set() and time.monotonic() - began > PATIENCE_S:
                    return
                time.sleep(0.02)
            self.acknowledged.add(event_id)
            self.waits.append(time.monotonic() - began)
            if began > self._after:
                self._answered_after.set()

    def _try(self, port: int, body: str) -> bool:
        connection = self._connection(port)
        try:
            connection.request("POST", EVENT, body)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.unanswered += 1
            return False
        if answer.status == 200:
            return True
        self.refused[answer.status] += 1
        if answer.status != 503:
            self.unexpected.append(f"{answer.status} {text[:200]!r}")
        return False

    def _connection(self, port: int) -> http.client.HTTPConnection:
        mine = threading.current_thread()
        found: http.client.HTTPConnection | None = getattr(mine, "connection", None)
        if found is None:
            found = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_S)
            mine.connection = found  # type: ignore[attr-defined]
        return found


class Soak:
    """Faults, caused one after the other."""

    def __init__(self, db: Path, servers: list[Server], clients: Clients, disk: Path | None) -> None:
        self.outages: dict[str, list[float]] = {}
        self._db = db
        self._servers = servers
        self._clients = clients
        self._disk = disk
        self._kinds: dict[str, tuple[int, Callable[[], object]]] = {
            "owner killed": (9, self._kill_owner),
            "worker killed": (3, self._kill_worker),
            "server killed": (2, self._kill_server),
            "server restarted": (1, self._restart_server),
            "workers reloaded": (1, self._reload),
            "owner suspended": (2, self._suspend_owner),
            **({"disk full": (2, self._fill_disk)} if disk else {}),
        }

    def run(self, seconds: float, report: Report) -> None:
        """Cause faults for some seconds."""
        end = time.monotonic() + seconds
        minute = time.monotonic() + 60
        kinds = list(self._kinds)
        weights = [weight for weight, _ in self._kinds.values()]
        while time.monotonic() < end:
            time.sleep(random.uniform(1.0, 4.0))
            for server in self._servers:
                server.start()
            (kind,) = random.choices(kinds, weights)
            self.outages.setdefault(kind, []).append(self._clients.outage(self._kinds[kind][1]))
            if time.monotonic() > minute:
                minute += 60
                longest = max(self._clients.waits, default=0.0)
                report.progress(
                    f"{len(self._clients.acknowledged):,} acknowledged, {sum(map(len, self.outages.values()))} faults, "
                    f"the longest wait of a request was {longest:.1f} s"
                )

    def _kill_owner(self) -> None:
        place = find(self._db) if is_held(self._db) else None
        if place is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(place.pid, signal.SIGKILL)

    def _kill_worker(self) -> None:
        children = random.choice(self._servers).children()
        if children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(children), signal.SIGKILL)

    def _kill_server(self) -> None:
        server = random.choice(self._servers)
        server.kill()
        server.start()

    def _restart_server(self) -> None:
        server = random.choice(self._servers)
        server.stop()
        server.start()

    def _reload(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.choice(self._servers).pid, signal.SIGHUP)

    def _suspend_owner(self) -> None:
        place = find(self._db) if is_held(self._db) else None
        if place is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(place.pid, signal.SIGSTOP)
                time.sleep(random.uniform(0.2, 2.0))
                os.kill(place.pid, signal.SIGCONT)

    def _fill_disk(self) -> None:
        assert self._disk is not None
        filling = self._disk / "fill"
        end = time.monotonic() + random.uniform(0.5, 3.0)
        while time.monotonic() < end:
            with contextlib.suppress(OSError), filling.open("ab", buffering=0) as file:
                while True:
                    file.write(b"\0" * 65536)
            with contextlib.suppress(OSError), filling.open("ab", buffering=0) as file:
                while True:
                    file.write(b"\0" * 256)
            time.sleep(0.05)
        filling.unlink()


class Memory:
    """Peak memory of the owner and of the workers, sampled every second."""

    def __init__(self, db: Path, servers: list[Server]) -> None:
        self.owner_mb = self.worker_mb = 0.0
        self._db = db
        self._servers = servers
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            place = find(self._db)
            if place is not None:
                self.owner_mb = max(self.owner_mb, resident_mb(place.pid))
            for server in self._servers:
                for pid in server.children():
                    self.worker_mb = max(self.worker_mb, resident_mb(pid))
            time.sleep(1)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, in megabytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def count(db: Path, acknowledged: set[str]) -> dict[str, int]:
    """Count the events in the file with plain DuckDB: stored, lost and doubled."""
    deadline = time.monotonic() + PATIENCE_S
    while is_held(db) and time.monotonic() < deadline:
        time.sleep(0.1)
    with duckdb.connect(str(db)) as connection:
        stored = Counter(i for (i,) in connection.execute("select event_id::varchar from events where event = 'soak'").fetchall())
        row = connection.execute(
            "select count(*) - count(distinct (list_id, visitor, lower(email))) from events where event = 'identify'"
        ).fetchone()
    return {
        "stored": sum(stored.values()),
        "lost": len(acknowledged - stored.keys()),
        "doubled": sum(number - 1 for number in stored.values()),
        "doubled_identify": int(row[0]) if row else -1,
    }


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small disk that can be filled, if this user may mount one; else give None."""
    disk = folder / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        yield None
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "none", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def percentile(values: list[float], part: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def main() -> None:
    """Soak and report; exit with 1 if anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, metavar="N", help="duration of the soak")
    parser.add_argument("--clients", type=positive, default=8, metavar="N", help="number of concurrent clients")
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="workers of each of the two servers")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the order of faults; 0: a new one each time")
    parser.add_argument("--folder", type=Path, help="folder for the temporary store if no disk can be mounted")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    random.seed(given.seed or None)
    report = Report(given.json)
    with workplace(given.folder) as folder, small_disk(folder) as disk:
        report.settings(describe(folder, minutes=given.minutes, clients=given.clients, workers=given.workers))
        db = (disk or folder) / "soak.duckdb"
        key = make_store(db, LIST_ID)
        servers = [Server(db, interface, given.workers, folder / f"{interface}.log") for interface in INTERFACES]
        clients = Clients([server.port for server in servers], key, given.clients)
        memory = Memory(db, servers)
        soak = Soak(db, servers, clients, disk)
        clients.start()
        try:
            clients.outage(lambda: None)
            soak.run(given.minutes * 60, report)
            finished = clients.stop()
        finally:
            for server in servers:
                server.stop()
        counted: dict[str, Any] = count(db, clients.acknowledged)
        rows = []
        for kind, outages in sorted(soak.outages.items()):
            figures = [statistics.median(outages), percentile(outages, 0.99), max(outages)]
            record = {"fault": kind, "count": len(outages), "p50_s": figures[0], "p99_s": figures[1], "longest_s": figures[2]}
            rows.append((record, [kind, str(len(outages)), *(f"{figure:.2f}" for figure in figures)]))
        report.figures(("fault", "times", "outage p50 s", "p99 s", "longest s"), rows)
        counted |= {
            "acknowledged": len(clients.acknowledged),
            "refused": sum(clients.refused.values()),
            "unanswered": clients.unanswered,
            "unfinished": 0 if finished else clients.sent - len(clients.acknowledged),
            "longest_request_s": round(max(clients.waits), 2),
            "owner_peak_mb": round(memory.owner_mb),
            "worker_peak_mb": round(memory.worker_mb),
        }
        report.figures(tuple(counted), [(counted, [str(value) for value in counted.values()])])
        for line in clients.unexpected[:10]:
            report.note(f"unexpected: {line}")
        if clients.unexpected or not finished:
            for server in servers:
                report.note(f"{server.interface}, {server.starts} starts:\n{server.log.read_text()[-3000:]}")
        if counted["lost"] or counted["doubled"] or counted["doubled_identify"]:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
