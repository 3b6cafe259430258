"""Time from the start of the executable to its first answer, compared with `python -m falcon_events serve`; its size."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, START_S, STOP_S, Poster, Report, describe, fail, free_port, make_store, positive, workplace
from benchmarks.workload import LISTS

BUILT = ROOT / "dist" / "falcon-events"
COLUMNS = ("interface", "executable s", "python -m s", "ratio", "first start s", "file MB", "unpacked MB")


def time_start(command: list[str], db: Path, interface: str, body: bytes, cache: Path) -> float:
    """Start a server, send an event, and stop the server; return the seconds from the start to the answer."""
    port = free_port()
    options = ["serve", "--db", str(db), "--port", str(port), "--interface", interface]
    log = db.with_name("log")
    with log.open("w") as output:
        began = time.perf_counter()
        server = subprocess.Popen(
            [*command, *options], stdout=output, stderr=output, env={**os.environ, "FALCON_EVENTS_CACHE": str(cache)}
        )
    try:
        while True:
            try:
                Poster(port).post("/api/v1/event", body)
                break
            except OSError:
                if server.poll() is not None or time.perf_counter() - began > START_S:
                    fail(f"{command[0]} does not start to serve\n{log.read_text()[-2000:]}")
                time.sleep(0.002)
        taken = time.perf_counter() - began
        server.terminate()
        if code := server.wait(STOP_S):
            fail(f"{command[0]} exited with {code}\n{log.read_text()[-2000:]}")
        return taken
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=7, metavar="N", help="starts of each")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary store and the unpacked program")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    given = parser.parse_args()
    report = Report(given.json)
    if sys.platform != "linux" or platform.machine() != "x86_64":
        report.progress("the executable needs Linux on x86-64; nothing is measured")
        return
    subprocess.run(["make", "binary", f"PYTHON={sys.executable}"], cwd=ROOT, check=True, stdout=sys.stderr)
    here = [sys.executable, "-m", "falcon_events"]
    rows = []
    with workplace(given.folder) as folder:
        report.settings(describe(folder, rounds=given.rounds))
        db = folder / "events.duckdb"
        key = make_store(db, *LISTS)
        body = json.dumps({"APIKey": key, "ListID": LISTS[0], "event": "test", "email": "a@example.com"}).encode()
        for interface in ("asgi", "wsgi"):
            cache = folder / interface
            first = time_start([str(BUILT)], db, interface, body, cache)
            time_start(here, db, interface, body, cache)  # afterwards its files are cached in memory, too
            ours, theirs = [], []
            for number in range(given.rounds):
                ours.append(time_start([str(BUILT)], db, interface, body, cache))
                theirs.append(time_start(here, db, interface, body, cache))
                report.progress(f"{interface}, round {number + 1}: {ours[-1]:.2f} s, python -m {theirs[-1]:.2f} s")
            ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
            record = {
                "interface": interface,
                "executable_s": statistics.median(ours),
                "python_s": statistics.median(theirs),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
                "first_s": first,
                "file_mb": BUILT.stat().st_size / 1e6,
                "unpacked_mb": sum(path.lstat().st_size for path in cache.rglob("*") if not path.is_dir()) / 1e6,
            }
            times = [record[name] for name in ("executable_s", "python_s", "ratio", "first_s")]
            sizes = [record[name] for name in ("file_mb", "unpacked_mb")]
            rows.append((record, [interface, *(f"{value:.2f}" for value in times), *(f"{value:.1f}" for value in sizes)]))
    report.figures(COLUMNS, rows)
    report.note("Medians of the time until an event on an existing store gets a 200. The first start unpacks the program.")


if __name__ == "__main__":
    main()
