"""Figures as they are kept (JSON, one object a line), as tables in Markdown, and two runs of them compared."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import fail

Record = dict[str, Any]

RIVALS = ("no-store", "one-worker", "bare", "postgresql", "sqlite", "duckdb")
HIGHER, LOWER = 1, -1
RATIOS: dict[str, tuple[str, int]] = {
    "ingest": ("ratio", HIGHER),
    "batches": ("ratio", HIGHER),
    "importing": ("ratio", HIGHER),
    "latency": ("ratio", LOWER),
    "query": ("to_smallest", LOWER),
    "size": ("ratio", LOWER),
    "deliveries": ("ratio", HIGHER),
    "binary": ("ratio", LOWER),
}
"""Of each script the figure that another machine can be compared by, and whether more or less of it is better."""
IDENTITY = ("interface", "connections", "workers", "body", "events", "catalogue")


def load(path: Path) -> list[Record]:
    """The records of a file; ends the benchmark where there is none."""
    if not path.is_file():
        fail(f"{path}: the file of a run's figures, results.jsonl, is needed", 2)
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def of(records: list[Record], script: str) -> list[Record]:
    """The figures of one script, without its settings."""
    return [record for record in records if record["benchmark"] == script and "settings" not in record]


def rival_of(record: Record) -> str:
    """What a record of `ingest` compares with; an empty text for records of the cores that were busy."""
    return next((name for name in RIVALS if name in record), "")


def identity(record: Record) -> str:
    """What a figure is about, whatever it is."""
    parts = [record["benchmark"], *(f"{name}={record[name]}" for name in IDENTITY if name in record)]
    return " ".join([*parts, *([f"beside={rival}"] if (rival := rival_of(record)) else [])])


def compare(old: list[Record], new: list[Record], threshold: float) -> Iterator[tuple[str, float, float, float, bool]]:
    """For each figure that both have: what it is, the old and the new one, the spread, and whether it has become worse.

    Args:
        old: the records of one run.
        new: those of another.
        threshold: which part of itself a figure may become worse by; the spread of the rounds comes to it.
    """
    before = dict(_figures(old))
    for name, (figure, spread, better) in _figures(new):
        if name in before:
            then, spread_then, _ = before[name]
            widest = max(spread, spread_then)
            yield name, then, figure, widest, (then - figure) * better > (threshold + widest) * then


def _figures(records: list[Record]) -> Iterator[tuple[str, tuple[float, float, int]]]:
    """Of each record: what it is, its figure, half of the rounds' spread as a part of it, and what is better."""
    for record in records:
        key, better = RATIOS.get(record["benchmark"], ("", 0))
        if record.get(key):
            rounds = record.get("ratios") or [record[key]]
            yield identity(record), (record[key], (max(rounds) - min(rounds)) / 2 / statistics.median(rounds), better)


def markdown(records: list[Record]) -> str:
    """All figures, in tables; the machine and the versions first."""
    parts = []
    settings = next((record["settings"] for record in records if "settings" in record), None)
    if settings is not None:
        told = ("cpu", "cores", "memory", "kernel", "disk", "python", "falcon-events", "duckdb", "falcon", "granian", "uvicorn")
        tools = {name: found for record in records for name, found in record.get("settings", {}).items() if name in TOOLS}
        versions = {**{name: settings[name] for name in told if name in settings}, **tools}
        parts.append("; ".join(f"{name} {value}" for name, value in versions.items()) + ".")
    for title, script, columns in TABLES:
        rows = [[_cell(record, name) for name in columns.values()] for record in of(records, script) if _fits(record, columns)]
        if rows:
            head = f"| {' | '.join(columns)} |\n|{' ---: |' * len(columns)}"
            parts.append(f"**{title}**\n\n{head}\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"


TOOLS = ("wrk", "generator", "postgresql")
TABLES: list[tuple[str, str, dict[str, str]]] = [
    (
        "One event a request",
        "ingest",
        {
            "interface": "interface",
            "workers": "workers",
            "connections": "connections",
            "durable/s": "durable.events_per_second",
            "p50 ms": "durable.p50_ms",
            "p99 ms": "durable.p99_ms",
            "beside": "rival",
            "its events/s": "rival.events_per_second",
            "its p99 ms": "rival.p99_ms",
            "ratio": "ratio",
        },
    ),
    (
        "Cores kept busy",
        "ingest",
        {
            "interface": "interface",
            "workers": "workers",
            "connections": "connections",
            "contender": "contender",
            "beside": "beside",
            "server": "server",
            "owner": "owner",
            "load": "load",
            "µs an event": "us_an_event",
        },
    ),
    (
        "1,000 events a request",
        "batches",
        {
            "body": "body",
            "connections": "connections",
            "events/s": "events_per_second",
            "DuckDB rows/s": "duckdb_rows_per_second",
            "ratio": "ratio",
        },
    ),
    (
        "One client, one connection",
        "latency",
        {
            "interface": "interface",
            "durable p50 ms": "durable.p50_ms",
            "no store p50 ms": "no_store.p50_ms",
            "a commit p50 ms": "commit.p50_ms",
            "durable / their sum": "ratio",
        },
    ),
    (
        "A property query after an event's 200",
        "latency",
        {
            "interface": "interface",
            "p50 ms": "own_write.p50_ms",
            "p99 ms": "own_write.p99_ms",
            "nothing written p50 ms": "nothing_written.p50_ms",
            "p99 ms ": "nothing_written.p99_ms",
            "ratio": "own_write_ratio",
        },
    ),
    (
        "A property query",
        "query",
        {
            "events": "events",
            "catalogue": "catalogue",
            "p50 ms": "p50_ms",
            "p99 ms": "p99_ms",
            "to the smallest store": "to_smallest",
            "to counting afresh": "to_fresh",
        },
    ),
    (
        "Import of NDJSON",
        "importing",
        {
            "body": "body",
            "events": "events",
            "events/s": "events_per_second",
            "DuckDB rows/s": "rows_per_second",
            "ratio": "ratio",
        },
    ),
    (
        "Half load on a large store",
        "scale",
        {
            "events before": "events",
            "events/s": "events_per_second",
            "p50 ms": "p50_ms",
            "p99 ms": "p99_ms",
            "p99.9 ms": "p999_ms",
            "slowest ms": "slowest_ms",
        },
    ),
    (
        "Resident memory",
        "memory",
        {
            "events": "events",
            "visitors": "visitors",
            "server MB": "server_mb",
            "owner MB": "owner_mb",
            "together MB": "together_mb",
        },
    ),
    (
        "Bytes on disk an event",
        "size",
        {"events": "events", "here": "bytes_per_event", "PostgreSQL": "postgresql_bytes_per_event", "ratio": "ratio"},
    ),
    (
        "Webhooks",
        "deliveries",
        {
            "events": "events",
            "delivered/s": "delivered_per_second",
            "bare posts/s": "posts_per_second",
            "ratio": "ratio",
            "stored/s": "alone_per_second",
            "while delivering": "meanwhile_per_second",
            "their ratio": "taken_ratio",
        },
    ),
    (
        "The executable, from its start to the first answer",
        "binary",
        {
            "interface": "interface",
            "executable s": "executable_s",
            "python -m s": "python_s",
            "ratio": "ratio",
            "first start s": "first_s",
            "file MB": "file_mb",
            "unpacked MB": "unpacked_mb",
        },
    ),
]
"""Title, script, and of each column its heading and where its value stands in a record."""


def _fits(record: Record, columns: dict[str, str]) -> bool:
    """Whether a table is for this record: `ingest` has two kinds, and older files lack figures of today's."""
    first_parts = {name.partition(".")[0] for name in columns.values()}
    return all(bool(rival_of(record)) if part == "rival" else part in record for part in first_parts)


def _cell(record: Record, name: str) -> str:
    if name == "rival":
        return rival_of(record)
    value: Any = record
    for part in name.split("."):
        value = value[rival_of(record) if part == "rival" else part]
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
