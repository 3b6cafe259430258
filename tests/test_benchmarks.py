"""What the benchmarks make of their figures; that they run is tried by .ci/run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.charts import draw
from benchmarks.plans import FULL, QUICK
from benchmarks.results import compare, load, markdown

ROOT = Path(__file__).parents[1]
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
    assert page.read_text() == f"before\n<!-- figures -->\n\n{text}\n<!-- /figures -->\nafter\n"


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
