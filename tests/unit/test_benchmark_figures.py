"""What the benchmarks make of their figures; that they run is tried by .ci/run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.charts import draw
from benchmarks.memory import template, visitors_of
from benchmarks.plans import FULL, QUICK
from benchmarks.results import compare, load, markdown
from benchmarks.targets import glance
from benchmarks.workload import LISTS, NEW_VISITOR, bodies

ROOT = Path(__file__).parents[2]
SIDE = {"events_per_second": 5000, "p50_ms": 4.0, "p99_ms": 9.0}


def ingest(ratio: float, *, connections: int = 32, rival: str = "no-store", spread: float = 0.0) -> dict[str, Any]:
    """A record as `ingest` makes it."""
    ratios = [ratio - spread, ratio, ratio + spread]
    figures = {"durable": SIDE, rival: SIDE, "ratio": ratio, "ratios": ratios}
    return {"benchmark": "ingest", "interface": "asgi", "workers": 1, "connections": connections, **figures}


def latency(ratio: float) -> dict[str, Any]:
    """A record as `latency` makes it: less is better."""
    times = {"durable": SIDE, "no_store": SIDE, "commit": {"p50_ms": 1.0}}
    return {"benchmark": "latency", "interface": "asgi", "workers": 1, **times, "ratio": ratio, "ratios": [ratio]}


def judged(old: dict[str, Any], new: dict[str, Any]) -> list[bool]:
    """Whether each common figure has become worse by more than a tenth."""
    return [is_worse for *_, is_worse in compare([old], [new], 0.1)]


def test_a_figure_is_worse_past_the_threshold_and_the_spread() -> None:
    """Which way is worse depends on the figure; other connections and other rivals are other figures."""
    assert judged(ingest(0.6), ingest(0.55)) == [False]
    assert judged(ingest(0.6), ingest(0.5)) == [True]
    assert judged(ingest(0.6), ingest(0.9)) == [False]
    assert judged(ingest(0.6, spread=0.1), ingest(0.5)) == [False]
    assert judged(latency(1.0), latency(1.2)) == [True]
    assert judged(latency(1.2), latency(1.0)) == [False]
    assert judged(ingest(0.6), ingest(0.1, connections=128)) == []
    assert judged(ingest(0.6), ingest(0.1, rival="postgresql")) == []


def test_compare_exits_with_1_where_something_has_become_worse(tmp_path: Path) -> None:
    """For scripts: 0 otherwise."""
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_text(json.dumps(ingest(0.6)) + "\n")
    for ratio, code in ((0.61, 0), (0.3, 1)):
        new.write_text(json.dumps(ingest(ratio)) + "\n")
        command = [sys.executable, "-m", "benchmarks", "compare", str(old), str(new)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert f"0.600 -> {ratio:.3f}" in done.stdout
        assert ("WORSE" in done.stdout) is bool(code)
    assert load(old) == [ingest(0.6)]


def test_figures_become_tables_and_charts(tmp_path: Path) -> None:
    """Each script's in a table of its own, and written into a page between its marks."""
    records = [
        {"benchmark": "ingest", "settings": {"cpu": "a processor", "duckdb": "2.0.1", "wrk": "4.1"}},
        ingest(0.6),
        ingest(0.7, connections=128),
        ingest(3.5, rival="postgresql"),
        latency(1.25),
    ]
    text = markdown(records)
    assert text.startswith("cpu a processor; duckdb 2.0.1; wrk 4.1.\n")
    assert "| asgi | 1 | 128 | 5,000 | 4 | 9 | no-store | 5,000 | 9 | 0.7 |" in text
    assert "| asgi | 4 | 4 | 1 | 1.25 |" in text
    assert "Resident memory" not in text
    names = {path.name for path in draw(records, tmp_path)}
    assert names == {f"{chart}.{form}" for chart in ("throughput", "latency", "rivals") for form in ("svg", "png")}
    assert all((tmp_path / name).stat().st_size > 5_000 for name in names)
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    results.write_text("".join(json.dumps(record) + "\n" for record in records))
    page.write_text("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n")
    command = [sys.executable, "-m", "benchmarks", "report", str(results), "--page", str(page)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert page.read_text() == f"before\n<!-- figures -->\n\n{glance(records)}\n\n{text}\n<!-- /figures -->\nafter\n"


def test_a_run_is_held_against_its_aims_at_a_glance() -> None:
    """A row for each aim that the run has measured, with all its figures; none for others."""
    records = [ingest(0.6), ingest(0.75, connections=128), ingest(3.5, rival="postgresql"), latency(1.25)]
    records += [{"benchmark": "memory", "events": count, "together_mb": 300 + count} for count in (1, 2, 3, 4)]
    rows = glance(records).splitlines()[2:]
    reached = "0.60 (32 connections), 0.75 (128 connections)"
    assert rows[0] == f"| durable events/s ÷ without storing, ASGI | ≥ 0.55, 0.65, 0.75, 0.85 | {reached} |"
    assert "| p99 of a durable event ÷ without storing | ≤ 3 | 1.00 (32 connections) |" in rows
    assert "| resident memory of server and owner, MB | ≤ 700 | 304 (4 events), 304 (median of the second half) |" in rows
    assert len(rows) == 5
    assert glance([]) == ""


def test_the_first_page_of_the_dashboard_is_held_against_its_aims() -> None:
    """The page with all of its parts, its bytes and what the browser shows; a part by itself has a row in the table only."""
    times = {"cold_ms": 412.0, "again_ms": 61.0, "ratio": 9.5, "owner_cpu_ms": 700.0, "server_cpu_ms": 50.0, "bytes": 21_000}
    whole = {"benchmark": "dashboard", "events": 1_000_000, "part": "the page and its parts", **times}
    shown = {"benchmark": "dashboard", "events": 1_000_000, "paint_ms": 90.0, "chart_ms": 480.0, "whole_ms": 510.0}
    records = [{**whole, "first_bytes": 55_700}, {**whole, "part": "overview.now"}, shown]
    assert glance(records).splitlines()[2:] == [
        "| the dashboard's first page and its parts, ms | ≤ 500 | 412 (1,000,000 events) |",
        "| the same within ten seconds, ms | ≤ 100 | 61.00 (1,000,000 events) |",
        "| bytes of the first page with scripts and styles, compressed | ≤ 90,000 | 55,700 (1000000) |",
        "| the dashboard's first paint in Chromium, ms | ≤ 1,000 | 90.00 (1000000) |",
        "| the same until the chart is drawn, ms | ≤ 1,000 | 480 (1000000) |",
    ]
    assert "| overview.now | 1,000,000 | 412 | 61 | 9.5 | 700 | 50 | 21,000 |" in markdown(records)
    assert "| 1,000,000 | 90 | 480 | 510 |" in markdown(records)


def test_cores_and_queries_have_tables_of_their_own() -> None:
    """One record of `latency` is in two tables; the load generator's share of the cores shows that it is no bottleneck."""
    cores = {"contender": "no-store", "beside": "durable", "server": 0.97, "owner": 0.0, "load": 0.17, "us_an_event": 121.0}
    busy = {"benchmark": "ingest", "interface": "asgi", "workers": 1, "connections": 128, **cores}
    times = {"own_write": SIDE, "nothing_written": {"p50_ms": 3.9, "p99_ms": 8.0}, "own_write_ratio": 1.03}
    text = markdown([{"benchmark": "ingest", "settings": {"generator": "own"}}, ingest(0.6), busy, {**latency(1.25), **times}])
    assert "generator own." in text
    assert "| asgi | 1 | 128 | no-store | durable | 0.97 | 0 | 0.17 | 121 |" in text
    assert "| asgi | 4 | 4 | 1 | 1.25 |" in text
    assert "| asgi | 4 | 9 | 3.9 | 8 | 1.03 |" in text


def test_few_lists_visitors_and_pages_have_most_of_the_events() -> None:
    """By Zipf's law, and the same in every run."""
    made = [json.loads(body) for body in bodies("browser", 5000, 1000, 0, "key")]
    assert made == [json.loads(body) for body in bodies("browser", 5000, 1000, 0, "key")]
    for seen in (
        Counter(body["ListID"] for body in made),
        Counter(body["UUID"] for body in made),
        Counter(body["properties"]["$pathname"] for body in made),
    ):
        times = [count for _, count in seen.most_common(3)]
        assert all(1.3 < more / fewer < 3 for more, fewer in pairwise(times))
    assert {body["ListID"] for body in made} == set(LISTS)
    assert all(body["properties"]["$list_id"] == body["ListID"] and len(body["properties"]) == 24 for body in made)


def test_the_memory_benchmark_lets_every_visitor_come() -> None:
    """Its batches are valid, made without encoding each event."""
    made = template("browser", "key")
    events = [event for number in range(3) for event in json.loads(made % visitors_of(number, 3000))["Events"]]
    assert len({event["UUID"] for event in events}) == len({event["email"] for event in events}) == 3000
    assert all(len(event["UUID"]) == 36 and event["UUID"][-12:] == event["email"][:12] for event in events)


class _Kept(BaseHTTPRequestHandler):
    """Keeps the bodies that come."""

    protocol_version = "HTTP/1.1"
    status = 200

    def do_POST(self) -> None:
        """Answers."""
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Refused(_Kept):
    status = 503


@pytest.fixture(params=[_Kept, _Refused])
def server(request: pytest.FixtureRequest) -> Iterator[ThreadingHTTPServer]:
    """A server of the standard library."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), request.param)
    server.daemon_threads = True
    server.bodies = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join(60)
    server.server_close()


def test_the_suites_own_generator_sends_the_bodies_in_turn_and_counts(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """Where wrk is missing; new visitors get numbers, and errors are told apart."""
    lines = [b'{"n":%d,"v":"%s"}' % (number, NEW_VISITOR.encode() if number == 1 else b"known") for number in range(4)]
    file = tmp_path / "bodies.ndjson"
    file.write_bytes(b"\n".join(lines))
    options = ["--port", str(server.server_port), "--path", "/x", "--connections", "2", "--seconds", "0.5", str(file), "2"]
    command = [sys.executable, "-m", "benchmarks.generator", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.removeprefix("result "))
    sent: list[dict[str, Any]] = [json.loads(body) for body in server.bodies]  # type: ignore[attr-defined]
    assert 0 < told["requests"] <= len(sent) <= told["requests"] + 2
    assert told["status"] == (0 if server.RequestHandlerClass is _Kept else told["requests"])
    assert told["socket"] == told["timeout"] == 0
    assert 0 < told["p50_us"] <= told["p99_us"] <= told["p999_us"]
    assert {body["n"] for body in sent[:2]} <= {2, 3, 0}, "it goes on where the server's last run ended"
    times = Counter(body["n"] for body in sent)
    assert max(times.values()) - min(times[number] for number in range(4)) <= 3
    new = [body["v"] for body in sent if body["n"] == 1]
    assert len(set(new)) == len(new)
    assert all(visitor.isdigit() and len(visitor) == 12 for visitor in new)


def test_every_benchmark_has_a_quick_form() -> None:
    """But for the soak, which is of no use in seconds; each is a script that is there."""
    assert FULL.keys() - QUICK.keys() == {"soak"}
    for runs in (*FULL.values(), *QUICK.values()):
        assert all((ROOT / "benchmarks" / f"{script}.py").exists() for script, *_ in runs)


@pytest.mark.parametrize("words", [["nonsense"], ["report", "missing.jsonl"], ["compare", "missing.jsonl", "missing.jsonl"]])
def test_a_wrong_argument_is_refused_in_one_line(words: list[str]) -> None:
    """With exit code 2."""
    done = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
