"""Figures in files (JSON, one object per line), as tables in Markdown, and the comparison of two runs."""

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
    "answers": ("ratio", LOWER),
    "dashboard": ("ratio", LOWER),
    "size": ("ratio", LOWER),
    "deliveries": ("ratio", HIGHER),
    "binary": ("ratio", LOWER),
}
"""The figure of each script that can be compared between machines, and whether higher or lower is better."""
IDENTITY = ("interface", "connections", "workers", "body", "events", "catalogue", "question", "part")


def load(path: Path) -> list[Record]:
    """Load the records of a file; a missing file ends the benchmark."""
    if not path.is_file():
        fail(f"{path}: file not found; name the results.jsonl of a run", 2)
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def records_of(records: list[Record], script: str) -> list[Record]:
    """Return the records of one script, without its settings."""
    return [record for record in records if record["benchmark"] == script and "settings" not in record]


def rival_of(record: Record) -> str:
    """Return the contender that a record of `ingest` compares with; an empty string for records of busy cores."""
    return next((name for name in RIVALS if name in record), "")


def identity(record: Record) -> str:
    """Return the name under which a record is compared, which does not depend on its figures."""
    parts = [record["benchmark"], *(f"{name}={record[name]}" for name in IDENTITY if name in record)]
    return " ".join([*parts, *([f"beside={rival}"] if (rival := rival_of(record)) else [])])


def compare(old: list[Record], new: list[Record], threshold: float) -> Iterator[tuple[str, float, float, float, bool]]:
    """Compare the figures that both runs have; yield the name, the old and new figure, the spread, and whether it became worse.

    Args:
        old: the records of one run.
        new: the records of another run.
        threshold: the share by which a figure may become worse, in addition to the spread of its rounds.
    """
    before = dict(_figures(old))
    for name, (figure, spread, better) in _figures(new):
        if name in before:
            then, spread_then, _ = before[name]
            widest = max(spread, spread_then)
            yield name, then, figure, widest, (then - figure) * better > (threshold + widest) * then


def _figures(records: list[Record]) -> Iterator[tuple[str, tuple[float, float, int]]]:
    """Yield the name of each record, its figure, half of the rounds' relative spread, and which direction is better."""
    for record in records:
        key, better = RATIOS.get(record["benchmark"], ("", 0))
        if record.get(key):
            rounds = record.get("ratios") or [record[key]]
            yield identity(record), (record[key], (max(rounds) - min(rounds)) / 2 / statistics.median(rounds), better)


def markdown(records: list[Record]) -> str:
    """Format all figures as tables, after the machine and the versions."""
    parts = []
    settings = next((record["settings"] for record in records if "settings" in record), None)
    if settings is not None:
        names = ("cpu", "cores", "memory", "kernel", "disk", "python", "falcon-events", "duckdb", "falcon", "granian", "uvicorn")
        tools = {name: found for record in records for name, found in record.get("settings", {}).items() if name in TOOLS}
        versions = {**{name: settings[name] for name in names if name in settings}, **tools}
        parts.append("; ".join(f"{name} {value}" for name, value in versions.items()) + ".")
    for title, script, columns in TABLES:
        rows = [
            [_cell(record, name) for name in columns.values()] for record in records_of(records, script) if _fits(record, columns)
        ]
        if rows:
            head = f"| {' | '.join(columns)} |\n|{' ---: |' * len(columns)}"
            parts.append(f"**{title}**\n\n{head}\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"


TOOLS = ("wrk", "generator", "postgresql")
TABLES: list[tuple[str, str, dict[str, str]]] = [
    (
        "One event per request",
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
            "µs per event": "us_an_event",
        },
    ),
    (
        "1,000 events per request",
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
        "Questions about a large store",
        "answers",
        {
            "question": "question",
            "events": "events",
            "p50 ms": "p50_ms",
            "aim, ms": "target_ms",
            "in SQL over JSON, ms": "sql_ms",
            "ratio": "ratio",
        },
    ),
    (
        "The same questions in PostgreSQL",
        "answers",
        {"question": "question", "events": "events", "PostgreSQL ms": "postgresql_ms", "p50 ÷ PostgreSQL": "to_postgresql"},
    ),
    (
        "The same questions about ten times as many events",
        "answers",
        {"question": "question", "events": "events", "p50 ÷ p50 of a tenth of the events": "growth"},
    ),
    (
        "Events that arrive while questions are asked",
        "answers",
        {
            "events in the store": "events",
            "events/s": "ingest_per_second",
            "p99 ms": "ingest_p99_ms",
            "÷ events/s without questions": "ingest_ratio",
            "÷ p99 without questions": "ingest_p99_ratio",
            "questions/s": "questions_per_second",
        },
    ),
    (
        "What typed columns cost",
        "answers",
        {
            "events": "events",
            "bytes an event": "bytes_per_event",
            "without catalogue and columns": "plain_bytes_per_event",
            "ratio": "size_ratio",
            "columns, µs an event": "columns_us",
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
        "Batches of 300 events beside many EventIDs and bindings",
        "recall",
        {
            "EventIDs": "event_ids",
            "bindings": "bindings",
            "open s": "open_s",
            "new ms": "new_ms",
            "to an empty store": "new_to_empty",
            "repeated ms": "repeated_ms",
            "returning ms": "returning_ms",
            "query ms": "query_ms",
            "close s": "close_s",
            "resident MB": "resident_mb",
        },
    ),
    (
        "The dashboard's first page",
        "dashboard",
        {
            "part": "part",
            "events": "events",
            "cold ms": "cold_ms",
            "again ms": "again_ms",
            "cold ÷ sign-in": "ratio",
            "owner CPU ms": "owner_cpu_ms",
            "server CPU ms": "server_cpu_ms",
            "bytes": "bytes",
        },
    ),
    (
        "The dashboard in Chromium",
        "dashboard",
        {"events": "events", "first paint ms": "paint_ms", "chart ms": "chart_ms", "all parts ms": "whole_ms"},
    ),
    (
        "Bytes on disk per event",
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
"""Title, script, and for each column its heading and the place of its value in a record."""


def _fits(record: Record, columns: dict[str, str]) -> bool:
    """Return whether a record has a table's columns: `ingest` has two kinds of records, and older files lack some figures."""
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
