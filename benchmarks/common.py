"""Shared parts of the benchmarks: the working folder, the servers to measure, and the report."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import importlib.metadata
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

from falcon_events import EventTracking
from falcon_events.files.lockfile import find
from falcon_events.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
START_S = 60.0
STOP_S = 60.0


def fail(message: str, code: int = 1) -> NoReturn:
    """End the benchmark, since figures that hide an error are worth nothing."""
    print(f"benchmark failed: {message}", file=sys.stderr)
    raise SystemExit(code)


def positive(text: str) -> int:
    """Parse a whole number of at least 1, for argparse."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def filesystem(folder: Path) -> str:
    """Return the type of a folder's file system as the kernel names it; Linux only."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return "unknown"
    kinds = {mount.split()[1]: mount.split()[2] for mount in mounts.read_text().splitlines()}
    resolved = folder.resolve()
    return next((kinds[str(path)] for path in (resolved, *resolved.parents) if str(path) in kinds), "unknown")


@contextlib.contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """Create a folder on a disk, and remove it at the end.

    Args:
        folder: the parent folder; None: the first of the usual places that is not in memory.
    """
    places = [folder] if folder else [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]
    on_disk = [place for place in places if place.is_dir() and filesystem(place) not in ("tmpfs", "ramfs")]
    if not on_disk:
        fail(f"{', '.join(map(str, places))}: not on a disk. Name a folder on a disk with --folder.", 2)
    with tempfile.TemporaryDirectory(prefix="falcon-events-benchmark-", dir=on_disk[0]) as made:
        yield Path(made)


def describe(folder: Path, *, tools: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    """Describe the machine, the versions and the settings; without them figures mean nothing.

    Args:
        folder: the folder of the databases.
        tools: versions of programs that are not Python packages.
        options: the benchmark's own options.
    """
    packages = ("falcon-events", "duckdb", "falcon", "granian", "uvicorn", "uvloop", "msgspec")
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "disk": f"{filesystem(folder)}, a 4 KiB write with fsync takes {_sync_ms(folder):.2f} ms (median)",
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        **(tools or {}),
        "settings": ", ".join(f"{name}={value}" for name, value in dataclasses.asdict(Settings.from_environment()).items()),
        **options,
    }


def _cpu() -> str:
    if sys.platform == "darwin":
        return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True).stdout.strip()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _sync_ms(folder: Path) -> float:
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Poster:
    """A client with one connection.

    Args:
        port: the port of the server.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, body: bytes) -> bytes:
        """Return the body of the answer; any status but 200 ends the benchmark."""
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            fail(f"POST {path}: {answer.status} {text[:300]!r}")
        return text

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def make_store(path: Path, *list_ids: int) -> str:
    """Create a store with an account that owns these lists, and return a key of the account."""
    with EventTracking(path) as tracking:
        tracking.directory.create_account("benchmark")
        for list_id in list_ids:
            tracking.directory.create_list("benchmark", f"list {list_id}", list_id)
        return tracking.directory.create_key("benchmark").key


class Contender:
    """A server in a process group of its own.

    Args:
        kind: one of the kinds in benchmarks.contender.
        db: the store that it serves.
        interface: asgi or wsgi.
        workers: number of worker processes.
        env: variables to add to the environment of this process.
    """

    def __init__(self, kind: str, db: Path, interface: str, workers: int = 1, env: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.db = db
        self.port = free_port()
        self._log = db.with_name(f"{db.name}.log")
        command = [sys.executable, "-m", "benchmarks.contender", kind, "--db", str(db), "--port", str(self.port)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, "--interface", interface, "--workers", str(workers)],
                env={**os.environ, "PYTHONPATH": path, **(env or {})},
                stdin=subprocess.PIPE,  # closed when the benchmark ends, however it ends
                stdout=log,
                stderr=log,
                process_group=0,  # in the same session: a stopped group that no process can resume any more gets SIGHUP
            )

    def __enter__(self) -> Contender:
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._kill()
                fail(f"the {self.kind} server does not start\n{self.log()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def hold(self) -> None:
        """Stop the server's processes, so that they use no core."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server's processes continue."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Shut the server down; a failure ends the benchmark."""
        self.resume()
        self._process.terminate()
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            fail(f"the {self.kind} server is still running {STOP_S:.0f} s after SIGTERM\n{self.log()}")
        if code != 0:
            fail(f"the {self.kind} server exited with {code}\n{self.log()}")

    def busy_s(self) -> tuple[float, float]:
        """Return the processor time of the server and of its store's owner, in seconds; 0 if the system does not report it."""
        place = find(self.db)
        server = sum(_busy_s(path) for path in Path("/proc").glob("[0-9]*/stat") if _group(path) == self._process.pid)
        return server, 0.0 if place is None else _busy_s(Path(f"/proc/{place.pid}/stat"))

    def resident_mb(self) -> tuple[float, float]:
        """Return the resident memory of the server and of its store's owner, in megabytes; 0 if the system does not report it."""
        place = find(self.db)
        server = sum(_resident_mb(path) for path in Path("/proc").glob("[0-9]*/stat") if _group(path) == self._process.pid)
        return server, 0.0 if place is None else _resident_mb(Path(f"/proc/{place.pid}/stat"))

    def get(self, path: str) -> bytes:
        """Return the body of a GET; any status but 200 ends the benchmark."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            fail(f"GET {path} of the {self.kind} server: {answer.status} {body[:200]!r}")
        return body

    def log(self) -> str:
        """Return the end of the server's output."""
        return self._log.read_text()[-2000:]

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        return False


def _fields(stat: Path) -> list[str]:
    """Return the fields after the process name in /proc/PID/stat (proc(5)), the first of which is the state."""
    with contextlib.suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()
    return ["X", *["0"] * 40]


def _group(stat: Path) -> int:
    return int(_fields(stat)[2])


def _busy_s(stat: Path) -> float:
    fields = _fields(stat)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(stat: Path) -> float:
    return int(_fields(stat)[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Report:
    """Output of the figures, as a table or as one JSON object per line.

    Args:
        as_json: whether to print JSON.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)

    def settings(self, described: dict[str, Any]) -> None:
        """Print the machine, the versions and the settings."""
        if self._json:
            print(json.dumps({"settings": described}), flush=True)
            return
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, value in described.items():
            table.add_row(name, str(value))
        self._console.print(table)

    def progress(self, text: str) -> None:
        """Print a line of progress to standard error."""
        print(text, file=sys.stderr, flush=True)

    def figures(self, columns: Sequence[str], rows: Sequence[tuple[dict[str, Any], Sequence[str]]]) -> None:
        """Print the figures. Each row has its record for JSON (empty if another row has it) and its cells for the table."""
        if self._json:
            for record, _ in rows:
                if record:
                    print(json.dumps(record), flush=True)
            return
        table = Table(box=box.SIMPLE_HEAD)
        for column in columns:
            table.add_column(column, justify="right")
        for _, cells in rows:
            table.add_row(*cells)
        self._console.print(table)

    def note(self, text: str) -> None:
        """Print a sentence below the table."""
        if not self._json:
            self._console.print(text)
